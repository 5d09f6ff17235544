//! The pages behind a real router and a real database: every page with and without data, every form with good and bad
//! input, and what somebody may not see or do.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod api;
mod erased;
mod filters;
mod forged;
mod forms;
mod holds;
mod imports;
#[path = "../../src/pages/view/tests/markup.rs"]
mod markup;
mod rules;
mod site;
mod variants;

use axum::http::StatusCode;
use site::{Filled, Site, well_formed};
use windlass_campaigns::{
    channel::Channel,
    flow::{optout, verbs},
    model::{
        TouchId,
        contact::Consent,
        sequence,
        touch::{EventKind, Evidence, Reason},
    },
    store::{
        campaigns, events,
        reviews::{self, ReviewKind},
        touches::{self, NewTouch, Sending},
    },
    window::{self, Recipient},
};

/// Pages that are there whatever there is.
const LISTS: [&str; 15] = [
    "",
    "/touches",
    "/contacts",
    "/imports",
    "/templates",
    "/templates/new",
    "/senders",
    "/providers",
    "/suppressions",
    "/reviews",
    "/domains",
    "/users",
    "/hours",
    "/audit",
    "/audit.csv",
];

/// A campaign under way: a message that waits, one that was sent and opened, and something to decide.
async fn under_way(site: &Site, text: &str) -> (Filled, TouchId) {
    let filled = site.fill(text).await;
    let (id, now) = (filled.campaign, site.app.now());
    let twice = site.app.db().write(move |tx| {
        let steps = campaigns::steps(tx, id, 1)?;
        campaigns::write_steps(tx, id, 1, &sequence::first(&[&steps[..], &steps[..]].concat()), now)
    });
    twice.await.unwrap();
    verbs::launch(&site.app, filled.campaign, "test").await.unwrap();
    let (campaign, contact, sender, template) =
        (filled.campaign, filled.contact, filled.sender.id, filled.template);
    let (text, app) = (text.to_owned(), site.app.clone());
    let made = site.app.db().write(move |tx| {
        let new = NewTouch {
            campaign,
            contact,
            step: 1,
            step_key: 1,
            channel: Channel::Email,
            version: 1,
            template,
            variant: None,
            address: "bob@example.org".into(),
            sender: Some(sender),
        };
        let touch = touches::ensure(tx, &new, now)?;
        touches::set_job(tx, touch.id, "019a0000-0000-7000-8000-000000000001")?;
        let policy = campaigns::get(tx, campaign)?.unwrap().policy;
        let recipient = Recipient::known("America/New_York", "", "", "", "");
        let verdict = window::look(&policy, &app.rules(), &recipient, Channel::Email, now);
        let consent = Consent {
            channel: Channel::Email,
            basis: "express".into(),
            proof: format!("the form {text}"),
            source: "form".into(),
            given_at: now,
            revoked_at: None,
        };
        let sending = Sending {
            sender,
            template,
            variant: None,
            content_hash: "00".into(),
            evidence: Evidence {
                checked_at: now,
                window: verdict.evaluation().clone(),
                consent: Some(consent),
            },
            day: "2026-11-18".into(),
        };
        touches::begin(tx, touch.id, &sending, now)?;
        touches::sent(tx, touch.id, &format!("<ref {text}>"), "250", now)?;
        events::note(tx, &touch, EventKind::Opened, "mail", &format!("by {text}"), None, now)?;
        let waits = touches::ensure(tx, &NewTouch { step: 2, step_key: 2, ..new }, now)?;
        let until = now.plus_ms(3_600_000);
        touches::defer(tx, waits.id, Reason::ProviderBusy, &format!("451 {text}"), until)?;
        let about = (Some(touch.id), Some(contact), Channel::Sms);
        reviews::open(tx, ReviewKind::PossibleOptOut, about, &format!("no thanks {text}"), "a", now)?;
        reviews::open(tx, ReviewKind::UnknownCall, about, "", "b", now)?;
        Ok::<_, windlass_campaigns::db::DbError>(touch.id)
    });
    let touch = made.await.unwrap();
    optout::suppress_address(&site.app, "eve@example.net", None, None, "asked", "test").await.unwrap();
    (filled, touch)
}

/// Every page that shows what [`under_way`] has made.
fn all_pages(filled: &Filled, touch: TouchId) -> Vec<String> {
    let mut all: Vec<String> = LISTS.iter().map(|path| (*path).to_owned()).collect();
    all.extend([
        format!("/{}", filled.campaign),
        format!("/{}/edit", filled.campaign),
        format!("/touches/{touch}"),
        format!("/contacts/{}", filled.contact),
        format!("/templates/{}", filled.template),
        format!("/senders/{}", filled.sender.id),
        format!("/providers/{}", filled.provider.id),
    ]);
    all
}

async fn new_site() -> (tempfile::TempDir, Site) {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::up(dir.path()).await;
    (dir, site)
}

fn is_page(path: &str) -> bool {
    !path.ends_with(".csv") && !path.ends_with("/export")
}

#[tokio::test]
async fn every_page_is_shown_before_there_is_anything() {
    let (_dir, site) = new_site().await;
    for path in LISTS {
        let answer = site.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        if is_page(path) {
            well_formed(path, &answer.text);
        }
    }
}

#[tokio::test]
async fn every_page_shows_what_there_is_and_nothing_of_it_is_markup() {
    for text in ["xyzzy", "<script>alert(1)</script>", "\"><img src=x onerror=alert(2)>"] {
        let (_dir, site) = new_site().await;
        let (filled, touch) = under_way(&site, text).await;
        for path in all_pages(&filled, touch) {
            let answer = site.get(&path).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
            if is_page(&path) {
                well_formed(&path, &answer.text);
                assert!(text == "xyzzy" || !answer.text.contains(text), "{path} has {text} as it is");
                let is_there = text != "xyzzy"
                    || ["/suppressions", "/templates/new", "/domains", "/hours", "/imports"]
                        .contains(&path.as_str())
                    || answer.text.contains(text);
                assert!(is_there, "{path} does not say {text}: {}", answer.text);
            }
        }
    }
}

#[tokio::test]
async fn a_campaign_shows_its_funnel_its_reasons_and_its_switches() {
    let (_dir, site) = new_site().await;
    let (filled, _) = under_way(&site, "x").await;
    let html = site.page(&format!("/{}", filled.campaign)).await;
    for part in [
        "the provider asked to wait",
        "reason=provider_busy",
        "/pause",
        "/cancel",
        "ann@example.com",
        "filter=group:campaign-1",
    ] {
        assert!(html.contains(part), "{part} is not on it: {html}");
    }
    let html = site.page("/touches?status=deferred&reason=provider_busy").await;
    assert!(html.contains("451 x") && !html.contains("/touches/1\""), "{html}");
    let html = site.page("/touches/1").await;
    for part in ["/q/jobs/019a0000-0000-7000-8000-000000000001", "opened", "the form x", "/reviews#review-"] {
        assert!(html.contains(part), "{part} is not on it: {html}");
    }
}

#[tokio::test]
async fn nobody_sees_names_and_addresses_without_the_scope_payloads() {
    let (_dir, site) = new_site().await;
    let (filled, touch) = under_way(&site, "xyzzy").await;
    let routes =
        ["contacts", "contacts?begins=b", "contacts/1", "touches", "suppressions", "reviews", "audit"];
    let routes = routes.map(|route| format!("/v1/{route}")).into_iter();
    let of_campaign = ["", "/funnel", "/preflight", "/figures", "/variants", "/export"]
        .map(|part| format!("/v1/campaigns/{}{part}", filled.campaign));
    let nouns = ["campaigns", "lists", "imports", "users", "templates", "senders", "providers"];
    let nouns = nouns.map(|noun| format!("/v1/{noun}"));
    let routes = routes.chain([format!("/v1/touches/{touch}")]).chain(of_campaign).chain(nouns);
    for path in all_pages(&filled, touch).into_iter().chain(routes) {
        let text = site.get_as("read", &path).await.text;
        for hidden in [
            "bob@example.org",
            "eve@example.net",
            "Bob",
            "+12125550123",
            "no thanks",
            "451 xyzzy",
            "the form xyzzy",
        ] {
            assert!(!text.contains(hidden), "{path} says {hidden}: {text}");
        }
    }
}

#[tokio::test]
async fn no_page_says_a_secret() {
    let (_dir, site) = new_site().await;
    let (filled, touch) = under_way(&site, "x").await;
    for path in all_pages(&filled, touch) {
        let text = site.get(&path).await.text;
        assert!(!text.contains("hunter2") && !text.contains("hunter3"), "{path}: {text}");
    }
}

#[tokio::test]
async fn what_there_is_not_is_a_page_that_says_so() {
    let (_dir, site) = new_site().await;
    for path in [
        "/7",
        "/nonsense",
        "/touches/7",
        "/touches/x",
        "/7/nothing",
        "/suppressions/7",
        "/99999999999999999999",
    ] {
        let answer = site.get(path).await;
        assert!(matches!(answer.status.as_u16(), 404 | 405), "{path}: {}", answer.status);
        well_formed(path, &answer.text);
    }
    for path in [
        "/7/pause",
        "/7/cancel",
        "/suppressions/7/lift",
        "/reviews/7",
        "/contacts/7/erase",
        "/senders/7/pause",
        "/providers/7/breaker",
    ] {
        let answer = site.post(path, &[("decision", "made"), ("gate", "open"), ("why", "x")]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        well_formed(path, &answer.text);
    }
    let problem = site.get("/v1/nothing").await;
    assert_eq!(problem.headers["content-type"], "application/problem+json", "the API stays itself");
}

#[tokio::test]
async fn whoever_may_only_look_changes_nothing() {
    let (_dir, site) = new_site().await;
    let (filled, _) = under_way(&site, "x").await;
    for path in [format!("/{}/pause", filled.campaign), "/suppressions".to_owned(), "/".to_owned()] {
        let path = if path == "/" { String::new() } else { path };
        let answer =
            site.post_as("read payloads", &path, &[("name", "x"), ("address", "a@example.com")]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        well_formed(&path, &answer.text);
    }
    assert!(site.page("").await.contains("running"));
}

#[tokio::test]
async fn a_long_list_is_gone_through_page_by_page() {
    let (_dir, site) = new_site().await;
    for number in 0..60 {
        let address = format!("a{number:02}@example.com");
        optout::suppress_address(&site.app, &address, None, None, "x", "test").await.unwrap();
    }
    let first = site.page("/suppressions").await;
    assert!(first.contains("a59@") && !first.contains("a09@") && first.contains("?before=11\""), "{first}");
    let second = site.page("/suppressions?before=11").await;
    assert!(second.contains("a09@") && !second.contains("Next page") && second.contains("First page"));
    let found = site.page("/suppressions?search=A07%40example.com").await;
    assert!(found.contains("a07@") && !found.contains("a08@"), "{found}");
}

//! Every form once with what it is for, and once with what it cannot take.

use windlass_campaigns::{
    model::campaign::CampaignStatus,
    store::{campaigns, suppressions},
};

use super::{new_site, under_way};

#[tokio::test]
async fn a_draft_begins_with_a_name() {
    let (_dir, site) = new_site().await;
    let made = site.post("", &[("name", " Spring ")]).await;
    assert_eq!(made.goes_to(), "/1/edit");
    let found =
        site.app.db().read(|tx| campaigns::page(tx, windlass_campaigns::model::CampaignId(99), 9)).await;
    let draft = &found.unwrap()[0];
    assert_eq!((draft.name.as_str(), draft.status), ("Spring", CampaignStatus::Draft));
    assert!(site.refused("", &[("name", "  ")]).await.contains("1 to 100 characters"));
    assert!(site.refused("", &[("name", &"x".repeat(101))]).await.contains(&"x".repeat(101)));
}

#[tokio::test]
async fn a_campaign_is_paused_resumed_and_after_a_question_cancelled() {
    let (_dir, site) = new_site().await;
    let (filled, _) = under_way(&site, "x").await;
    let at = |verb: &str| format!("/{}/{verb}", filled.campaign);
    let paused = site.post(&at("pause"), &[]).await;
    assert!(paused.flash().good && paused.goes_to() == "/1");
    let again = site.post(&at("pause"), &[]).await;
    assert!(!again.flash().good && again.flash().text.contains("is paused"));
    assert!(site.post(&at("resume"), &[]).await.flash().good);

    let asked = site.post(&at("cancel"), &[]).await;
    assert!(asked.text.contains("One message that waits is not sent"), "{}", asked.text);
    super::well_formed("cancel", &asked.text);
    let stale = site.post(&at("cancel"), &[("revision", "1"), ("confirmed", "yes")]).await;
    assert!(!stale.flash().good, "it was changed meanwhile");
    assert!(site.post(&at("cancel"), &[("confirmed", "yes")]).await.flash().good);
    assert!(site.page("/1").await.contains("cancelled"));
}

#[tokio::test]
async fn an_address_is_suppressed_and_after_a_question_reached_again() {
    let (_dir, site) = new_site().await;
    let given = [("address", "+1 212 555 0100"), ("channel", "sms"), ("reason", "asked by phone")];
    assert!(site.post("/suppressions", &given).await.flash().good);
    assert!(site.post("/suppressions", &given).await.flash().text.contains("already"));
    let wrong = site.refused("/suppressions", &[("address", "nobody"), ("reason", "why")]).await;
    assert!(wrong.contains("neither a mailbox nor a number") && wrong.contains("value=\"why\""));
    let asked = site.post("/suppressions/1/lift", &[]).await;
    assert!(asked.text.contains("Reach +12125550100 again?"), "{}", asked.text);
    super::well_formed("lift", &asked.text);
    assert!(site.post("/suppressions/1/lift", &[("confirmed", "yes")]).await.flash().good);
    let left = site.app.db().read(|tx| suppressions::page(tx, 99, 9)).await.unwrap();
    assert_eq!(left, []);
}

#[tokio::test]
async fn a_review_is_decided_once_and_only_with_a_word_that_fits() {
    let (_dir, site) = new_site().await;
    under_way(&site, "x").await;
    assert!(!site.post("/reviews/1", &[("decision", "made")]).await.flash().good);
    assert!(!site.post("/reviews/1", &[("decision", "perhaps")]).await.flash().good);
    assert!(site.post("/reviews/1", &[("decision", "opt_out")]).await.flash().good);
    assert_eq!(site.post("/reviews/1", &[("decision", "opt_out")]).await.status.as_u16(), 404);
    assert!(site.post("/reviews/2", &[("decision", "not_made")]).await.flash().good);
    assert!(site.page("/reviews").await.contains("Nothing waits for a decision"));
}

#[tokio::test]
async fn the_log_of_changes_is_a_file_of_the_days_that_are_asked_for() {
    let (_dir, site) = new_site().await;
    under_way(&site, "=1+1").await;
    let file = site.get("/audit.csv?from=2026-11-18&to=2026-11-18").await;
    assert!(file.text.starts_with("at,who,what,subject,detail\n") && file.text.contains("launch campaign"));
    let none = site.get("/audit.csv?from=2026-11-19").await;
    assert_eq!(none.text.lines().count(), 1, "{}", none.text);
    let wrong = site.page("/audit.csv?from=soon").await;
    assert!(wrong.contains("a date, as 2026-11-30") && wrong.contains("value=\"soon\""));
}

const SENDER: [(&str, &str); 9] = [
    ("channel", "email"),
    ("address", "Carl@Example.com"),
    ("name", "Carl"),
    ("provider", "1"),
    ("time_zone", "America/New_York"),
    ("daily_cap", "500"),
    ("warms_up", "yes"),
    ("first_day", "20"),
    ("growth", "25"),
];

/// A form with some of its fields changed.
fn with<'a>(form: &[(&'a str, &'a str)], changed: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let kept = form.iter().filter(|(name, _)| changed.iter().all(|(other, _)| other != name));
    kept.chain(changed).copied().collect()
}

#[tokio::test]
async fn a_sender_is_made_changed_paused_and_resumed() {
    let (_dir, site) = new_site().await;
    site.fill("x").await;
    let made = site.post("/senders", &SENDER).await;
    assert!(made.flash().good);
    assert_eq!(made.goes_to(), "/senders/2");
    let html = site.page("/senders/2").await;
    assert!(html.contains("Carl@example.com") && html.contains("Day 1 of"), "{html}");

    for (field, value, said) in [
        ("address", "nobody", "no mailbox"),
        ("time_zone", "Mars/Olympus", "Mars/Olympus"),
        ("daily_cap", "many", "a whole number"),
        ("growth", "-1", "a whole number"),
        ("per_minute", "0", "or nothing"),
        ("provider", "", "choose an account"),
        ("provider", "99", "there is none of that number"),
        ("channel", "sms", ""),
        ("channel", "pigeon", "choose a channel"),
    ] {
        let html = site.refused("/senders", &with(&SENDER, &[(field, value)])).await;
        assert!(said == "no mailbox" || html.contains(said), "{field} {value}: {html}");
    }

    let same = [("id", "2"), ("revision", "1"), ("address", "Carl@example.com")];
    let change = with(&with(&SENDER, &same), &[("daily_cap", "700")]);
    assert!(site.post("/senders", &change).await.flash().good);
    let stale = site.refused("/senders", &change).await;
    assert!(stale.contains("somebody else has changed it"), "{stale}");
    let other = with(&change, &[("revision", "2"), ("address", "dora@example.com")]);
    assert!(site.refused("/senders", &other).await.contains("keeps its channel and address"));

    assert!(site.post("/senders/2/pause", &[("why", "on holiday")]).await.flash().good);
    assert!(site.page("/senders").await.contains("on holiday"));
    assert!(site.post("/senders/2/resume", &[]).await.flash().good);
    assert!(!site.page("/senders").await.contains("on holiday"));
}

const PROVIDER: [(&str, &str); 5] = [
    ("name", "second"),
    ("kind", "smtp"),
    ("url", "smtp://carl:pass@127.0.0.1:2"),
    ("secret", "s3cret"),
    ("per_second", "10"),
];

#[tokio::test]
async fn an_account_is_made_and_changed_and_its_secrets_go_one_way_only() {
    let (_dir, site) = new_site().await;
    site.fill("x").await;
    assert_eq!(site.post("/providers", &PROVIDER).await.goes_to(), "/providers/2");
    let html = site.page("/providers/2").await;
    assert!(html.contains("smtp://carl:***@127.0.0.1:2") && html.contains("one is kept"), "{html}");
    assert!(!html.contains("s3cret") && !html.contains(":pass@"), "{html}");

    let masked = [("url", "smtp://carl:***@127.0.0.1:2"), ("secret", ""), ("id", "2"), ("revision", "1")];
    assert!(site.post("/providers", &with(&PROVIDER, &masked)).await.flash().good);
    let id = windlass_campaigns::model::ProviderId(2);
    let stored = site.app.db().read(move |tx| windlass_campaigns::store::providers::get(tx, id)).await;
    let stored = stored.unwrap().unwrap();
    assert_eq!((stored.url.as_str(), stored.secret.as_str()), ("smtp://carl:pass@127.0.0.1:2", "s3cret"));

    for changed in [
        [("name", " ")],
        [("name", "mail x")],
        [("kind", "pigeon")],
        [("url", "carrier://pigeon")],
        [("url", "smtp://carl:***@127.0.0.1:3")],
        [("per_second", "fast")],
    ] {
        let html = site.refused("/providers", &with(&PROVIDER, &changed)).await;
        assert!(!html.contains("s3cret") && !html.contains(":pass@"), "{html}");
    }
    assert!(site.refused("/providers", &with(&PROVIDER, &masked)).await.contains("somebody else"));
    let renamed = with(&with(&PROVIDER, &masked), &[("revision", "2"), ("name", "third")]);
    assert!(site.refused("/providers", &renamed).await.contains("keeps its name"));

    for path in ["/providers", "/providers/1/breaker", "/providers/1/rules", "/providers/1/rules/remove"] {
        let answer = site.post_as("read payloads operate", path, &PROVIDER).await;
        assert_eq!(answer.status.as_u16(), 403, "{path}");
    }
}

#[tokio::test]
async fn a_person_decides_for_a_breaker_and_lets_it_go() {
    let (_dir, site) = new_site().await;
    site.fill("x").await;
    let at = "/providers/1/breaker";
    assert!(!site.post(at, &[("gate", "open")]).await.flash().good, "without a word why");
    assert!(!site.post(at, &[("gate", "ajar"), ("why", "x")]).await.flash().good);
    assert!(site.post(at, &[("gate", "open"), ("why", "they bill us twice")]).await.flash().good);
    let html = site.page("/providers/1").await;
    assert!(html.contains("they bill us twice") && html.contains("holds messages back"), "{html}");
    assert!(site.post(at, &[("gate", "release")]).await.flash().good);
    assert!(!site.page("/providers/1").await.contains("Leave it to the breaker again"));
    assert!(site.page("/audit").await.contains("hold provider back"));
}

#[tokio::test]
async fn a_rule_for_an_error_is_written_and_removed() {
    let (_dir, site) = new_site().await;
    site.fill("x").await;
    let at = "/providers/1/rules";
    let rule = [("code", "smtp/550-5.7.999"), ("action", "retry"), ("note", "they change their mind")];
    assert!(site.post(at, &rule).await.flash().good);
    assert!(site.page("/providers/1").await.contains("they change their mind"));
    assert!(site.refused(at, &with(&rule, &[("code", "5*1")])).await.contains("only stand at the end"));
    assert!(site.refused(at, &with(&rule, &[("action", "explode")])).await.contains("choose what is done"));
    let remove = "/providers/1/rules/remove";
    assert!(site.post(remove, &[("code", "smtp/550-5.7.999")]).await.flash().good);
    assert!(!site.post(remove, &[("code", "smtp/550-5.7.999")]).await.flash().good);
}

//! Every form once with what it is for, and once with what it cannot take.

use windlass_campaigns::{
    db,
    flow::verbs,
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_for_a_breaker_may_ask_again_as_soon_as_a_person_lets_it() {
    for gate in ["closed", "release"] {
        let (_dir, site) = new_site().await;
        let filled = site.fill("x").await;
        let at = "/providers/1/breaker";
        assert!(site.post(at, &[("gate", "open"), ("why", "down")]).await.flash().good);
        let client = site.app.client();
        let is_held = async || {
            let limits = client.store().limits(None, 100).await.unwrap().items;
            limits.iter().any(|limit| limit.name.as_str() == "provider-1" && limit.closed_until.is_some())
        };
        let relaying = db::relay(site.app.db(), client).unwrap();
        let worker = site.app.work().await.unwrap();
        verbs::launch_without_preflight(&site.app, filled.campaign, "Ann").await.unwrap();
        let begun = std::time::Instant::now();
        while !is_held().await {
            assert!(begun.elapsed().as_secs() < 20, "nobody has asked");
            tokio::task::yield_now().await;
        }
        worker.shutdown().await;
        relaying.end().await;
        assert!(site.post(at, &[("gate", gate), ("why", "they are back")]).await.flash().good);
        assert!(!is_held().await, "{gate}");
    }
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
    let short = with(&with(&PROVIDER, &masked), &[("revision", "2"), ("inbound_key", "s3cret-short")]);
    let html = site.refused("/providers", &short).await;
    assert!(html.contains("id=\"pr-inbound-fault\"") && html.contains("16 to 200 characters"), "{html}");
    assert!(!html.contains("s3cret"), "{html}");
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

const TEXT: [(&str, &str); 5] = [
    ("name", "welcome"),
    ("channel", "email"),
    ("subject", "Hello {{first_name|there}}"),
    ("body", "Hi {{first_name}}, {{field.favourite}}!\r\n{{unsubscribe_url}}\n{{postal_address}}"),
    ("html", "<p>Hi {{first_name}} <script>alert(1)</script></p>"),
];

#[tokio::test]
async fn a_template_is_written_shown_and_written_again() {
    let (_dir, site) = new_site().await;
    site.fill("x").await;
    let at = "/templates";
    let made = site.post(at, &with(&TEXT, &[("then", "save")])).await;
    assert_eq!(made.goes_to(), "/templates/2");
    let html = site.page("/templates/2").await;
    assert!(html.contains("Hello Alex") && html.contains("[favourite]"), "{html}");

    for (field, value, said) in [
        ("name", "", "1 to 100 characters"),
        ("name", "welcome", "there is a template of that name"),
        ("body", " ", "write something"),
        ("body", "Hi {{first name}", "line 1"),
        ("subject", "{{", "line 1"),
    ] {
        let first = [("name", "another"), ("html", ""), ("then", "save")];
        let html = site.refused(at, &with(&with(&TEXT, &first), &[(field, value)])).await;
        assert!(html.contains(said), "{field} {value}: {html}");
    }

    let shown = [("id", "2"), ("then", "preview"), ("contact", "bob@example.org"), ("subject", "Changed")];
    let html = site.post(at, &with(&TEXT, &shown)).await.text;
    super::well_formed(at, &html);
    assert!(
        html.contains("tea x") && html.contains("not saved yet") && !html.contains("preview.html"),
        "{html}"
    );
    let nobody = site.refused(at, &with(&with(&TEXT, &shown), &[("contact", "nobody@example.org")])).await;
    assert!(nobody.contains("there is nobody of that number"), "{nobody}");
    let hidden = site.post_as("read operate", at, &with(&TEXT, &shown)).await;
    assert!(!hidden.text.contains("tea x") && hidden.text.contains("the scope payloads"), "{}", hidden.text);

    let again = with(&TEXT, &[("id", "2"), ("then", "save"), ("name", "ignored"), ("channel", "sms")]);
    assert_eq!(site.post(at, &again).await.goes_to(), "/templates/3");
    let html = site.page("/templates/3").await;
    assert!(html.contains("welcome") && html.contains("version 2") && !html.contains("ignored"));
}

#[tokio::test]
async fn what_a_template_says_in_html_runs_nowhere() {
    let (_dir, site) = new_site().await;
    site.fill("x").await;
    site.post("/templates", &with(&TEXT, &[("then", "save")])).await;
    let seen = site.get("/templates/2/preview.html?contact=1").await;
    assert!(seen.text.contains("Hi Bob <script>"), "{}", seen.text);
    let policy = seen.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("sandbox;") && !policy.contains("script-src"), "{policy}");
}

#[tokio::test]
async fn somebody_who_lacks_a_variable_is_told_to_be_skipped() {
    let (_dir, site) = new_site().await;
    site.fill("x").await;
    let text = with(
        &TEXT,
        &[("then", "preview"), ("contact", "1"), ("body", "{{company}} {{city|-}}"), ("html", "")],
    );
    let html = site.post("/templates", &text).await.text;
    assert!(html.contains("They would be skipped") && html.contains("<code>company</code>"), "{html}");
}

#[tokio::test]
async fn a_test_goes_to_the_provider_at_once_and_counts_for_no_campaign() {
    let (dir, site) = new_site().await;
    let filled = site.fill("x").await;
    let any_port = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let log = dir.path().join("mail.jsonl");
    let mail = windlass_doubles::smtp::start(any_port, &log, windlass_doubles::smtp::Options::default())
        .await
        .unwrap();
    let mut provider = filled.provider;
    provider.url = mail.url();
    windlass_campaigns::flow::accounts::set_provider(&site.app, provider, "test").await.unwrap();

    let test = [("then", "test"), ("sender", "1"), ("test_to", "me@example.com"), ("contact", "1")];
    let html = site.post("/templates", &with(&TEXT, &test)).await.text;
    assert!(html.contains("The test is on its way to me@example.com"), "{html}");
    let sent = std::fs::read_to_string(&log).unwrap();
    assert!(sent.contains("me@example.com") && !sent.contains("bob@example.org"), "{sent}");
    assert!(site.page("/audit").await.contains("send test"));
    assert!(site.page("/touches").await.contains("No messages"));

    for (field, value, said) in [
        ("test_to", "nobody", "neither a mailbox nor a number"),
        ("test_to", "+12125550100", "another kind of address"),
        ("sender", "7", "choose in whose name"),
    ] {
        let html = site.post("/templates", &with(&with(&TEXT, &test), &[(field, value)])).await.text;
        assert!(html.contains(said), "{field} {value}: {html}");
    }
    site.post("/suppressions", &[("address", "me@example.com")]).await;
    assert!(site.refused("/templates", &with(&TEXT, &test)).await.contains("it is suppressed"));
    site.post("/senders/1/pause", &[]).await;
    let paused = with(&with(&TEXT, &test), &[("test_to", "you@example.com")]);
    assert!(site.post("/templates", &paused).await.text.contains("is paused"));
    assert_eq!(std::fs::read_to_string(&log).unwrap(), sent, "nothing else was sent");
    drop(mail);
}

#[tokio::test]
async fn a_consent_is_recorded_with_its_proof_and_taken_back() {
    let (_dir, site) = new_site().await;
    site.fill("x").await;
    let given = [("channel", "sms"), ("basis", "express_written"), ("proof", "form 7")];
    assert!(site.post("/contacts/1/consents", &given).await.flash().good);
    assert!(site.page("/contacts/1").await.contains("form 7"));
    let without = site.refused("/contacts/1/consents", &with(&given, &[("proof", " ")])).await;
    assert!(without.contains("a consent without a proof is none"));
    assert!(!site.post("/contacts/1/consents", &with(&given, &[("basis", "rumour")])).await.flash().good);
    assert!(!site.post("/contacts/1/consents", &with(&given, &[("channel", "pigeon")])).await.flash().good);
    assert_eq!(site.post("/contacts/9/consents", &given).await.status.as_u16(), 404);
    assert!(site.post("/contacts/1/revoke", &[("channel", "sms")]).await.flash().good);
    let back = site.app.db().read(|tx| {
        windlass_campaigns::store::contacts::consents(tx, windlass_campaigns::model::ContactId(1))
    });
    let back = back.await.unwrap();
    assert!(back.iter().any(|consent| consent.channel.name() == "sms" && consent.revoked_at.is_some()));
}

#[tokio::test]
async fn a_contact_who_told_a_person_so_is_opted_out_on_their_page() {
    let (_dir, site) = new_site().await;
    under_way(&site, "x").await;
    assert!(!site.post("/contacts/1/opt-out", &[("channel", "pigeon")]).await.flash().good);
    let by_phone = [("channel", "sms"), ("reason", "asked by phone")];
    assert!(site.post("/contacts/1/opt-out", &by_phone).await.flash().good);
    let page = site.page("/contacts/1").await;
    assert!(page.contains("is not reached by sms: asked by phone"), "{page}");
    assert!(site.post("/contacts/1/opt-out", &[("channel", "")]).await.flash().good);
    let page = site.page("/contacts/1").await;
    assert!(page.contains("is not reached by email: by a person"), "{page}");
    assert_eq!(site.post("/contacts/99/opt-out", &by_phone).await.status.as_u16(), 404);
}

#[tokio::test]
async fn a_contact_is_searched_exported_and_after_a_question_erased() {
    let (_dir, site) = new_site().await;
    under_way(&site, "x").await;
    for search in ["Bob", "bob%40exam", "%2B1212555", "BOB%40example.org"] {
        assert!(site.page(&format!("/contacts?search={search}")).await.contains("Bob x"), "{search}");
    }
    assert!(site.page("/contacts?search=eve").await.contains("Nobody is meant"));
    let export = site.get("/contacts/1/export").await;
    let records: Vec<serde_json::Value> =
        export.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&records[0]["record"], &records[0]["email"]), (&"contact".into(), &"bob@example.org".into()));
    let messages = site.get("/1/messages.csv").await;
    assert_eq!(messages.text.lines().count(), 3, "{}", messages.text);
    assert_eq!(site.get_as("read", "/1/messages.csv").await.status.as_u16(), 403);
    assert_eq!(site.get("/7/messages.csv").await.status.as_u16(), 404);
    assert_eq!(site.get_as("read", "/contacts/1/export").await.status.as_u16(), 403);

    let asked = site.post("/contacts/1/erase", &[]).await;
    super::well_formed("erase", &asked.text);
    assert!(asked.text.contains("cannot be taken back") && site.page("/contacts/1").await.contains("Bob"));
    assert!(site.post("/contacts/1/erase", &[("confirmed", "yes")]).await.flash().good);
    for path in ["/contacts/1", "/touches/1", "/reviews", "/contacts", "/touches"] {
        let html = site.page(path).await;
        assert!(!html.contains("Bob") && !html.contains("bob@example.org"), "{path}: {html}");
    }
}

const CAMPAIGN: [(&str, &str); 17] = [
    ("revision", "1"),
    ("name", "autumn"),
    ("list", "1"),
    ("daily_cap", "50"),
    ("weight", "20"),
    ("postal_address", "2 Main St"),
    ("sender", "1"),
    ("stop", "reply"),
    ("zone", "Europe/Berlin"),
    ("hours_in", "campaign"),
    ("no_zone", "use_campaign_zone"),
    ("hours-mon", "09:00-12:00, 13:00-20:00"),
    ("dates", "2026-12-24, 2026-12-31"),
    ("calendar", "us-federal"),
    ("channel-1", "email"),
    ("template-1", "1"),
    ("delay-1", "2"),
];
const STEP: [(&str, &str); 2] = [("unit-1", "business_days"), ("condition-1", "always")];

#[tokio::test]
async fn a_draft_is_written_in_one_form_and_comes_back_as_it_was_written() {
    let (_dir, site) = new_site().await;
    let filled = site.fill("x").await;
    let form = with(&CAMPAIGN, &STEP);
    let at = "/1/edit";
    site.page(at).await;
    assert_eq!(site.post(at, &with(&form, &[("then", "save")])).await.goes_to(), "/1");
    let id = filled.campaign;
    let kept = site.app.db().read(move |tx| {
        let campaign = campaigns::get(tx, id)?.unwrap();
        Ok::<_, windlass_campaigns::db::DbError>((campaigns::steps(tx, id, 1)?, campaign))
    });
    let (steps, campaign) = kept.await.unwrap();
    assert_eq!((campaign.name.as_str(), campaign.daily_cap, campaign.weight), ("autumn", Some(50), 20));
    assert_eq!(steps[0].delay, windlass_campaigns::window::Delay::BusinessDays(2));
    assert!(campaign.stop_rules.reply && !campaign.stop_rules.bounce);
    let policy = serde_json::to_value(&campaign.policy).unwrap();
    assert_eq!(policy["zone"], "Europe/Berlin");
    assert_eq!(policy["week"]["mon"], serde_json::json!(["09:00-12:00", "13:00-20:00"]));
    let html = site.page(at).await;
    for part in
        ["09:00-12:00, 13:00-20:00", "2026-12-24, 2026-12-31", "value=\"us-federal\" checked", "2 Main St"]
    {
        assert!(html.contains(part), "{part}: {html}");
    }
    let next = with(&form, &[("revision", "2"), ("then", "check")]);
    assert_eq!(site.post(at, &next).await.goes_to(), "/1/check");
    site.page("/1/check").await;
    assert!(site.refused(at, &with(&form, &[("then", "save")])).await.contains("changed by somebody else"));
}

#[tokio::test]
async fn what_is_wrong_with_a_draft_stands_at_its_field_and_nothing_is_kept() {
    let (_dir, site) = new_site().await;
    site.fill("x").await;
    let form = with(&CAMPAIGN, &STEP);
    for (field, value, said) in [
        ("name", "", "1 to 100 characters"),
        ("weight", "1000", "a whole number, 1 to 100"),
        ("daily_cap", "none", "or nothing"),
        ("zone", "Mars/Olympus", "Mars/Olympus"),
        ("hours-mon", "nine to five", "nine to five"),
        ("hours-mon", "", "the window never opens"),
        ("dates", "christmas", "christmas is no date"),
        ("list", "77", "there is no list 77"),
        ("sender", "77", "there is no sender 77"),
        ("delay-1", "soon", "a whole number"),
        ("delay-1", "400", "step 1"),
        ("unit-1", "moons", "choose in what the delay is counted"),
        ("condition-1", "full_moon", "choose when it is taken"),
        ("template-1", "", "choose what it says"),
        ("template-1", "77", "no template 77"),
        ("channel-1", "sms", "is for email"),
        ("fallback-1", "sms", "choose what is said to those"),
    ] {
        let html = site.refused("/1/edit", &with(&form, &[(field, value)])).await;
        assert!(html.contains(said), "{field} {value}: {html}");
    }
    assert!(site.page("/1").await.contains("spring x"));
}

#[tokio::test]
async fn a_button_of_the_sequence_changes_the_form_and_keeps_nothing() {
    let (_dir, site) = new_site().await;
    site.fill("x").await;
    let form = with(&CAMPAIGN, &STEP);
    let html = site.post("/1/edit", &with(&form, &[("then", "add")])).await.text;
    super::well_formed("add", &html);
    assert!(html.contains("Step 2") && html.contains("not saved yet") && html.contains("value=\"autumn\""));
    let html = site.post("/1/edit", &with(&form, &[("then", "remove-1")])).await.text;
    assert!(html.contains("No steps yet"), "{html}");
    assert!(site.page("/1").await.contains("spring x"));
}

#[tokio::test]
async fn a_campaign_that_was_launched_gets_another_version_of_its_sequence() {
    let (_dir, site) = new_site().await;
    let (filled, _) = under_way(&site, "x").await;
    let id = filled.campaign;
    let read = |id| site.app.db().read(move |tx| campaigns::get(tx, id));
    let revision = read(id).await.unwrap().unwrap().revision.to_string();
    let form = with(
        &with(&CAMPAIGN, &STEP),
        &[("revision", &revision), ("then", "save"), ("moves", "everybody"), ("key-1", "1")],
    );
    // Whoever changes the sequence is told first what that means.
    let html = site.post("/1/edit", &form).await.text;
    assert!(
        html.contains("What version 2 of the sequence means") && html.contains("value=\"sure\""),
        "{html}"
    );
    assert!(html.contains("1 contact before step 1: they stay there."), "{html}");
    assert_eq!(read(id).await.unwrap().unwrap().version, 1);
    let form = with(&form, &[("then", "sure")]);
    assert!(site.post("/1/edit", &form).await.flash().good);
    let campaign = read(id).await.unwrap().unwrap();
    assert_eq!((campaign.version, campaign.name.as_str()), (2, "autumn"));
    let revision = campaign.revision.to_string();
    let same = with(&form, &[("revision", &revision), ("name", "winter")]);
    assert!(site.post("/1/edit", &same).await.flash().good);
    assert_eq!(read(id).await.unwrap().unwrap().version, 2, "the same sequence is no other version");
}

#[tokio::test]
async fn a_draft_is_looked_at_and_launched_as_it_was_looked_at() {
    let (_dir, site) = new_site().await;
    site.fill("x").await;
    let html = site.page("/1/check").await;
    assert!(html.contains("the last goes out") && !html.contains("disabled"), "{html}");
    let soon = site.refused("/1/launch", &[("revision", "1"), ("starts_at", "soon")]).await;
    assert!(soon.contains("2026-11-23 09:00") && soon.contains("value=\"soon\""), "{soon}");
    let stale = site.post("/1/launch", &[("revision", "7")]).await;
    assert!(!stale.flash().good && stale.goes_to() == "/1/check");

    let later = site.post("/1/launch", &[("revision", "1"), ("starts_at", "2026-11-23 09:00")]).await;
    assert!(later.flash().good, "{:?}", later.flash());
    assert_eq!(later.goes_to(), "/1");
    let html = site.page("/1").await;
    assert!(html.contains("scheduled") && html.contains("2026-11-23T14:00:00.000Z"), "{html}");
    assert!(!site.post("/1/launch", &[]).await.flash().good, "it is launched once");
    assert_eq!(site.get("/1/check").await.goes_to(), "/1");
}

#[tokio::test]
async fn a_draft_that_reaches_nobody_says_why_and_is_not_launched() {
    let (_dir, site) = new_site().await;
    site.post("", &[("name", "empty")]).await;
    let html = site.page("/1/check").await;
    assert!(html.contains("no_list") && html.contains("disabled") && html.contains("/1/edit"), "{html}");
    let refused = site.post("/1/launch", &[("revision", "1")]).await;
    assert!(!refused.flash().good && refused.flash().text.contains("no_list"), "{:?}", refused.flash());
}

#[tokio::test]
async fn an_account_is_set_on_the_contacts_page_and_left_to_the_domain_of_their_mail_again() {
    let (_dir, site) = new_site().await;
    let filled = site.fill("x").await;
    let at = format!("/contacts/{}", filled.contact);
    let set = format!("{at}/account");
    assert!(
        site.page(&at).await.contains("example.org <span class=\"quiet\">the domain of their mail</span>")
    );
    assert!(site.post(&set, &[("account", " Example Inc. ")]).await.flash().good);
    let page = site.page(&at).await;
    assert!(page.contains("Example Inc. <span class=\"quiet\">as somebody wrote it</span>"), "{page}");
    let long = "x".repeat(201);
    assert!(site.refused(&set, &[("account", &long)]).await.contains("at most 200 characters"));
    let hidden = site.post_as("read,operate", &set, &[("account", "Other")]).await;
    assert_eq!(hidden.status.as_u16(), 403, "whoever does not see it writes over nothing");
    assert!(site.post(&set, &[("account", "")]).await.flash().good);
    assert!(site.page(&at).await.contains("the domain of their mail"));
    assert_eq!(site.post("/contacts/9/account", &[("account", "x")]).await.status.as_u16(), 404);
}

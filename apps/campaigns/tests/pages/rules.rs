//! What holds for everybody: limits of domains, users' shares, the legal hours; and what of it campaigns show.

use axum::http::StatusCode;
use serde_json::{Value, json};
use windlass_campaigns::{
    flow::verbs,
    model::CampaignId,
    store::{providers, settings},
    window::RuleTable,
};

use super::{new_site, site::Site, under_way, well_formed};

#[tokio::test]
async fn a_domain_is_held_back_and_let_go_again() {
    let (_dir, site) = new_site().await;
    let given = [("domain", " Gmail.com "), ("per_minute", "600"), ("concurrency", "")];
    assert!(site.post("/domains", &given).await.flash().good);
    let html = site.page("/domains?edit=gmail.com").await;
    for part in ["value=\"gmail.com\"", "value=\"600\"", "/q/limits?edit=domain-gmail.com", "no limit"] {
        assert!(html.contains(part), "{part} is not on it: {html}");
    }
    for (changed, said) in [
        (("domain", "nonsense"), "write a domain such as gmail.com"),
        (("domain", "a b.com"), "write a domain such as gmail.com"),
        (("per_minute", "many"), "a whole number"),
        (("per_minute", "0"), "a whole number"),
        (("per_minute", ""), "mails a minute, at once or a day"),
        (("concurrency", "-1"), "a whole number"),
    ] {
        let form: Vec<_> = given.map(|one| if one.0 == changed.0 { changed } else { one }).to_vec();
        assert!(site.refused("/domains", &form).await.contains(said), "{changed:?}");
    }
    assert!(site.post("/domains/remove", &[("domain", "gmail.com")]).await.flash().good);
    assert_eq!(site.post("/domains/remove", &[("domain", "gmail.com")]).await.status.as_u16(), 404);
    assert!(site.app.db().read(providers::domain_limits).await.unwrap().is_empty());
    let limits = site.app.client().store().limits(None, 99).await;
    assert!(!format!("{limits:?}").contains("domain-gmail.com"), "the queue has forgotten it, too");
}

#[tokio::test]
async fn a_users_share_is_set_and_what_it_comes_to_is_told() {
    let (_dir, site) = new_site().await;
    under_way(&site, "x").await;
    assert!(site.post("/users", &[("name", "Ben & Co"), ("weight", "30")]).await.flash().good);
    let html = site.page("/users").await;
    // One of two has a campaign: while nobody else's waits, all of the queues are theirs.
    assert!(html.contains("100 %") && html.contains("edit=Ben%20%26%20Co"), "{html}");
    let html = site.page("/users?edit=Ben%20%26%20Co").await;
    assert!(html.contains("value=\"30\""), "{html}");
    for (name, weight, said) in
        [(" ", "10", "1 to 100 characters"), ("Ann x", "0", "a whole number"), ("Ann x", "101", "1 to 100")]
    {
        let html = site.refused("/users", &[("name", name), ("weight", weight)]).await;
        assert!(html.contains(said), "{name} {weight}: {html}");
    }
}

#[tokio::test]
async fn another_table_of_legal_hours_holds_at_once_and_the_programs_own_again_after_a_question() {
    let (_dir, site) = new_site().await;
    let html = site.page("/hours").await;
    for part in ["US-FL", "to be verified", "Fla. Stat. 501.616", "since 2021-07-01", "not on holidays of"] {
        assert!(html.contains(part), "{part} is not on it: {html}");
    }
    let built_in = RuleTable::built_in_text();
    let same_name = built_in.replacen("08:00-21:00", "10:00-21:00", 1);
    assert!(site.refused("/hours", &[("text", &same_name)]).await.contains("a name of its own"));
    let wrong = built_in.replacen("08:00-21:00", "8-21", 1);
    assert!(site.refused("/hours", &[("text", &wrong)]).await.contains("cannot be read"));
    assert_eq!(site.app.rules().edition, RuleTable::built_in().edition, "what was refused holds nowhere");

    let edition = format!("edition = {:?}", RuleTable::built_in().edition);
    let stricter = same_name.replacen(&edition, "edition = \"ours-1\"", 1);
    assert!(site.post("/hours", &[("text", &stricter)]).await.flash().text.contains("ours-1"));
    assert_eq!(site.app.rules().edition, "ours-1");
    let html = site.page("/hours").await;
    assert!(html.contains("edited here") && html.contains("10:00-21:00"), "{html}");
    let kept: Option<String> =
        site.app.db().read(|tx| settings::get(tx, settings::WINDOW_RULES)).await.unwrap();
    assert_eq!(kept.as_deref(), Some(stricter.as_str()), "it is kept as it was written");

    let asked = site.post("/hours/reset", &[]).await;
    well_formed("reset", &asked.text);
    assert!(asked.text.contains("Take the edited table away?") && site.app.rules().edition == "ours-1");
    assert!(site.post("/hours/reset", &[("confirmed", "yes")]).await.flash().good);
    assert_eq!(*site.app.rules(), *RuleTable::built_in());
    assert!(!site.post("/hours/reset", &[("confirmed", "yes")]).await.flash().good, "nobody has edited it");
}

#[tokio::test]
async fn caps_of_a_user_of_everybody_and_of_a_domain_are_written_shown_and_taken_away() {
    let (_dir, site) = new_site().await;
    let (ben, none) = (json!({"name": "Ben", "daily_cap": 500}), json!({"name": "Ben", "daily_cap": null}));
    assert_eq!(site.tell("/users", ben).await.json()["daily_cap"], 500);
    let kept = site.tell("/users", json!({"name": "Ben", "weight": 20})).await.json();
    assert_eq!((&kept["daily_cap"], &kept["weight"]), (&json!(500), &json!(20)), "what is left out stays");
    assert!(site.page("/users?edit=Ben").await.contains("value=\"500\""));
    let zero = site.tell("/users", json!({"name": "Ben", "daily_cap": 0})).await;
    zero.problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid");
    assert_eq!(site.tell("/users", none).await.json()["daily_cap"], Value::Null);
    let form = [("name", "Ben"), ("weight", "10"), ("daily_cap", "700")];
    assert!(site.post("/users", &form).await.flash().good);
    assert!(site.page("/users").await.contains("<td class=\"n\">700</td>"));

    assert!(site.refused("/users/everybody", &[("everybodys", "0")]).await.contains("u-everybody"));
    assert!(site.post("/users/everybody", &[("everybodys", "9000")]).await.flash().text.contains("9,000"));
    assert_eq!(site.asked("/daily-cap").await, json!({"messages": 9000}));
    assert!(site.page("/users").await.contains("value=\"9000\""));
    assert!(site.post("/users/everybody", &[("everybodys", "")]).await.flash().good);
    assert_eq!(site.asked("/daily-cap").await, json!({"messages": null}));

    let form = [("domain", "gmail.com"), ("per_day", "5000")];
    assert!(site.post("/domains", &form).await.flash().good);
    assert_eq!(site.asked("/domain-limits").await[0]["per_day"], 5000);
    assert!(site.page("/domains").await.contains("5,000"));
}

#[tokio::test]
async fn what_holds_for_everybody_takes_an_administrator() {
    let (_dir, site) = new_site().await;
    for path in ["/domains", "/domains/remove", "/users", "/users/everybody", "/hours", "/hours/reset"] {
        let answer = site.post_as("read payloads operate", path, &[("domain", "gmail.com")]).await;
        assert_eq!(answer.status.as_u16(), 403, "{path}");
        well_formed(path, &answer.text);
    }
    for path in ["/domains", "/users", "/hours"] {
        let html = site.get_as("read payloads operate", path).await.text;
        assert!(!html.contains("method=\"post\""), "{path} offers what is refused: {html}");
    }
}

#[tokio::test]
async fn a_message_of_a_paused_campaign_says_so_and_numbers_lead_to_their_messages() {
    let (_dir, site) = new_site().await;
    let (filled, _) = under_way(&site, "x").await;
    let html = site.page(&format!("/{}", filled.campaign)).await;
    assert!(html.contains("/touches?campaign=1&amp;step_key=2&amp;status=deferred"), "{html}");
    let html = site.page("/touches?campaign=1&step_key=2&status=deferred").await;
    assert!(html.contains("the provider asked to wait") && !html.contains("/touches/1\""), "{html}");
    assert!(html.contains("selected>spring x"), "the campaign is chosen by its name: {html}");
    assert_eq!(site.get("/touches?step=x").await.status.as_u16(), 422);
    let waits: i64 = html.split("/touches/").find_map(|rest| rest.split('"').next()?.parse().ok()).unwrap();
    verbs::pause(&site.app, filled.campaign, "test").await.unwrap();
    for path in ["/touches?status=deferred".to_owned(), format!("/touches/{waits}")] {
        let html = site.page(&path).await;
        assert!(html.contains("the campaign is paused"), "{path}: {html}");
    }
}

#[tokio::test]
async fn whoever_edits_a_launched_sequence_says_who_goes_by_it_and_sees_when_people_are_reached() {
    let (_dir, site) = new_site().await;
    let (filled, _) = under_way(&site, "x").await;
    let html = site.page("/1/edit").await;
    assert!(html.contains("<figure class=\"heat\">") && html.contains("at most 100 % at once"), "{html}");
    assert!(html.contains("name=\"moves\"") && !html.contains("Save and check"), "{html}");
    assert!(!html.contains("<select id=\"b-list\""), "a list that stays is not offered: {html}");
    // Their first message has gone out: only who moves everybody moves them.
    for (moves, version) in [("everybody", 2), ("not_begun", 2)] {
        let revision = revision(&site, filled.campaign).await;
        let delay = if moves == "everybody" { "3" } else { "4" };
        let form = [
            ("revision", revision.as_str()),
            ("name", "spring"),
            ("list", "1"),
            ("weight", "10"),
            ("sender", "1"),
            ("zone", "America/New_York"),
            ("hours-mon", "00:00-24:00"),
            ("channel-1", "email"),
            ("template-1", "1"),
            ("delay-1", delay),
            ("unit-1", "days"),
            ("condition-1", "always"),
            ("moves", moves),
            ("key-1", "1"),
            ("then", "sure"),
        ];
        let saved = site.post("/1/edit", &form).await;
        assert!(saved.flash().good, "{saved:?}");
        let enrolled =
            site.app.db().read(|tx| tx.count("SELECT version FROM enrolments WHERE campaign_id = 1", &[]));
        assert_eq!(enrolled.await.unwrap(), version, "{moves}");
    }
}

async fn revision(site: &Site, id: CampaignId) -> String {
    let campaign = site.app.db().read(move |tx| windlass_campaigns::store::campaigns::get(tx, id)).await;
    campaign.unwrap().unwrap().revision.to_string()
}

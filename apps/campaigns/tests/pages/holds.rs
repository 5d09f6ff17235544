//! Pauses and the end of one contact's sequence on pages and through the API; what waits for a person.

use axum::http::StatusCode;
use serde_json::json;
use windlass_campaigns::{
    model::{CampaignId, campaign::CampaignStatus},
    store::{campaigns, senders},
};

use super::{new_site, site::MORNING, under_way};

/// A day and a time on the clocks of New York, to come for whoever looks within a day.
const LATER: &str = "2026-11-30 09:00";
/// The same moment.
const LATER_MS: u64 = 1_796_047_200_000;

#[tokio::test]
async fn a_contact_is_paused_resumed_and_taken_out_of_one_campaign_on_their_page() {
    let (_dir, site) = new_site().await;
    let (filled, _) = under_way(&site, "<i>x</i>").await;
    let (path, campaign) = (format!("/contacts/{}", filled.contact), filled.campaign.to_string());
    assert!(site.post("/reviews/1", &[("decision", "no_opt_out")]).await.flash().good);
    let to = |verb: &str| format!("{path}/{verb}");
    for (until, said) in [
        ("tomorrow", "a day and a time"),
        ("2026-11-18 09:59", "has passed"),
        ("2226-01-01 00:00", "five years"),
    ] {
        let html = site.refused(&to("pause"), &[("campaign", ""), ("until", until)]).await;
        assert!(html.contains(said) && html.contains(&format!("value=\"{until}\"")), "{html}");
    }
    assert!(!site.post(&to("pause"), &[("campaign", "99")]).await.status.is_success());
    assert!(!site.post(&to("resume"), &[("campaign", "")]).await.flash().good, "they are not paused");

    let fields = [("campaign", campaign.as_str()), ("until", LATER), ("why", "surgery <b>")];
    assert!(site.post(&to("pause"), &fields).await.flash().good);
    assert!(site.post(&to("pause"), &[("campaign", ""), ("until", " ")]).await.flash().good);
    let html = site.page(&path).await;
    assert!(html.contains("surgery &#60;b&#62;") && html.contains("somebody resumes them"), "{html}");
    assert!(html.contains("2026-11-30T14:00:00"), "{html}");
    let hidden = site.get_as("read", &path).await.text;
    assert!(!hidden.contains("surgery"), "a person's words may name somebody: {hidden}");
    assert!(site.page("/touches?reason=contact_paused").await.contains("the contact is paused"));
    assert!(site.post(&to("resume"), &[("campaign", "")]).await.flash().good);
    assert!(site.post(&to("resume"), &[("campaign", &campaign)]).await.flash().good);
    assert!(!site.page(&path).await.contains("Where they are paused"));

    let asks = site.post(&to("stop"), &[("campaign", &campaign)]).await;
    assert!(asks.text.contains("It is no opt-out"), "{}", asks.text);
    let sure = [("campaign", campaign.as_str()), ("confirmed", "yes")];
    assert!(site.post(&to("stop"), &sure).await.flash().good);
    assert!(!site.post(&to("stop"), &sure).await.flash().good, "it has ended");
    let html = site.page(&path).await;
    assert!(html.contains("a person ended the sequence for this contact"), "{html}");
    let log = site.page("/audit").await;
    for what in ["pause contact", "resume contact", "end sequence of contact"] {
        assert!(log.contains(what), "{what}");
    }
    assert_eq!(site.post_as("read", &to("pause"), &[]).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_campaign_and_a_sender_are_paused_until_a_moment_on_their_pages() {
    let (_dir, site) = new_site().await;
    let (filled, _) = under_way(&site, "x").await;
    for path in [format!("/{}", filled.campaign), format!("/senders/{}", filled.sender.id)] {
        let pause = format!("{path}/pause");
        for (until, said) in [("soon", "a day and a time"), ("2026-11-18 09:59", "has passed")] {
            let html = site.refused(&pause, &[("until", until)]).await;
            assert!(html.contains(said) && html.contains(&format!("value=\"{until}\"")), "{html}");
        }
        assert!(site.post(&pause, &[("until", LATER)]).await.flash().good);
        let html = site.page(&path).await;
        assert!(html.contains("goes on by itself") && html.contains("2026-11-30T14:00:00"), "{html}");
    }
    let (campaign, sender) = (filled.campaign, filled.sender.id);
    let stored = move |tx: &mut windlass_campaigns::db::Tx<'_>| {
        let until = senders::get(tx, sender)?.and_then(|sender| sender.paused_until);
        Ok::<_, windlass_campaigns::db::DbError>((campaigns::get(tx, campaign)?.unwrap(), until))
    };
    let (paused, until) = site.app.db().read(stored).await.unwrap();
    assert_eq!((paused.status, paused.paused_until.map(|at| at.0)), (CampaignStatus::Paused, Some(LATER_MS)));
    assert_eq!(until.map(|at| at.0), Some(LATER_MS));
    for path in [format!("/{campaign}/resume"), format!("/senders/{sender}/resume")] {
        assert!(site.post(&path, &[]).await.flash().good);
    }
    let (resumed, until) = site.app.db().read(stored).await.unwrap();
    assert_eq!((resumed.status, resumed.paused_until, until), (CampaignStatus::Running, None, None));
}

#[tokio::test]
async fn pauses_are_the_apis_as_well() {
    let (_dir, site) = new_site().await;
    let (filled, _) = under_way(&site, "x").await;
    let (contact, campaign) = (format!("/contacts/{}", filled.contact), filled.campaign.0);
    let until = json!({ "until": LATER_MS });
    let paused = site.tell(&format!("/campaigns/{campaign}/pause"), until.clone()).await.json();
    assert_eq!((&paused["status"], &paused["paused_until"]), (&json!("paused"), &json!(LATER_MS)));
    let resumed = site.tell(&format!("/campaigns/{campaign}/resume"), json!({})).await.json();
    assert_eq!((&resumed["status"], &resumed["paused_until"]), (&json!("running"), &json!(null)));
    let sender = site.tell(&format!("/senders/{}/pause", filled.sender.id), until).await.json();
    assert_eq!((&sender["paused"], &sender["paused_until"]), (&json!(true), &json!(LATER_MS)));

    assert_eq!(site.asked(&contact).await["review"], json!(1), "what they wrote is to be read");
    let body = json!({"campaign": campaign, "until": LATER_MS, "reason": "holiday"});
    site.tell(&format!("{contact}/pause"), body).await.json();
    let known = site.asked(&contact).await;
    let pause = &known["pauses"][0];
    assert_eq!(
        (&pause["campaign"], &pause["until"], &pause["why"], &pause["who"]),
        (&json!(campaign), &json!(LATER_MS), &json!("holiday"), &json!("key:ann"))
    );
    site.tell(&format!("{contact}/pause"), json!({})).await.json();
    let everything = site.asked(&contact).await;
    assert_eq!(everything["pauses"].as_array().unwrap().len(), 2);
    assert_eq!(everything["pauses"][0]["campaign"], json!(null));
    let past = site.tell(&format!("{contact}/pause"), json!({ "until": MORNING.0 })).await;
    assert!(past.problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid").contains("has passed"));
    site.tell(&format!("{contact}/pause"), json!({"for": "1d"}))
        .await
        .problem(StatusCode::BAD_REQUEST, "bad_request");
    site.tell(&format!("{contact}/resume"), json!({ "campaign": campaign })).await.json();
    assert_eq!(site.asked(&contact).await["pauses"].as_array().unwrap().len(), 1);
    let again = site.tell(&format!("{contact}/resume"), json!({ "campaign": campaign })).await;
    again.problem(StatusCode::CONFLICT, "conflict");
    site.tell(&format!("{contact}/stop"), json!({ "campaign": campaign })).await.json();
    assert_eq!(site.asked(&contact).await["enrolments"][0]["reason"], json!("stopped_by_person"));
    let again = site.tell(&format!("{contact}/stop"), json!({ "campaign": campaign })).await;
    again.problem(StatusCode::CONFLICT, "conflict");
    let id = CampaignId(campaign);
    let found = site.app.db().read(move |tx| campaigns::get(tx, id)).await.unwrap();
    assert!(found.is_some());
}

#[tokio::test]
async fn what_waits_for_a_person_stands_on_the_front_page_and_is_asked_for() {
    let (_dir, site) = new_site().await;
    assert_eq!(site.asked("/attention").await, json!([]));
    assert!(!site.page("").await.contains("What needs a person"));
    let (filled, _) = under_way(&site, "x").await;
    let sender = format!("/senders/{}", filled.sender.id);
    assert!(site.post(&format!("{sender}/pause"), &[("why", "5.7.1 <spam>")]).await.flash().good);
    let provider = format!("/providers/{}", filled.provider.id);
    let hold = [("gate", "open"), ("why", "they have called")];
    assert!(site.post(&format!("{provider}/breaker"), &hold).await.flash().good);
    let all = site.asked("/attention").await;
    let told: Vec<_> = all.as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
    assert_eq!(told, ["possible_opt_out", "unknown_call", "provider_held", "sender_paused"], "{all}");
    assert_eq!((&all[0]["count"], &all[0]["id"]), (&json!(1), &json!(1)));
    // Wednesday and ten days of work.
    let (since, due) = (all[0]["since"].as_u64().unwrap(), all[0]["due_at"].as_u64().unwrap());
    assert_eq!(due - since, 14 * 86_400_000);
    assert_eq!((&all[3]["name"], &all[3]["why"]), (&json!("ann@example.com"), &json!("5.7.1 <spam>")));
    let html = site.page("").await;
    for said in [
        "What needs a person",
        "1 message that may be an opt-out",
        "they have called",
        "5.7.1 &#60;spam&#62;",
    ] {
        assert!(html.contains(said), "{said}: {html}");
    }
    // Somebody who may only look sees what waits, and nobody's words.
    for path in ["/v1/attention", ""] {
        let shown = site.get_as("read", path).await.text;
        assert!(shown.contains("ann@example.com"), "{path}: {shown}");
        assert!(!shown.contains("5.7.1") && !shown.contains("they have called"), "{path}: {shown}");
    }
    // A sender that goes on by itself waits for nobody.
    assert!(site.post(&format!("{sender}/pause"), &[("until", LATER)]).await.flash().good);
    assert!(site.post("/reviews/1", &[("decision", "no_opt_out")]).await.flash().good);
    let all = site.asked("/attention").await;
    assert_eq!(all.as_array().unwrap().len(), 2, "{all}");
}

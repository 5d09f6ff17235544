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

//! What no form of ours sends is refused, as the API refuses it: it is not cut to what would fit, nor taken for nothing.

use axum::http::StatusCode;
use windlass_campaigns::{
    model::CampaignId,
    store::{campaigns, suppressions},
};

use super::{
    new_site,
    site::Site,
    variants::{CAMPAIGN, with},
};

async fn is_untouched(site: &Site) {
    let kept = site.app.db().read(|tx| campaigns::get(tx, CampaignId(1))).await.unwrap().unwrap();
    assert_eq!((kept.name.as_str(), kept.revision), ("spring x", 1), "nothing of it is kept");
}

#[tokio::test]
async fn a_sixth_variant_and_a_fifty_third_step_are_refused_and_not_cut_off() {
    let (_dir, site) = new_site().await;
    site.fill("x").await;
    let fields: Vec<(String, String)> = ('B'..='F')
        .flat_map(|letter| {
            let template = (format!("template-1-{letter}"), u32::from(letter).to_string());
            [template, (format!("weight-1-{letter}"), "50".to_owned())]
        })
        .collect();
    let six: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let six = with(&with(&CAMPAIGN, &[("weight-1", "50")]), &six);
    let html = site.refused("/1/edit", &six).await;
    assert!(html.contains("step 1 has 6 variants") && html.contains("name=\"template-1-F\""), "{html}");
    // The one too many is taken away by its button.
    let html = site.post("/1/edit", &with(&six, &[("then", "drop-1-F")])).await.text;
    assert!(!html.contains("name=\"template-1-F\"") && html.contains("name=\"template-1-E\""), "{html}");

    let numbered: Vec<[String; 5]> = (2..=53)
        .map(|n| ["channel", "delay", "unit", "condition", "template"].map(|name| format!("{name}-{n}")))
        .collect();
    let values = ["email", "1", "minutes", "always", "1"];
    let steps = numbered.iter().flat_map(|names| names.iter().map(String::as_str).zip(values));
    let many = with(&CAMPAIGN, &steps.collect::<Vec<_>>());
    for button in ["save", "check", "up-2"] {
        let answer = site.post("/1/edit", &with(&many, &[("then", button)])).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{button}");
        assert!(answer.text.contains("at most 52 steps, this one has 53"), "{button}: {}", answer.text);
    }
    is_untouched(&site).await;
    let fits = many.iter().copied().filter(|(name, _)| !name.ends_with("-7")).collect::<Vec<_>>();
    assert_eq!(
        site.post("/1/edit", &fits).await.goes_to(),
        "/1",
        "a number that is left out leaves no step out"
    );
    let steps = site.app.db().read(|tx| campaigns::steps(tx, CampaignId(1), 1)).await.unwrap();
    assert_eq!(steps.len(), 52);
}

#[tokio::test]
async fn a_choice_that_no_form_offers_is_not_taken_for_none() {
    let (_dir, site) = new_site().await;
    site.fill("x").await;
    for (field, value, said) in [
        ("list", "seven", "List: what was chosen"),
        ("sender", "seven", "Senders: what was chosen"),
        ("stop", "full_moon", "The sequence ends for a contact who: what was chosen"),
        ("calendar", "mars", "When it may reach somebody: what was chosen"),
        ("hours_in", "mars", "When it may reach somebody: what was chosen"),
        ("no_zone", "mars", "When it may reach somebody: what was chosen"),
        ("fallback-1", "pigeon", "choose by which other channel, or by none"),
    ] {
        let html = site.refused("/1/edit", &with(&CAMPAIGN, &[(field, value)])).await;
        assert!(html.contains(said), "{field} {value}: {html}");
    }
    let moves = site.post("/1/edit", &with(&CAMPAIGN, &[("moves", "some")])).await;
    assert_eq!(moves.status, StatusCode::UNPROCESSABLE_ENTITY);
    is_untouched(&site).await;

    let sender = [
        ("channel", "email"),
        ("address", "eve@example.com"),
        ("provider", "1"),
        ("time_zone", "America/New_York"),
        ("daily_cap", "9"),
        ("first_day", "9"),
        ("growth", "9"),
    ];
    for (field, value, said) in [
        ("user", "nobody", "user: a whole number"),
        ("user", "99", "there is no user 99"),
        ("provider", "nobody", "choose an account"),
        ("provider", "99", "choose an account"),
    ] {
        let html = site.refused("/senders", &with(&sender, &[(field, value)])).await;
        assert!(html.contains(said), "{field} {value}: {html}");
    }
    let other = site.post("/senders", &with(&sender, &[("id", "new")])).await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY, "a change is no new sender");
    assert_eq!(site.post("/senders", &sender).await.goes_to(), "/senders/2");

    // A word that is no channel would have ended all of them.
    let html = site.refused("/suppressions", &[("address", "bob@example.org"), ("channel", "pigeon")]).await;
    assert!(html.contains("choose one"), "{html}");
    let opted = site.post("/contacts/1/opt-out", &[("channel", "pigeon")]).await;
    assert!(!opted.flash().good);
    let none = site.app.db().read(|tx| suppressions::page(tx, i64::MAX, 9)).await.unwrap();
    assert!(none.is_empty(), "{none:?}");
}

//! Tests of what steps say: written in the builder, shown, ended; by the pages and by the API.

use axum::http::StatusCode;
use serde_json::{Value, json};
use windlass_campaigns::{
    channel::Channel,
    flow::verbs,
    model::{CampaignId, ContactId, TemplateId, variant::Variant},
    store::{
        campaigns, contacts, enrolments, events, templates,
        touches::{self, NewTouch},
    },
};

use super::{
    new_site,
    site::{Filled, Site, well_formed},
};

pub(crate) const CAMPAIGN: [(&str, &str); 13] = [
    ("revision", "1"),
    ("name", "autumn"),
    ("list", "1"),
    ("weight", "20"),
    ("postal_address", "2 Main St"),
    ("sender", "1"),
    ("zone", "America/New_York"),
    ("hours-mon", "00:00-24:00"),
    ("channel-1", "email"),
    ("delay-1", "0"),
    ("unit-1", "minutes"),
    ("condition-1", "always"),
    ("template-1", "1"),
];
const VARIANT: [(&str, &str); 3] = [("weight-1", "30"), ("template-1-B", "2"), ("weight-1-B", "70")];

/// A form with some of its fields changed.
pub(crate) fn with<'a>(
    form: &[(&'a str, &'a str)],
    changed: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let kept = form.iter().filter(|(name, _)| changed.iter().all(|(other, _)| other != name));
    kept.chain(changed).copied().collect()
}

/// One of everything, and another mail to say.
async fn set_up(site: &Site, text: &str) -> (Filled, TemplateId) {
    let (filled, now, name) = (site.fill(text).await, site.app.now(), format!("other {text}"));
    let body = "Hello {{first_name|there}}\n{{unsubscribe_url}}\n{{postal_address}}";
    let write = move |tx: &mut windlass_campaigns::db::Tx<'_>| {
        templates::write(tx, &name, Channel::Email, "News", body, None, now)
    };
    let other = site.app.db().write(write).await.unwrap();
    (filled, other)
}

async fn steps(site: &Site, id: CampaignId) -> Value {
    let steps = site.app.db().read(move |tx| {
        let campaign = campaigns::get(tx, id)?.unwrap();
        campaigns::steps(tx, id, campaign.version)
    });
    serde_json::to_value(steps.await.unwrap()).unwrap()
}

/// A campaign with a test under way, of which so many mails each were sent and so many answered.
pub(crate) async fn under_test(site: &Site, text: &str, sent: [i64; 2], replied: [i64; 2]) -> Filled {
    let (filled, other) = set_up(site, text).await;
    let form = with(&CAMPAIGN, &VARIANT);
    assert!(site.post("/1/edit", &form).await.flash().good);
    verbs::launch(&site.app, filled.campaign, "test").await.unwrap();
    let (campaign, own, sender, now) = (filled.campaign, filled.template, filled.sender.id, site.app.now());
    let made = site.app.db().write(move |tx| {
        let mut number = 0;
        for (nth, (variant, template)) in [(Variant::A, own), (Variant::B, other)].into_iter().enumerate() {
            for at in 0..sent[nth] {
                number += 1;
                let person = contacts::NewContact {
                    email: Some(format!("p{number}@example.org")),
                    ..contacts::NewContact::default()
                };
                let contact: ContactId = contacts::upsert(tx, &person, now)?.id();
                let new = NewTouch {
                    campaign,
                    contact,
                    step: 1,
                    step_key: 1,
                    channel: Channel::Email,
                    version: 1,
                    template,
                    variant: Some(variant),
                    address: format!("p{number}@example.org"),
                    sender: Some(sender),
                };
                let touch = touches::ensure(tx, &new, now)?;
                tx.run("UPDATE touches SET status = 'sent', sent_at = 1 WHERE id = $1", &[touch.id.into()])?;
                if at < replied[nth] {
                    let kind = windlass_campaigns::model::touch::EventKind::Replied;
                    events::note(tx, &touch, kind, "test", "", None, now)?;
                }
            }
        }
        Ok::<_, windlass_campaigns::db::DbError>(())
    });
    made.await.unwrap();
    filled
}

#[tokio::test]
async fn variants_are_added_weighed_removed_and_kept_as_they_were_written() {
    let (_dir, site) = new_site().await;
    set_up(&site, "x").await;
    let html = site.page("/1/edit").await;
    assert!(html.contains("value=\"vary-1\"") && !html.contains("weight-1"), "{html}");
    let html = site.post("/1/edit", &with(&CAMPAIGN, &[("then", "vary-1")])).await.text;
    well_formed("vary", &html);
    for part in [
        "name=\"template-1-B\" autofocus",
        "name=\"weight-1\" value=\"50\"",
        "50 % of the contacts",
        "not saved yet",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
    let form = with(&CAMPAIGN, &VARIANT);
    let html = site.post("/1/edit", &with(&form, &[("then", "drop-1-A")])).await.text;
    well_formed("drop", &html);
    assert!(html.contains("value=\"vary-1\" autofocus") && !html.contains("template-1-B"), "{html}");

    for (field, value, said) in [
        ("weight-1", "0", "a whole number, 1 to 100"),
        ("weight-1-B", "101", "a whole number, 1 to 100"),
        ("template-1-B", "", "choose what each variant says"),
        ("template-1", "", "choose what each variant says"),
        ("template-1-B", "1", "two of its variants say template 1"),
        ("template-1-B", "77", "no template 77"),
    ] {
        let html = site.refused("/1/edit", &with(&form, &[(field, value)])).await;
        assert!(html.contains(said), "{field} {value}: {html}");
    }
    assert_eq!(site.post("/1/edit", &form).await.goes_to(), "/1");
    let kept = steps(&site, CampaignId(1)).await;
    assert_eq!((&kept[0]["template"], &kept[0]["weight"]), (&json!(1), &json!(30)));
    assert_eq!(kept[0]["variants"], json!([{"template": 2, "weight": 70}]));
    let html = site.page("/1/edit").await;
    assert!(html.contains("value=\"70\"") && html.contains("70 % of the contacts"), "{html}");
    let html = site.page("/1/check").await;
    assert!(html.contains("the last goes out"), "{html}");
    let html = site.page("/1").await;
    assert!(html.contains("A hello x, version 1; B other x, version 1"), "{html}");
}

#[tokio::test]
async fn a_test_says_what_its_numbers_mean_and_no_more() {
    for text in ["xyzzy", "<script>alert(1)</script>"] {
        let (_dir, site) = new_site().await;
        under_test(&site, text, [200, 200], [30, 8]).await;
        let html = site.page("/1").await;
        assert!(text == "xyzzy" || !html.contains(text), "{html}");
        for part in ["A leads: more answers than any other", "15.0 %", "10.7 to 20.6 %", "Keep this one…"] {
            assert!(html.contains(part), "{part}: {html}");
        }
        let html = site.page("/1?goal=clicked").await;
        assert!(
            html.contains("Too early to tell: there are too few clicks") && !html.contains("leads:"),
            "{html}"
        );
        assert_eq!(site.get("/1?goal=fame").await.status.as_u16(), 422);
    }
    let (_dir, site) = new_site().await;
    under_test(&site, "x", [200, 200], [30, 24]).await;
    let html = site.page("/1").await;
    assert!(html.contains("Too early to tell: chance alone may make differences in answers"), "{html}");
}

#[tokio::test]
async fn a_message_says_which_variant_it_is_and_the_outbox_finds_them() {
    let (_dir, site) = new_site().await;
    under_test(&site, "x", [2, 3], [0, 0]).await;
    let html = site.page("/touches?campaign=1&variant=B").await;
    assert!(html.contains("p3@example.org") && !html.contains("p2@example.org"), "{html}");
    assert!(html.contains("<span class=\"hide\">variant </span>B</span>"), "{html}");
    assert_eq!(site.get("/touches?variant=Z").await.status.as_u16(), 422);
    let html = site.page("/touches/3").await;
    assert!(html.contains("Step 1, variant B of") && html.contains("other x, version 1"), "{html}");
    let table = site.get("/1/messages.csv").await.text;
    let heads: Vec<&str> = table.lines().next().unwrap().split(',').collect();
    let at = heads.iter().position(|head| *head == "variant").unwrap();
    let letters: Vec<&str> = table.lines().skip(1).map(|line| line.split(',').nth(at).unwrap()).collect();
    assert_eq!(letters, ["A", "A", "B", "B", "B"]);
}

#[tokio::test]
async fn a_test_is_ended_after_a_question_and_the_log_says_who_did_it() {
    let (_dir, site) = new_site().await;
    let filled = under_test(&site, "x", [20, 20], [2, 3]).await;
    let revision = {
        let id = filled.campaign;
        site.app.db().read(move |tx| campaigns::get(tx, id)).await.unwrap().unwrap().revision.to_string()
    };
    let form = [("step", "1"), ("variant", "B"), ("moves", "everybody"), ("revision", revision.as_str())];
    assert!(site.page("/1").await.contains("Keep this one"));
    let asked = site.post("/1/keep", &form).await;
    well_formed("keep", &asked.text);
    for part in ["Keep variant B of step 1", "other x, version 1", "Version 2 of the sequence", "everybody"] {
        assert!(asked.text.contains(part), "{part}: {}", asked.text);
    }
    for (field, value, said) in [
        ("variant", "C", "no variant C any more"),
        ("variant", "", "choose which one is kept"),
        ("step", "x", "a whole number"),
        ("step", "2", "no variant B any more"),
        ("revision", "1", "changed by somebody else"),
    ] {
        let refused = site.post("/1/keep", &with(&form, &[(field, value)])).await;
        assert!(
            !refused.flash().good && refused.flash().text.contains(said),
            "{field}: {:?}",
            refused.flash()
        );
    }
    assert_eq!(site.post_as("read payloads", "/1/keep", &form).await.status.as_u16(), 403);
    assert_eq!(site.post("/7/keep", &form).await.status.as_u16(), 404);
    let done = site.post("/1/keep", &with(&form, &[("confirmed", "yes")])).await;
    assert!(done.flash().good && done.goes_to() == "/1", "{:?}", done.flash());
    assert_eq!(
        steps(&site, filled.campaign).await[0],
        json!({
            "key": 1, "channel": "email", "delay": {"unit": "minutes", "count": 0}, "condition": "always", "template": 2
        })
    );
    let html = site.page("/1").await;
    assert!(html.contains("over; in version 1 of the sequence") && !html.contains("Keep this one"), "{html}");
    let html = site.page("/audit").await;
    assert!(
        html.contains("keep variant") && html.contains("B of step 1: version 2, 1 contacts go by it"),
        "{html}"
    );
    let who =
        site.app.db().read(move |tx| enrolments::page(tx, CampaignId(1), ContactId(0), 9)).await.unwrap();
    assert!(who.iter().all(|one| one.version == 2), "{who:?}");
}

#[tokio::test]
async fn programs_write_tests_read_them_and_end_them() {
    let (_dir, site) = new_site().await;
    let (filled, other) = set_up(&site, "x").await;
    let campaign = site.asked("/campaigns/1").await;
    let draft = |steps: Value| {
        json!({"name": "spring", "user": campaign["user"], "list": 1, "policy": campaign["policy"], "senders": [1],
               "postal_address": "1 Main St", "steps": steps})
    };
    let step = |others: Value| json!([{"channel": "email", "template": filled.template, "variants": others}]);
    for (others, said) in [
        (json!([{"template": other, "weight": 0}]), "step 1: a variant weighs 1 to 100"),
        (json!([{"template": filled.template}]), "two of its variants say template 1"),
        (json!([2, 3, 4, 5, 6].map(|id| json!({"template": id}))), "6 variants"),
        (json!([{"template": 99}]), "no template 99"),
    ] {
        let refused = site.tell("/campaigns", draft(step(others))).await;
        let detail = refused.problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid");
        assert!(detail.contains(said), "{detail}");
    }
    let unknown = site.tell("/campaigns", draft(step(json!([{"template": other, "share": 5}])))).await;
    assert!(unknown.problem(StatusCode::BAD_REQUEST, "bad_request").contains("share"));
    let made = site.tell("/campaigns", draft(step(json!([{"template": other}])))).await.json();
    assert_eq!(made["steps"][0]["weight"], 50, "what is left out is written out: {made}");
    assert_eq!(made["steps"][0]["variants"], json!([{"template": other, "weight": 50}]));

    drop(site);
    let (_dir, site) = new_site().await;
    under_test(&site, "x", [200, 200], [30, 8]).await;
    let tests = site.asked("/campaigns/1/variants").await;
    assert_eq!((&tests["goal"], &tests["campaign"]), (&json!("replied"), &json!(1)), "{tests}");
    let test = &tests["tests"][0];
    assert_eq!(
        (&test["verdict"], &test["variant"], &test["is_current"], &test["versions"]),
        (&json!("leads"), &json!("A"), &json!(true), &json!([1]))
    );
    let b = &test["variants"][1];
    assert_eq!(
        (&b["variant"], &b["weight"], &b["sent"], &b["replied"]),
        (&json!("B"), &json!(70), &json!(200), &json!(8))
    );
    assert_eq!((&b["name"], &b["rates"]["replied"]["rate"]), (&json!("other x"), &json!(0.04)));
    assert!(b["rates"]["replied"]["low"].as_f64().unwrap() > 0.01, "{b}");
    let clicked = site.asked("/campaigns/1/variants?goal=clicked").await;
    assert_eq!(clicked["tests"][0]["verdict"], "too_few");
    let fame = site.get("/v1/campaigns/1/variants?goal=fame").await;
    assert!(fame.problem(StatusCode::BAD_REQUEST, "bad_request").contains("replied"), "{}", fame.text);
    site.get("/v1/campaigns/9/variants").await.problem(StatusCode::NOT_FOUND, "not_found");
    assert_eq!(site.asked("/touches?variant=B&limit=500").await.as_array().unwrap().len(), 200);
    let touch = site.asked("/touches/1").await;
    assert_eq!((&touch["variant"], &touch["template"]), (&json!("A"), &json!(1)));

    let end = |body: Value| site.tell("/campaigns/1/steps/1/keep", body);
    end(json!({"variant": "F"})).await.problem(StatusCode::BAD_REQUEST, "bad_request");
    end(json!({"variant": "C"})).await.problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid");
    end(json!({"variant": "A", "revision": 1})).await.problem(StatusCode::CONFLICT, "conflict");
    let ended = end(json!({"variant": "A"})).await.json();
    assert_eq!((&ended["version"], &ended["steps"][0]["template"]), (&json!(2), &json!(1)));
    assert!(ended["steps"][0].get("variants").is_none(), "{ended}");
    end(json!({"variant": "A"})).await.problem(StatusCode::CONFLICT, "conflict");
    site.tell("/campaigns/1/steps/9/keep", json!({"variant": "A"}))
        .await
        .problem(StatusCode::NOT_FOUND, "not_found");
}

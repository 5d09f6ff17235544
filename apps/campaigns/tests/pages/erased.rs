//! Whoever was erased stays as they are, whatever is asked for, and whoever asks is told so.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{new_site, under_way};

#[tokio::test]
async fn nothing_is_done_to_a_contact_who_was_erased() {
    let (_dir, site) = new_site().await;
    under_way(&site, "x").await;
    assert!(site.post("/contacts/1/erase", &[("confirmed", "yes")]).await.flash().good);
    let changes = async || site.asked("/audit").await.as_array().unwrap().len();
    let before = changes().await;
    for (verb, fields) in [
        ("consents", &[("channel", "sms"), ("basis", "express"), ("proof", "x")][..]),
        ("revoke", &[("channel", "email")]),
        ("opt-out", &[("channel", "")]),
        ("account", &[("account", "Example Inc.")]),
        ("erase", &[]),
        ("erase", &[("confirmed", "yes")]),
    ] {
        let answer = site.post(&format!("/contacts/1/{verb}"), fields).await;
        assert_eq!(answer.goes_to(), "/contacts/1", "{verb}");
        let flash = answer.flash();
        assert!(!flash.good && flash.text.contains("contact 1 was erased"), "{verb}: {}", flash.text);
    }
    let opt_out = site.tell("/contacts/1/opt-out", json!({"channel": "sms"})).await;
    let told = opt_out.problem(StatusCode::CONFLICT, "conflict");
    assert!(told.contains("contact 1 was erased"), "{told}");
    site.deleted("/contacts/1").await.problem(StatusCode::CONFLICT, "conflict");
    assert_eq!(changes().await, before, "the log says of no change that was none");
    assert_eq!(site.asked("/contacts/1").await["email"], Value::Null, "but it is still known that they were");
    site.deleted("/contacts/99").await.problem(StatusCode::NOT_FOUND, "not_found");
}

//! Who is let in: the login of a server that wants a token, and forms of other sites.

use windlass_core::State;
use windlass_server::{Access, Options, Secret};

use crate::browser::{Browser, form};
use crate::document::{held, held_with};
use crate::home::Home;
use crate::stock::{Stock, queue};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

async fn guarded() -> (Stock, Home) {
    let stock = Stock::varied().await;
    let access = Access::Bearer(Secret::new(TOKEN));
    let home = held_with(&stock.client, Options { access, ..Options::default() });
    (stock, home)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_signs_in_with_the_token_and_out_again() {
    let (_stock, home) = guarded().await;
    let browser = Browser::at(&home);
    for path in ["/", "/jobs", "/live"] {
        let page = browser.get(path).await;
        assert_eq!(page.status, 303, "{path}");
        assert!(
            page.header("location").starts_with("/login?next=%2F"),
            "{path}: {}",
            page.header("location")
        );
    }
    let away = browser.get("/queues/mail?range=1h").await;
    let login = browser.get(&away.header("location")).await;
    assert!(
        login.status == 200 && login.text.contains("name=\"next\" value=\"/queues/mail?range=1h\""),
        "{}",
        login.text
    );

    let wrong = browser.post("/login", &[("token", "guess"), ("next", "/jobs")]).await;
    assert_eq!((wrong.status, wrong.cookie("windlass_session")), (403, None));
    assert!(wrong.text.contains("not the token of this server"));

    let right = browser.post("/login", &[("token", TOKEN), ("next", "/queues/mail?range=1h")]).await;
    assert_eq!((right.status, right.header("location")), (303, "/queues/mail?range=1h".to_owned()));
    let cookie = right.cookie("windlass_session").expect("a session");
    for word in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    assert!(!cookie.contains("Secure") && !cookie.contains(TOKEN));
    let page = browser.get("/").await;
    assert!(page.status == 200 && page.text.contains("Log out"), "{}", page.text);
    assert_eq!(browser.get("/v1/info").await.status, 200);
    assert_eq!(browser.get("/login?next=/jobs").await.header("location"), "/jobs");

    let stolen = cookie.split(';').next().expect("a pair").to_owned();
    let left = browser.post("/logout", &[]).await;
    assert_eq!((left.status, left.header("location")), (303, "/login".to_owned()));
    assert_eq!(browser.get("/jobs").await.status, 303);
    let again = browser.send(browser.request("GET", "/v1/info").header("cookie", stolen)).await;
    assert_eq!(again.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_leads_to_this_server_only_and_its_cookie_follows_the_proxy() {
    let (_stock, home) = guarded().await;
    for next in ["//evil.example", "https://evil.example", "/\\evil.example", ""] {
        let right = Browser::at(&home).post("/login", &[("token", TOKEN), ("next", next)]).await;
        assert_eq!(right.header("location"), "/", "{next:?}");
    }
    let browser = Browser::at(&home);
    let fields = [("token", TOKEN), ("next", "/")];
    let request = form(browser.request("POST", "/login"), &fields).header("x-forwarded-proto", "https");
    let page = browser.send(request.header("sec-fetch-site", "same-origin")).await;
    assert!(page.cookie("windlass_session").is_some_and(|cookie| cookie.contains("; Secure")));
    let long = "x".repeat(20_000);
    assert_eq!(browser.post("/login", &[("token", &long)]).await.status, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_on_another_site_finds_who_is_signed_in() {
    let (_stock, home) = guarded().await;
    let browser = Browser::at(&home);
    // The browser keeps the strict cookie back, so the server has it ask again from a page of its own.
    let page = browser.send(browser.request("GET", "/jobs").header("sec-fetch-site", "cross-site")).await;
    assert!(page.status == 200 && page.text.contains("content=\"0;url=/jobs\""), "{}", page.text);
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_there_is_no_login() {
    let stock = Stock::varied().await;
    let home = held(&stock.client);
    let browser = Browser::at(&home);
    assert_eq!(browser.get("/login").await.header("location"), "/");
    assert!(!browser.get("/").await.text.contains("Log out"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_another_site_changes_nothing() {
    let stock = Stock::varied().await;
    let home = held(&stock.client);
    let browser = Browser::at(&home);
    let dead = stock.one(State::Dead).await;
    let paths = [
        "/queues/mail/pause".to_owned(),
        format!("/jobs/{dead}/retry"),
        "/jobs/bulk".into(),
        "/logout".into(),
    ];
    for path in &paths {
        for (name, value) in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "https://evil.example"),
            ("origin", "null"),
        ] {
            let id = dead.to_string();
            let fields = [("action", "retry"), ("id", id.as_str())];
            let page = browser.send(form(browser.request("POST", path), &fields).header(name, value)).await;
            assert_eq!(page.status, 403, "{path} with {name}: {value}");
        }
    }
    let settings =
        stock.client.store().queues(Some(queue("mail")), None).await.expect("queues").remove(0).settings;
    assert!(!settings.paused && stock.state(dead).await == Some(State::Dead));
    // An old browser says only where the form stood, and pages let it say so.
    let own = form(browser.request("POST", "/queues/mail/pause"), &[]).header("origin", home.url());
    assert_eq!(browser.send(own).await.status, 303);
    assert_eq!(browser.get("/").await.header("referrer-policy"), "same-origin");
}

//! What people say about failure modes holds until it fails again, on every page and in the API.

use serde_json::Value;
use windlass::Draft;

use crate::browser::Browser;
use crate::document::held;
use crate::stock::Stock;

async fn fails(stock: &Stock, message: &str) {
    stock.enqueue(Draft::raw("mail", "charge", *b"{}")).await;
    stock.kill("mail", message, "CardError", "").await;
}

async fn states(browser: &Browser, query: &str) -> Vec<(String, String)> {
    let text = browser.get_plain(&format!("/v1/errors{query}")).await.text;
    let value: Value = serde_json::from_str(&text).expect("json");
    let items = value["items"].as_array().expect("items").clone();
    let word = |item: &Value, name: &str| item[name].as_str().expect("a word").to_owned();
    items.iter().map(|item| (word(item, "title"), word(item, "state"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_muted_mode_is_nobodys_trouble_and_a_resolved_one_until_it_fails_again() {
    let stock = Stock::empty().await;
    fails(&stock, "declined").await;
    fails(&stock, "mailbox full").await;
    let home = held(&stock.client);
    let browser = Browser::at(&home);
    let page = browser.get("/errors").await;
    assert!(page.text.contains("is-warning\">new</span>"), "{}", page.text);
    let says = |page: &str, title: &str, word: &str| {
        let row = page.split("<tr>").find(|row| row.contains(&format!(">{title}</a>"))).expect("a row");
        let at = row.split("action=\"").filter_map(|rest| rest.split('"').next());
        at.into_iter().find(|at| at.ends_with(word)).expect("a button").to_owned()
    };
    let mute = says(&page.text, "declined", "/mute");
    let page = browser.submit(&mute, &[("back", "/errors")]).await;
    assert!(
        page.text.contains("“declined” is muted") && !page.text.contains(">declined</a>"),
        "{}",
        page.text
    );
    let front = browser.get("/").await;
    assert!(front.text.contains("has 1 dead job") && !front.text.contains("declined"), "{}", front.text);

    let resolve = says(&page.text, "mailbox full", "/resolve");
    browser.submit(&resolve, &[]).await;
    assert!(browser.get("/").await.text.contains("Nothing is wrong"));
    let all = [("declined".to_owned(), "muted".to_owned()), ("mailbox full".into(), "resolved".into())];
    let mut told = states(&browser, "").await;
    told.sort();
    assert_eq!(told, all);
    assert_eq!(states(&browser, "?state=muted").await, all[..1]);

    fails(&stock, "mailbox full").await;
    fails(&stock, "declined").await;
    let front = browser.get("/").await;
    assert!(front.text.contains("has 2 dead jobs") && front.text.contains("mailbox full"), "{}", front.text);
    assert_eq!(states(&browser, "?state=regressed").await, [("mailbox full".into(), "regressed".into())]);
    assert!(browser.get("/errors").await.text.contains("regressed"));
    let muted = browser.get("/errors?show=muted").await;
    let page = browser.submit(&says(&muted.text, "declined", "/reopen"), &[]).await;
    assert!(page.text.contains("is open again."), "{}", page.text);
    assert!(browser.get("/").await.text.contains("has 4 dead jobs"));

    for (path, page, api) in [
        ("/errors/0000000000000001/mute", 404, 404),
        ("/errors/nonsense/mute", 400, 400),
        ("/errors/0000000000000001/forget", 400, 404),
    ] {
        assert_eq!(browser.post(path, &[]).await.status, page, "{path}");
        assert_eq!(browser.post(&format!("/v1{path}"), &[]).await.status, api, "{path}");
    }
    assert_eq!(browser.get("/errors?show=everything").await.status, 400);
}

//! The page of the monitor: its forms, and that it shows nothing that is secret or markup.

use windlass::Draft;
use windlass_core::queue::QueueSettings;

use crate::browser::Browser;
use crate::document::held;
use crate::stock::Stock;

const RULE: [(&str, &str); 6] = [
    ("name", "many-dead"),
    ("when", "dead"),
    ("above", "3"),
    ("queue", "mail*"),
    ("severity", "critical"),
    ("enabled", "yes"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_set_by_its_form_and_edited_as_it_stands() {
    let stock = Stock::empty().await;
    let home = held(&stock.client);
    let browser = Browser::at(&home);
    let page = browser.submit("/monitor/rules", &RULE).await;
    for part in ["Rule many-dead is set.", "more than 3 dead jobs", "mail*", "critical"] {
        assert!(page.text.contains(part), "{part} in {}", page.text);
    }
    let page = browser.get("/monitor?rule=many-dead").await;
    assert!(page.text.contains(r#"name="above" value="3""#), "{}", page.text);
    let mut wrong = RULE;
    wrong[2] = ("above", "three");
    let page = browser.post("/monitor/rules", &wrong).await;
    assert_eq!(page.status, 422);
    for part in ["Nothing was changed.", "is no whole number", r#"name="above" value="three""#] {
        assert!(page.text.contains(part), "{part} in {}", page.text);
    }
    let log = browser.get("/audit").await;
    assert_eq!(
        log.text.matches("set rule many-dead").count(),
        1,
        "what was refused was not done: {}",
        log.text
    );
    let page = browser.submit("/monitor/rules/many-dead/remove", &[]).await;
    assert!(page.text.contains("Rule many-dead is removed") && !page.text.contains("more than 3 dead"));
    assert_eq!(browser.get("/monitor?rule=many-dead").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_was_made_is_shown_once_and_travels_in_no_cookie() {
    let stock = Stock::empty().await;
    let home = held(&stock.client);
    let browser = Browser::at(&home);
    let hook = [("name", "ops"), ("type", "webhook"), ("url", "https://hooks.example/T0/x")];
    let page = browser.post("/monitor/channels", &hook).await;
    assert!(page.status == 200 && page.text.contains("shown this once: whsec_"), "{}", page.text);
    assert!(page.cookie("windlass_flash").is_none());
    let page = browser.get("/monitor?channel=ops").await;
    assert!(
        !page.text.contains("whsec_M") && !page.text.contains("/T0/x") && page.text.contains("one is kept")
    );
    let page = browser.submit("/monitor/channels/log/test", &[]).await;
    assert!(page.text.contains("Channel log took a test"), "{}", page.text);
    let asked = browser.post("/monitor/channels/ops/remove", &[]).await;
    assert!(asked.text.contains("Remove channel ops?"), "{}", asked.text);
    let page = browser.submit("/monitor/channels/ops/remove", &[("confirmed", "yes")]).await;
    assert!(page.text.contains("Channel ops is removed."), "{}", page.text);
    let mail = [("name", "m"), ("type", "mail"), ("host", "h"), ("tls", "starttls"), ("password", "hunter2")];
    let page = browser.post("/monitor/channels", &mail).await;
    assert!(page.status == 422 && !page.text.contains("hunter2"), "{}", page.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fires_is_on_its_page_and_on_the_overview_until_somebody_takes_it() {
    let stock = Stock::empty().await;
    let home = held(&stock.client);
    let browser = Browser::at(&home);
    let until = async |path: &str, part: &str| {
        let seen = async {
            loop {
                let page = browser.get(path).await;
                if page.text.contains(part) {
                    return page;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), seen).await.expect("it fires")
    };
    let settings = QueueSettings { max_waiting: Some(10), ..QueueSettings::default() };
    stock.client.set_queue("mail", settings).await.expect("settings");
    for _ in 0..9 {
        stock.enqueue(Draft::raw("mail", "send", *b"{}")).await;
    }
    let text = "holds 9 of the 10 jobs that it may";
    let page = until("/monitor", text).await;
    assert!(page.text.contains("nearly-full"), "{}", page.text);
    until("/", text).await;
    let action = page.all("action=\"/monitor/incidents/", "/acknowledge").into_iter().next();
    let action = action.expect("what fires comes first");
    let page = browser.submit(&format!("/monitor/incidents/{action}/acknowledge"), &[]).await;
    assert!(
        page.text.contains("No reminders of mail come") && page.text.contains("Remind again"),
        "{}",
        page.text
    );
    assert!(!browser.get("/").await.text.contains(text), "somebody looks into it");
}

//! Operations on all jobs of a filter, as a person begins, watches, pauses and ends them.

use std::time::Duration;

use windlass::Draft;
use windlass_core::State;

use crate::browser::{Browser, Page};
use crate::document::held;
use crate::stock::Stock;

/// Something that must happen, and does not.
const NEVER: Duration = Duration::from_secs(60);

/// The page once it is so.
async fn until(browser: &Browser, path: &str, is: impl Fn(&Page) -> bool) -> Page {
    let seen = async {
        loop {
            let page = browser.get(path).await;
            if is(&page) {
                return page;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(NEVER, seen).await.expect("the operation goes on")
}

/// That many jobs that died of the same.
async fn graves(n: usize) -> Stock {
    let stock = Stock::empty().await;
    for card in 0..n {
        stock.enqueue(Draft::raw("mail", "charge", *b"{}")).await;
        stock.kill("mail", &format!("card {card} was declined"), "CardError", "").await;
    }
    stock
}

async fn dead(stock: &Stock) -> u64 {
    stock.client.store().queues(None, None).await.expect("queues").remove(0).counts.of(State::Dead)
}

/// The link of that name.
fn link(page: &Page, name: &str) -> String {
    let found = page.all("href=\"", "</a>").into_iter().find(|rest| rest.ends_with(&format!(">{name}")));
    let found = found.unwrap_or_else(|| panic!("no link {name:?} in {}", page.text));
    found.split('"').next().unwrap_or_default().replace("&#38;", "&")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_mode_is_retried_with_a_count_a_rate_and_a_page_of_its_own() {
    let stock = graves(12).await;
    let home = held(&stock.client);
    let browser = Browser::at(&home);
    let question = link(&browser.get("/errors").await, "Retry all dead…");
    let asked = browser.get(&question).await;
    for word in ["<h1>Retry 12 jobs?</h1>", "fingerprint:", "and 7 more", "Retry 12 jobs</button>"] {
        assert!(asked.text.contains(word), "{word}: {}", asked.text);
    }
    assert_eq!((dead(&stock).await, browser.get("/bulk").await.text.contains("No operation")), (12, true));
    let filter = asked.all("name=\"filter\" value=\"", "\"").remove(0).replace("&#34;", "\"");

    let wrong = [("action", "retry"), ("filter", filter.as_str()), ("rate", "fast")];
    let page = browser.post("/bulk", &wrong).await;
    assert!(page.status == 422 && page.text.contains("value=\"fast\""), "{}", page.text);
    assert!(page.text.contains("aria-invalid=\"true\""));
    // There are far more than the question has said.
    let page = browser.post("/bulk", &[wrong[0], wrong[1], ("expect", "3")]).await;
    assert!(page.status == 422 && page.text.contains("means 12 jobs, and 3 were expected"), "{}", page.text);
    assert_eq!(dead(&stock).await, 12);

    let fields = [("action", "retry"), ("filter", filter.as_str()), ("rate", "2/s"), ("expect", "12")];
    let answer = browser.post("/bulk", &fields).await;
    let at = answer.header("location");
    assert!(answer.status == 303 && at.starts_with("/bulk/"), "{at}");
    let page = until(&browser, &at, |page| !page.text.contains(">0 of 12 jobs")).await;
    for word in ["of 12 jobs", "Pause operation", "Abort operation", "data-every=\"1\"", "2/s", "left</span>"]
    {
        assert!(page.text.contains(word), "{word}: {}", page.text);
    }
    assert!(browser.get("/").await.text.contains("Operations on many jobs"), "the overview tells of it");

    let page = browser.submit(&format!("{at}/pause"), &[]).await;
    assert!(page.text.contains("The operation is paused.") && page.text.contains("Resume operation"));
    let page = browser.submit(&format!("{at}/resume"), &[]).await;
    assert!(page.text.contains("The operation goes on."), "{}", page.text);
    let page = browser.submit(&format!("{at}/abort"), &[]).await;
    assert!(page.text.contains("What was done stays done") && page.text.contains("aborted"));
    assert!(!page.text.contains("Abort operation") && page.text.contains("Begin it again…"), "{}", page.text);
    let page = browser.submit(&format!("{at}/resume"), &[]).await;
    assert!(page.text.contains("the operation is aborted already"), "{}", page.text);
    let left = dead(&stock).await;
    assert!(left > 0 && left < 12, "{left}");

    // The rest, as fast as it goes.
    let question = link(&browser.get(&at).await, "Begin it again…");
    assert!(browser.get(&question).await.text.contains(&format!("<h1>Retry {left} jobs?</h1>")));
    let answer = browser.post("/bulk", &fields[..2]).await;
    let page = until(&browser, &answer.header("location"), |page| page.text.contains("completed\"")).await;
    assert!(page.text.contains(&format!("{left} of {left} jobs (100 %)")), "{}", page.text);
    assert_eq!(dead(&stock).await, 0);
    let list = browser.get("/bulk").await;
    assert!(list.text.contains("aborted") && list.text.contains("done"), "{}", list.text);
    assert!(!browser.get("/").await.text.contains("Operations on many jobs"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_offers_what_can_be_done_to_all_that_it_means() {
    let stock = Stock::varied().await;
    let home = held(&stock.client);
    let browser = Browser::at(&home);
    let all = browser.get("/jobs?filter=queue%3Amail").await;
    let retry = link(&all, "Retry all…");
    assert!(retry.contains("state%3Adead"), "what ended well is not retried unasked: {retry}");
    assert!(link(&all, "Cancel all…").contains("state%3Ascheduled%2Cready%2Crunning"));
    let dead = browser.get("/jobs?filter=queue%3Amail+state%3Adead").await;
    assert!(!dead.text.contains("Cancel all…") && !dead.text.contains("Run now all…"), "{}", dead.text);
    let everything = browser.get("/jobs").await;
    assert!(!everything.text.contains("Delete all…") && everything.text.contains("Retry all…"));
    for (path, status, word) in [
        ("/bulk/new?action=delete&filter=", 400, "every job of the store"),
        ("/bulk/new?action=explode&filter=queue:mail", 400, "there is no action"),
        ("/bulk/new?action=retry&filter=quue:mail", 400, "there is no condition"),
        ("/bulk/none", 404, "operation none"),
    ] {
        let page = browser.get(path).await;
        assert!(page.status == status && page.text.contains(word), "{path}: {}", page.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_thousand_jobs_are_deleted_only_after_a_typed_word() {
    let stock = Stock::empty().await;
    for _ in 0..2 {
        stock.bulk(600).await;
    }
    let home = held(&stock.client);
    let browser = Browser::at(&home);
    let fields = [("action", "delete"), ("filter", "queue:bulk state:ready"), ("typed", "")];
    let page = browser.post("/bulk", &fields).await;
    assert!(page.status == 422 && page.text.contains("type the word delete"), "{}", page.text);
    assert!(page.text.contains("Delete 1,200 jobs</button>"));
    let typed = [fields[0], fields[1], ("typed", "delete")];
    let answer = browser.post("/bulk", &typed).await;
    let page = until(&browser, &answer.header("location"), |page| page.text.contains("completed\"")).await;
    assert!(page.text.contains("1,200 of 1,200 jobs (100 %)"), "{}", page.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_refuse_are_told_by_their_reason_and_named() {
    let stock = Stock::empty().await;
    let child = {
        let parent = stock.enqueue(Draft::raw("mail", "send", *b"{}")).await;
        stock.enqueue(Draft::raw("other", "after", *b"{}").after(&[parent])).await;
        parent
    };
    let home = held(&stock.client);
    let browser = Browser::at(&home);
    let fields = [("action", "delete"), ("filter", "queue:mail state:ready")];
    let answer = browser.post("/bulk", &fields).await;
    let page = until(&browser, &answer.header("location"), |page| page.text.contains("completed\"")).await;
    for word in ["has_live_children", "children of the job are live", &child.to_string()] {
        assert!(page.text.contains(word), "{word}: {}", page.text);
    }
}

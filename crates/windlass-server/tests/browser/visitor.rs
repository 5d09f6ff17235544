//! What visitors do: sign in and out, leave a page open, use the keyboard and nothing else.

use std::time::{Duration, Instant};

use serde_json::json;
use windlass::Draft;
use windlass_core::State;
use windlass_server::{Access, Options, Secret};

use crate::document::{held, held_with};
use crate::person::{ENTER, ESCAPE, Person, SPACE, TAB, story};
use crate::stock::Stock;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// How soon a page follows what happens.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How often it may be late because the machine has other things to do.
const TRIES: usize = 8;
/// More elements than can be reached by Tab on any page of these tests.
const TABS_MOST: usize = 200;

#[test]
fn who_has_signed_out_sees_nothing_when_going_back() {
    story("sign in", async |person| {
        let stock = Stock::varied().await;
        let access = Access::Bearer(Secret::new(TOKEN));
        let home = held_with(&stock.client, Options { access, ..Options::default() });
        person.visits(&home);
        person.now("opens a page and is asked for the token");
        person.opens("/queues/mail?range=24h").await;
        person.reads("This server wants to know who asks").await;
        person.reads_no("campaign 7").await;
        person.now("gives a wrong token");
        person.fills("Token", "guess").await;
        person.clicks("Log in").await;
        person.reads("not the token of this server").await;
        person.now("gives the right token");
        person.fills("Token", TOKEN).await;
        person.clicks("Log in").await;
        person.reads("campaign 7").await;
        assert_eq!(person.path().await, "/queues/mail?range=24h");
        let cookies = person.runs("return document.cookie", json!([])).await;
        assert_eq!(cookies, "", "scripts see the session");
        person.opens("/jobs").await;
        person.reads_in("jobs", "card 17 was declined").await;
        person.now("signs out");
        person.clicks("Log out").await;
        person.reads("This server wants to know who asks").await;
        for page in ["the list of jobs", "the queue"] {
            person.now(format!("goes back to {page}"));
            person.goes_back().await;
            person.reads("This server wants to know who asks").await;
            person.reads_no("campaign 7").await;
        }
    });
}

#[test]
fn a_page_that_stays_open_follows_what_happens_within_a_second() {
    story("live", async |person| {
        let stock = Stock::empty().await;
        stock.bulk(1).await;
        let home = held(&stock.client);
        person.visits(&home);
        person.opens("/").await;
        person.now("waits for the page to be live");
        person.reads_in("live", "live").await;
        person.marks_the_page().await;
        let mut at_once = false;
        for ready in 2..2 + TRIES {
            person.now(format!("waits for the count of {ready} ready jobs"));
            let began = Instant::now();
            stock.bulk(1).await;
            let count = format!("//*[@id='totals']//a[span='{ready}'][contains(., 'ready')]");
            person.finds(&count, &format!("{ready} ready")).await;
            at_once |= began.elapsed() < AT_ONCE;
        }
        assert!(at_once, "the count was late {TRIES} times");
        assert!(person.is_still_there().await, "the page was loaded again");

        person.now("pauses what is live, and goes on");
        person.clicks("Pause").await;
        person.reads_in("live", "paused").await;
        stock.bulk(10).await;
        person.clicks("Resume").await;
        person.reads_in("totals", &(1 + TRIES + 10).to_string()).await;
    });
}

#[test]
fn everything_can_be_done_with_the_keyboard() {
    story("keyboard", async |person| {
        let stock = Stock::varied().await;
        let home = held(&stock.client);
        person.visits(&home);
        for path in ["/", "/queues/mail", "/jobs", "/errors", "/schedules", "/limits"] {
            person.now(format!("goes through {path} with Tab"));
            person.opens(path).await;
            goes_around(person).await;
        }
        person.now("skips what all pages begin with");
        person.opens("/").await;
        person.presses(TAB).await;
        assert_eq!(person.focus().await, "Skip to the content");
        person.presses(ENTER).await;
        assert_eq!(person.runs("return document.activeElement.id", json!([])).await, "main");

        person.now("looks at the keys");
        person.presses("?").await;
        person.finds("//dialog[@open]", "the list of keys").await;
        person.presses(ESCAPE).await;
        person.finds("//dialog[not(@open)]", "no list of keys").await;

        person.now("searches for dead jobs");
        person.presses("gj").await;
        person.finds("//nav//a[@aria-current='page'][.='Jobs']", "the jobs").await;
        person.presses("/").await;
        person.presses(&format!("queue:mail state:dead{ENTER}")).await;
        person.reads_in("jobs", "card 17 was declined").await;
        person.now("ticks the second row, and opens the first");
        person.presses("jjx").await;
        assert_eq!(
            person.runs("return document.querySelectorAll('input[name=id]:checked').length", json!([])).await,
            1
        );
        person.presses("k").await;
        let row = person.focus().await.replace('…', "");
        person.presses(ENTER).await;
        person.finds(&format!("//h1[contains(., '{row}')]"), "the job").await;
        let id = person.path().await.rsplit('/').next().expect("an id").parse().expect("the page of a job");

        person.now("retries the job");
        tabs_to(person, "Retry").await;
        person.presses(ENTER).await;
        person.reads_in("head", "ready").await;
        assert_eq!(stock.state(id).await, Some(State::Ready));

        person.now("pauses a queue");
        stock.enqueue(Draft::raw("mail", "send", *b"{}")).await;
        person.presses("gq").await;
        person.finds("//nav//a[@aria-current='page'][.='Queues']", "the queues").await;
        tabs_to(person, "mail").await;
        person.presses(ENTER).await;
        person.finds("//h1[.='mail']", "the queue").await;
        tabs_to(person, "Pause").await;
        // The first of them is the page's; what is live is not the queue.
        person.presses(TAB).await;
        tabs_to(person, "Pause").await;
        person.presses(SPACE).await;
        person.finds("//section[@id='head']//button[.='Resume']", "a paused queue").await;
    });
}

/// Presses Tab until it has come around; wherever it stands, it is seen where that is.
async fn goes_around(person: &Person) {
    const LOOK: &str = "
        const e = document.activeElement;
        if (e === document.body) return null;
        const style = getComputedStyle(e), box = e.getBoundingClientRect();
        const isSeen = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
        return { what: e.outerHTML.slice(0, 120), isSeen, hasSize: box.width > 0 && box.height > 0 };";
    let mut passed = 0;
    loop {
        person.presses(TAB).await;
        let stop = person.runs(LOOK, json!([])).await;
        if stop.is_null() {
            break;
        }
        assert!(stop["isSeen"] == true && stop["hasSize"] == true, "the focus is not seen: {stop}");
        passed += 1;
        assert!(passed < TABS_MOST, "Tab never comes around");
    }
    assert!(passed > 10, "Tab stops {passed} times only");
}

/// Presses Tab until the element of that name has the focus.
async fn tabs_to(person: &Person, name: &str) {
    for _ in 0..TABS_MOST {
        person.presses(TAB).await;
        if person.focus().await == name {
            return;
        }
    }
    panic!("Tab does not reach {name:?}");
}

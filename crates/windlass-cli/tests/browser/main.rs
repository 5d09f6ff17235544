//! The pages of the campaigns in a real browser, beside the dashboard as `windlass serve --campaigns` shows them: nothing
//! stands against any of them, with content and without.
//!
//! The browser, whoever sits before it and what judges the pages are those of the server's own tests.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

#[path = "../../../windlass-server/tests/asker/mod.rs"]
mod asker;
#[allow(dead_code, reason = "each test target uses its part")]
#[path = "../../../windlass-server/tests/browser/chromium.rs"]
mod chromium;
mod home;
#[path = "../../../windlass-server/tests/browser/judge.rs"]
mod judge;
#[allow(dead_code, reason = "each test target uses its part")]
#[path = "../../../windlass-server/tests/browser/person.rs"]
mod person;

use home::Home;
use person::{Person, story};

/// Pages that are there whatever there is.
const LISTS: [&str; 13] = [
    "",
    "/touches",
    "/contacts",
    "/templates",
    "/templates/new",
    "/senders",
    "/providers",
    "/suppressions",
    "/reviews",
    "/domains",
    "/users",
    "/hours",
    "/audit",
];

/// Opens those pages, and fails with what stands against them.
async fn looks_at(person: &Person, pages: impl IntoIterator<Item = String>) {
    let (axe, mut faults) = (judge::axe(), Vec::new());
    for page in pages {
        person.now(format!("looks at {page:?}"));
        person.opens(&format!("/campaigns{page}")).await;
        let found = judge::faults(person, &axe).await;
        faults.extend(found.into_iter().map(|fault| format!("{page:?}, {fault}")));
    }
    assert!(faults.is_empty(), "{} faults:\n  {}", faults.len(), faults.join("\n  "));
}

#[test]
fn nothing_stands_against_any_page_of_the_campaigns_with_content() {
    story("campaigns", async |person| {
        let home = Home::up();
        home.fill().await;
        person.visits(&home);
        let filled = [
            "/1",
            "/1/edit",
            "/2/check",
            // Two texts with what came of them, and colleagues who were stopped; writing them.
            "/4",
            "/4/edit",
            "/touches/1",
            // Somebody whose account somebody gave, and somebody whose colleague has answered.
            "/contacts/1",
            "/contacts/8",
            "/templates/1",
            "/senders/1",
            "/providers/2",
            // An account that is slowed down.
            "/providers/3",
        ];
        let pages = LISTS.into_iter().chain(filled).map(str::to_owned);
        looks_at(person, pages).await;
        person.now("asks for a campaign's end, and sends nonsense");
        person.opens("/campaigns/3").await;
        person.clicks("Cancel campaign…").await;
        person.reads("It cannot be taken back").await;
        let axe = judge::axe();
        let mut faults = judge::faults(person, &axe).await;
        person.opens("/campaigns/domains").await;
        person.fills("Domain", "nonsense").await;
        person.fills("Mails a minute", "many\n").await;
        person.finds("//*[@aria-invalid]", "what is refused").await;
        faults.extend(judge::faults(person, &axe).await);
        assert!(faults.is_empty(), "{}", faults.join("\n  "));
    });
}

#[test]
fn nothing_stands_against_any_page_of_the_campaigns_without_content() {
    story("no campaigns", async |person| {
        let home = Home::up();
        person.visits(&home);
        // Those whose empty state is more than a sentence in the place of a table.
        looks_at(person, ["", "/touches", "/contacts", "/senders", "/domains"].map(str::to_owned)).await;
    });
}

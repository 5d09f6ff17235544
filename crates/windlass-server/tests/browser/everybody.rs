//! Everybody can use every page: axe finds nothing against WCAG 2.2 at its levels A and AA, in both themes, on a wide
//! window and on a narrow one, with content and without.

use serde_json::{Value, json};
use windlass_server::{Access, Options, Secret};

use crate::chromium::{WIDE, shelf};
use crate::document::{held, held_with};
use crate::home::Home;
use crate::pages;
use crate::person::{Person, story};
use crate::stock::Stock;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// A telephone.
const NARROW: (u32, u32) = (360, 740);

/// What the pages are held against.
const RULES: &str =
    "{ type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22a', 'wcag22aa'] }";
/// What of it depends on the theme: a theme changes colours and nothing else.
const RULES_OF_COLOUR: &str = "{ type: 'rule', values: ['color-contrast', 'link-in-text-block'] }";
/// What of it depends on the size of the window.
const RULES_OF_PLACE: &str = "{ type: 'rule', values: ['target-size', 'scrollable-region-focusable'] }";

/// Has axe look at the page; it answers with what it found, where, and why.
const LOOK: &str = "
    const done = arguments[arguments.length - 1];
    axe.run(document, { runOnly: RULES, resultTypes: ['violations'] }).then(
        (found) => done({
            passes: found.passes.length,
            violations: found.violations.flatMap((rule) =>
                rule.nodes.map((node) => `${rule.id} (${rule.help}): ${node.html.slice(0, 200)} ${node.failureSummary}`)),
        }),
        (error) => done({ violations: [String(error)] }));";

fn axe() -> String {
    let path = shelf().join("node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; `cargo xtask test -p windlass-server` brings it", path.display())
    })
}

/// What axe has against the page that is open, in both themes and on a telephone.
async fn faults(person: &Person, axe: &str) -> Vec<String> {
    person.runs(axe, json!([])).await;
    let mut faults = Vec::new();
    for (theme, size, rules) in
        [("light", WIDE, RULES), ("dark", WIDE, RULES_OF_COLOUR), ("dark", NARROW, RULES_OF_PLACE)]
    {
        person.browser.theme(theme).await;
        person.browser.size(size).await;
        let found = faults_by(person, rules).await;
        faults.extend(found.into_iter().map(|fault| format!("{theme}, {} wide: {fault}", size.0)));
    }
    person.browser.size(WIDE).await;
    faults
}

async fn faults_by(person: &Person, rules: &str) -> Vec<String> {
    let found = person.browser.run_async(&LOOK.replace("RULES", rules), json!([])).await;
    let found = found.unwrap_or_else(|refused| panic!("axe: {refused}"));
    let violations = found["violations"].as_array().expect("a list");
    let faults: Vec<String> = violations.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect();
    // Of a page that is not there nothing can be said, neither against it nor for it.
    let little = rules == RULES && faults.is_empty() && found["passes"].as_u64() < Some(8);
    assert!(!little, "axe found little to look at: {found}");
    faults
}

/// Opens every page, and gathers what axe has against them.
async fn looks_at_all(person: &Person, stock: &Stock, home: &Home) {
    let (axe, mut faults_of_all) = (axe(), Vec::new());
    for page in pages::all(stock, home).await {
        person.now(format!("looks at {page}"));
        person.opens(&page).await;
        let found = faults(person, &axe).await;
        faults_of_all.extend(found.into_iter().map(|fault| format!("{page}, {fault}")));
    }
    let list = faults_of_all.join("\n  ");
    assert!(faults_of_all.is_empty(), "{} faults:\n  {list}", faults_of_all.len());
}

#[test]
fn nothing_stands_against_any_page_with_content() {
    story("axe content", async |person| {
        let stock = Stock::varied().await;
        let home = held(&stock.client);
        person.visits(&home);
        looks_at_all(person, &stock, &home).await;
    });
}

#[test]
fn nothing_stands_against_any_page_without_content() {
    story("axe empty", async |person| {
        let stock = Stock::empty().await;
        let home = held(&stock.client);
        person.visits(&home);
        looks_at_all(person, &stock, &home).await;
    });
}

#[test]
fn nothing_stands_against_questions_refused_forms_and_the_login() {
    story("axe forms", async |person| {
        let stock = Stock::varied().await;
        let access = Access::Bearer(Secret::new(TOKEN));
        let home = held_with(&stock.client, Options { access, ..Options::default() });
        person.visits(&home);
        let axe = axe();
        let looks = async |what: &str| {
            person.now(format!("looks at {what}"));
            let found = faults(person, &axe).await;
            assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
        };
        person.opens("/jobs").await;
        looks("the login").await;
        person.fills("Token", "guess\n").await;
        person.reads("not the token of this server").await;
        looks("a refused login").await;
        person.fills("Token", &format!("{TOKEN}\n")).await;
        person.finds("//*[@id='all']", "the jobs").await;
        person.clicks_at("//*[@id='all']", "all jobs of the page").await;
        looks("ticked jobs").await;
        person.clicks("Delete…").await;
        person.reads("Leave it as it is").await;
        looks("a question").await;
        person.clicks("Leave it as it is").await;
        person.clicks("?").await;
        looks("the keys").await;
        person.opens("/limits").await;
        person.fills("Name", "not a name").await;
        person.fills("Rate", "fast\n").await;
        person.finds("//*[@aria-invalid]", "what is refused").await;
        looks("a refused limit").await;
        person.opens("/queues/mail").await;
        person.fills("Retry policy", "often\n").await;
        person.finds("//*[@aria-invalid]", "what is refused").await;
        looks("refused settings").await;
        person.fills("Retry policy", "never\n").await;
        person.reads("are in force").await;
        looks("settings that are in force").await;
    });
}

//! What judges whether everybody can use a page: axe, against WCAG 2.2 at its levels A and AA.

use serde_json::{Value, json};

use crate::chromium::{WIDE, shelf};
use crate::person::Person;

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

/// The script of axe.
pub(crate) fn axe() -> String {
    let path = shelf().join("node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; `cargo xtask test -p windlass-server` brings it", path.display())
    })
}

/// What axe has against the page that is open, in both themes and on a telephone.
pub(crate) async fn faults(person: &Person, axe: &str) -> Vec<String> {
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

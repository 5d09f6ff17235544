//! Who may import whom: the table of ARCHITECTURE.md, compared with what the manifests say.
//!
//! The table is about our own crates only; what a crate uses from others is deny.toml's subject. A crate that the table
//! does not know is refused until somebody decides what it may use, and a row whose crate is gone is refused too, so
//! that the table always describes the house as it stands.

use crate::step::Failure;
use crate::workspace::{Dependency, Package, Workspace};

/// What one crate may use of ours.
struct Row {
    name: &'static str,
    /// In what it ships, always compiled in.
    ships: May,
    /// In what it ships, only behind a feature of its own.
    behind_a_feature: &'static [&'static str],
    /// In its tests, beside what it ships.
    tests: May,
}

/// Some of our crates, or all of them.
enum May {
    UseAny,
    Use(&'static [&'static str]),
}

const NOTHING: May = May::Use(&[]);

/// The table. The order is the direction of the arrows: a row uses only rows above it.
const TABLE: [Row; 22] = [
    // The nouns and rules know nobody: that is what makes them checkable without a store, a clock or a runtime.
    Row { name: "windlass-core", ships: NOTHING, behind_a_feature: &[], tests: NOTHING },
    Row { name: "windlass-macros", ships: NOTHING, behind_a_feature: &[], tests: NOTHING },
    // The words of the API know no socket, no clock and no store, so that both ends of the wire can speak them.
    Row { name: "windlass-api", ships: May::Use(&["windlass-core"]), behind_a_feature: &[], tests: NOTHING },
    // The certificate knows the contract and no store, so that every store answers to the same one.
    Row {
        name: "windlass-testkit",
        ships: May::Use(&["windlass-core"]),
        behind_a_feature: &[],
        tests: NOTHING,
    },
    // The checker judges what clients saw of any store, so it knows none.
    Row {
        name: "windlass-check",
        ships: May::Use(&["windlass-core"]),
        behind_a_feature: &[],
        tests: NOTHING,
    },
    // The load that stores' own tests of survival share: it works through the traits and has the checker judge it.
    Row {
        name: "windlass-survival",
        ships: May::Use(&["windlass-core", "windlass-check", "windlass-testkit"]),
        behind_a_feature: &[],
        tests: NOTHING,
    },
    // A store answers to the contract alone, so that another store can take its place.
    Row {
        name: "windlass-embedded",
        ships: May::Use(&["windlass-core"]),
        behind_a_feature: &[],
        tests: May::Use(&["windlass-core", "windlass-check", "windlass-testkit"]),
    },
    Row {
        name: "windlass-redis",
        ships: May::Use(&["windlass-core"]),
        behind_a_feature: &[],
        tests: May::Use(&["windlass-core", "windlass-check", "windlass-testkit", "windlass-survival"]),
    },
    // The way to a PostgreSQL database, which knows nothing of queues.
    Row { name: "windlass-pg", ships: NOTHING, behind_a_feature: &[], tests: NOTHING },
    Row {
        name: "windlass-postgres",
        ships: May::Use(&["windlass-core", "windlass-pg"]),
        behind_a_feature: &[],
        // Itself, to turn on for its tests the adapters that nobody else compiles.
        tests: May::Use(&[
            "windlass-core",
            "windlass-check",
            "windlass-testkit",
            "windlass-survival",
            "windlass-postgres",
        ]),
    },
    // The archive reads any store through the contract, and its tests need one.
    Row {
        name: "windlass-archive",
        ships: May::Use(&["windlass-core", "windlass-pg"]),
        behind_a_feature: &[],
        tests: May::Use(&["windlass-core", "windlass-embedded", "windlass-testkit"]),
    },
    // The relay answers to the contract alone, so that any store can be relayed to.
    Row {
        name: "windlass-outbox",
        ships: May::Use(&["windlass-core"]),
        behind_a_feature: &["windlass-pg"],
        tests: May::Use(&["windlass-core", "windlass-embedded", "windlass-redis", "windlass-testkit"]),
    },
    // The remote store is the words of the API and connections; its certificate needs a server with a store behind it.
    Row {
        name: "windlass-http",
        ships: May::Use(&["windlass-core", "windlass-api"]),
        behind_a_feature: &[],
        tests: May::Use(&[
            "windlass",
            "windlass-core",
            "windlass-embedded",
            "windlass-server",
            "windlass-survival",
            "windlass-testkit",
        ]),
    },
    // What users import chooses its stores by feature: nobody compiles one that they do not open.
    Row {
        name: "windlass",
        ships: May::Use(&["windlass-core", "windlass-macros"]),
        behind_a_feature: &["windlass-embedded", "windlass-http", "windlass-redis", "windlass-postgres"],
        tests: May::UseAny,
    },
    // OpenTelemetry changes often: what depends on it is a crate beside, and sees what users see.
    Row {
        name: "windlass-otel",
        ships: May::Use(&["windlass"]),
        behind_a_feature: &[],
        tests: May::Use(&["windlass"]),
    },
    // Requests to addresses that users name: what an answer means to a job is for those who send them.
    Row { name: "windlass-webhook", ships: NOTHING, behind_a_feature: &[], tests: NOTHING },
    // How pages look, for the dashboard and for applications beside it: it knows nobody, so that both may use it.
    Row { name: "windlass-look", ships: NOTHING, behind_a_feature: &[], tests: NOTHING },
    // The server has the verbs from a client, whichever store is behind it.
    Row {
        name: "windlass-server",
        ships: May::Use(&["windlass", "windlass-core", "windlass-api", "windlass-look", "windlass-webhook"]),
        behind_a_feature: &[],
        tests: May::UseAny,
    },
    // Providers know nothing of those who send to them, so that a sender's mistake is not repeated in its double.
    Row { name: "windlass-doubles", ships: NOTHING, behind_a_feature: &[], tests: NOTHING },
    // A customer of the public interface, which proves that the interface is enough.
    Row {
        name: "windlass-campaigns",
        ships: May::Use(&["windlass", "windlass-outbox", "windlass-pg", "windlass-look"]),
        behind_a_feature: &[],
        tests: May::Use(&["windlass", "windlass-doubles", "windlass-testkit"]),
    },
    Row { name: "windlass-cli", ships: May::UseAny, behind_a_feature: &[], tests: May::UseAny },
    // The house's own commands must build while the house does not.
    Row { name: "xtask", ships: NOTHING, behind_a_feature: &[], tests: NOTHING },
];

/// Fails with every place where the manifests and the table disagree.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let violations = violations(workspace);
    if violations.is_empty() {
        return Ok(());
    }
    let list: String = violations.iter().map(|violation| format!("\n  - {violation}")).collect();
    Err(Failure::with_command(format!("imports:{list}"), "cargo xtask imports"))
}

/// Every disagreement, in the order of the packages, each with what to do about it.
pub(crate) fn violations(workspace: &Workspace) -> Vec<String> {
    let is_ours = |name: &str| workspace.packages.iter().any(|package| package.name == name);
    let mut found: Vec<String> =
        workspace.packages.iter().flat_map(|package| of_package(package, &is_ours)).collect();
    found.extend(TABLE.iter().filter(|row| !is_ours(row.name)).map(|row| {
        format!("the table has a row for `{}`, which is not in the workspace: delete the row", row.name)
    }));
    found
}

fn of_package(package: &Package, is_ours: &impl Fn(&str) -> bool) -> Vec<String> {
    let Some(row) = TABLE.iter().find(|row| row.name == package.name) else {
        return vec![format!(
            "`{}` is not in the table: decide which of our crates it may use and add its row to TABLE in \
             xtask/src/imports.rs, with the reason in one line, and to the table in ARCHITECTURE.md",
            package.name
        )];
    };
    let ours = package.dependencies.iter().filter(|dependency| is_ours(&dependency.name));
    ours.filter_map(|dependency| row.objection(dependency)).collect()
}

impl Row {
    /// Why this crate may not have this dependency, and what to do instead; none when it may.
    fn objection(&self, dependency: &Dependency) -> Option<String> {
        let (own, other) = (self.name, dependency.name.as_str());
        if dependency.for_tests {
            return (!self.tests.admits(other)).then(|| {
                format!("`{own}` may not use `{other}` in its tests: move the test to a crate that may")
            });
        }
        if self.ships.admits(other) || (dependency.optional && self.behind_a_feature.contains(&other)) {
            return None;
        }
        Some(if self.behind_a_feature.contains(&other) {
            format!("`{own}` may use `{other}` only behind a feature: make the dependency optional")
        } else {
            format!("`{own}` may not use `{other}`: move the code to where both may see it")
        })
    }
}

impl May {
    fn admits(&self, name: &str) -> bool {
        match self {
            Self::UseAny => true,
            Self::Use(names) => names.contains(&name),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::workspace;

    /// The metadata of a whole, lawful workspace, with the dependencies of some crates replaced.
    fn metadata(replaced: &[(&str, Value)]) -> Workspace {
        let lawful = [
            ("windlass-core", json!([on("serde")])),
            ("windlass-macros", json!([on("syn")])),
            ("windlass-api", json!([on("windlass-core")])),
            ("windlass-http", json!([on("windlass-core"), on("windlass-api"), in_tests("windlass-server")])),
            ("windlass-otel", json!([on("windlass")])),
            ("windlass-webhook", json!([on("hyper")])),
            ("windlass-look", json!([on("askama")])),
            (
                "windlass-server",
                json!([on("windlass"), on("windlass-core"), on("windlass-api"), on("windlass-webhook")]),
            ),
            ("windlass-testkit", json!([on("windlass-core")])),
            ("windlass-check", json!([on("windlass-core")])),
            ("windlass-survival", json!([on("windlass-core"), on("windlass-check"), on("windlass-testkit")])),
            (
                "windlass-embedded",
                json!([on("windlass-core"), in_tests("windlass-check"), in_tests("windlass-testkit")]),
            ),
            ("windlass-redis", json!([on("windlass-core"), in_tests("windlass-testkit")])),
            ("windlass-pg", json!([])),
            (
                "windlass-postgres",
                json!([on("windlass-core"), on("windlass-pg"), in_tests("windlass-testkit")]),
            ),
            ("windlass-archive", json!([on("windlass-core"), in_tests("windlass-embedded")])),
            ("windlass-outbox", json!([on("windlass-core"), in_tests("windlass-embedded")])),
            ("windlass", json!([on("windlass-core"), on("windlass-macros"), optional("windlass-embedded")])),
            ("windlass-doubles", json!([on("axum")])),
            ("windlass-campaigns", json!([on("windlass"), on("tokio"), in_tests("windlass-doubles")])),
            ("windlass-cli", json!([on("windlass"), on("windlass-campaigns")])),
            ("xtask", json!([on("serde_json")])),
        ];
        let unknown = replaced.iter().filter(|(name, _)| lawful.iter().all(|(known, _)| known != name));
        let packages: Vec<Value> = lawful
            .iter()
            .chain(unknown)
            .map(|(name, own)| {
                let replacement = replaced.iter().find(|(replaced, _)| replaced == name);
                let dependencies = replacement.map_or(own, |(_, dependencies)| dependencies);
                json!({ "name": name, "targets": [], "dependencies": dependencies })
            })
            .collect();
        let text = json!({ "target_directory": "target", "packages": packages }).to_string();
        workspace::parse(&text).expect("the fake metadata has every field")
    }

    fn on(name: &str) -> Value {
        json!({ "name": name, "kind": null, "optional": false })
    }

    fn optional(name: &str) -> Value {
        json!({ "name": name, "kind": null, "optional": true })
    }

    fn in_tests(name: &str) -> Value {
        json!({ "name": name, "kind": "dev", "optional": false })
    }

    fn only_violation(replaced: &[(&str, Value)]) -> String {
        let mut found = violations(&metadata(replaced));
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    #[test]
    fn a_workspace_that_keeps_the_table_has_no_violations() {
        assert_eq!(violations(&metadata(&[])), Vec::<String>::new());
    }

    #[test]
    fn the_workspace_as_it_stands_keeps_the_table() {
        let workspace = workspace::read(&workspace::root()).expect("cargo describes its workspace");
        assert_eq!(violations(&workspace), Vec::<String>::new());
    }

    #[test]
    fn core_may_import_nothing_of_ours() {
        let violation = only_violation(&[("windlass-core", json!([on("windlass-macros")]))]);
        assert!(violation.contains("`windlass-core` may not use `windlass-macros`"), "{violation}");
    }

    #[test]
    fn an_optional_import_is_still_an_import() {
        let violation = only_violation(&[("windlass-core", json!([optional("windlass-embedded")]))]);
        assert!(violation.contains("`windlass-core` may not use `windlass-embedded`"), "{violation}");
    }

    #[test]
    fn a_store_may_import_only_core() {
        let imports = json!([on("windlass-core"), on("windlass")]);
        let violation = only_violation(&[("windlass-embedded", imports)]);
        assert!(violation.contains("`windlass-embedded` may not use `windlass`"), "{violation}");
    }

    #[test]
    fn a_store_is_imported_only_behind_a_feature() {
        let violation = only_violation(&[("windlass", json!([on("windlass-embedded")]))]);
        assert!(violation.contains("only behind a feature"), "{violation}");
    }

    #[test]
    fn the_campaigns_are_a_customer_of_the_public_interface_only() {
        let imports = json!([on("windlass"), on("windlass-core")]);
        let violation = only_violation(&[("windlass-campaigns", imports)]);
        assert!(violation.contains("`windlass-campaigns` may not use `windlass-core`"), "{violation}");
    }

    #[test]
    fn the_campaigns_reach_their_doubles_in_tests_only() {
        let imports = json!([on("windlass"), on("windlass-doubles")]);
        let violation = only_violation(&[("windlass-campaigns", imports)]);
        assert!(violation.contains("`windlass-campaigns` may not use `windlass-doubles`"), "{violation}");
    }

    #[test]
    fn tests_are_freer_only_where_the_table_says_so() {
        assert_eq!(
            violations(&metadata(&[("windlass", json!([in_tests("windlass-campaigns")]))])),
            Vec::<String>::new()
        );
        let violation = only_violation(&[("windlass-embedded", json!([in_tests("windlass")]))]);
        assert!(violation.contains("in its tests"), "{violation}");
    }

    #[test]
    fn a_crate_outside_the_table_is_refused_with_what_to_do() {
        let violation = only_violation(&[("windlass-extra", json!([]))]);
        assert!(violation.contains("`windlass-extra` is not in the table"), "{violation}");
        assert!(violation.contains("add its row to TABLE in xtask/src/imports.rs"), "{violation}");
    }

    #[test]
    fn a_row_whose_crate_is_gone_is_refused() {
        let mut workspace = metadata(&[]);
        workspace.packages.retain(|package| package.name != "xtask");
        assert_eq!(violations(&workspace).len(), 1);
    }
}

//! `docs/configuration.md` is made from the options themselves, and this keeps it true.
//!
//! `WINDLASS_WRITE_DOCS=1 cargo test -p windlass-cli configuration` writes the page; without the variable the test compares.

use std::fmt::Write;
use std::path::Path;

use clap::{ArgAction, Command};

use super::file::is_setting;
use super::origin::{serve_command, variable_of};
use super::sections::Kind;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
/// What stands before the tables.
const HEAD: &str = include_str!("page_head.md");

#[test]
fn the_configuration_page_says_what_the_options_are() {
    let mut page = HEAD.to_owned();
    page.push_str("\n## Settings of the server\n\n| key | environment | meaning |\n|---|---|---|\n");
    table(&mut page, &serve_command(), true);
    for kind in Kind::ALL {
        let (name, command) = (kind.table(), format!("windlass {} set", kind.table()));
        let _ = write!(
            page,
            "\n## `[{name}.NAME]`\n\nThe options of `{command}`.\n\n| key | meaning |\n|---|---|\n"
        );
        table(&mut page, &kind.command(), false);
    }
    if std::env::var_os("WINDLASS_WRITE_DOCS").is_some() {
        std::fs::write(Path::new(PAGE), &page).expect("docs/configuration.md can be written");
    }
    let kept = std::fs::read_to_string(Path::new(PAGE)).unwrap_or_default();
    assert!(
        page == kept,
        "docs/configuration.md differs from the options; write it anew: \
         WINDLASS_WRITE_DOCS=1 cargo test -p windlass-cli configuration"
    );
}

fn table(page: &mut String, command: &Command, of_server: bool) {
    for argument in command.get_arguments().filter(|argument| is_setting(argument)) {
        let Some(long) = argument.get_long() else { continue };
        let key = long.replace('-', "_");
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default().replace('|', "\\|");
        let many = if matches!(argument.get_action(), ArgAction::Append) { " (a list)" } else { "" };
        if !of_server {
            let _ = writeln!(page, "| `{key}` | {help}{many} |");
            continue;
        }
        let default: Vec<_> =
            argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let is_flag = matches!(argument.get_action(), ArgAction::SetTrue);
        let default = match default.join(" ") {
            default if default.is_empty() || is_flag => String::new(),
            default => format!(" (default `{default}`)"),
        };
        let _ = writeln!(page, "| `{key}` | `{}` | {help}{default}{many} |", variable_of(long));
        if argument.is_hide_env_values_set() {
            let _ =
                writeln!(page, "| `{key}_file` | `{}_FILE` | The file that holds it |", variable_of(long));
        }
    }
}

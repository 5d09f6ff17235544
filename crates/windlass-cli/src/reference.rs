//! `docs/cli.md` is made from the command line itself, and this keeps it true.
//!
//! `WINDLASS_WRITE_DOCS=1 cargo test -p windlass-cli reference` writes the page; without the variable the test compares.

use std::fmt::Write;
use std::path::Path;

use clap::{Arg, Command};

use crate::arguments;
use crate::fault::Exit;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");

/// What stands before the commands. The shapes are written by hand and pinned by the integration tests.
const HEAD: &str = include_str!("reference_head.md");

#[test]
fn the_reference_page_says_what_the_command_line_does() {
    let made = page();
    if std::env::var_os("WINDLASS_WRITE_DOCS").is_some() {
        std::fs::write(Path::new(PAGE), &made).expect("docs/cli.md can be written");
    }
    let kept = std::fs::read_to_string(Path::new(PAGE)).unwrap_or_default();
    let differs = made.lines().zip(kept.lines()).position(|(made, kept)| made != kept);
    assert!(
        made == kept,
        "docs/cli.md differs from the command line, first in line {:?}; write it anew: \
         WINDLASS_WRITE_DOCS=1 cargo test -p windlass-cli reference",
        differs.map(|line| line + 1)
    );
}

fn page() -> String {
    let mut codes = String::from("| code | meaning |\n|---|---|\n");
    for (exit, meaning) in Exit::ALL {
        let _ = writeln!(codes, "| {} | {meaning} |", exit as u8);
    }
    let mut page = HEAD.replace("{exit codes}\n", &codes);
    let mut root = arguments::command();
    root.build();
    let globals: Vec<&Arg> = root.get_arguments().filter(|argument| argument.is_global_set()).collect();
    page.push_str("\n## Global options\n\n");
    options(&mut page, &globals);
    for command in root.get_subcommands().filter(|command| !command.is_hide_set()) {
        section(&mut page, command, "windlass", 2, &globals);
    }
    page
}

fn section(page: &mut String, command: &Command, parent: &str, level: usize, globals: &[&Arg]) {
    let name = format!("{parent} {}", command.get_name());
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let _ = write!(page, "\n{} `{name}`\n\n{about}.\n", "#".repeat(level));
    if let Some(long) = command.get_long_about() {
        let long = long.to_string();
        // The long form begins with the short one.
        let rest = long.strip_prefix(&about).unwrap_or(&long).trim();
        if !rest.is_empty() {
            let _ = writeln!(page, "{rest}");
        }
    }
    if command.has_subcommands() {
        let is_shared = |argument: &&Arg| {
            argument.is_global_set() && globals.iter().all(|global| global.get_id() != argument.get_id())
        };
        let shared: Vec<&Arg> = command.get_arguments().filter(is_shared).collect();
        if !shared.is_empty() {
            page.push_str("\nAll of them take:\n\n");
            options(page, &shared);
        }
        command.get_subcommands().for_each(|inner| section(page, inner, &name, level + 1, globals));
        return;
    }
    let examples = command.get_before_help().map(ToString::to_string).unwrap_or_default();
    let _ = write!(page, "\n```sh\n{}\n```\n\n", unindented(&examples));
    let own: Vec<&Arg> = command.get_arguments().filter(|argument| is_own(argument)).collect();
    options(page, &own);
}

fn is_own(argument: &Arg) -> bool {
    !argument.is_global_set()
        && !argument.is_hide_set()
        && !matches!(argument.get_id().as_str(), "help" | "version")
}

fn unindented(examples: &str) -> String {
    examples.lines().skip(1).map(str::trim_start).collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

fn options(page: &mut String, arguments: &[&Arg]) {
    if arguments.is_empty() {
        return;
    }
    page.push_str("| argument | meaning |\n|---|---|\n");
    for argument in arguments {
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default().replace('|', "\\|");
        let default = match argument.get_default_values() {
            [] => String::new(),
            values => {
                let values: Vec<_> = values.iter().map(|value| value.to_string_lossy()).collect();
                format!(" (default `{}`)", values.join(","))
            }
        };
        let _ = writeln!(page, "| `{}` | {help}{default} |", spelled(argument).replace('|', "\\|"));
    }
}

fn spelled(argument: &Arg) -> String {
    let names: Vec<String> =
        argument.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
    let value = names.join(" ");
    let short = argument.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    match argument.get_long() {
        Some(long) if argument.is_require_equals_set() => format!("{short}--{long}[={value}]"),
        Some(long) if argument.get_action().takes_values() => format!("{short}--{long} {value}"),
        Some(long) => format!("{short}--{long}"),
        None if argument.get_action().takes_values() && !value.is_empty() => value,
        None => argument.get_id().to_string(),
    }
}

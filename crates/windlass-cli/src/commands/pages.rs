//! `windlass man` and `windlass completions`: what a package installs beside the program.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;
use serde::Serialize;

use crate::arguments;
use crate::fault::Fault;
use crate::output::Output;

/// Write the manual: one page for the program and one for each command
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  windlass man /usr/local/share/man/man1\n  windlass man | man -l -\n")]
pub(crate) struct ManArgs {
    /// The directory for the pages; the first page goes to stdout when it is left out
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  windlass completions bash > /etc/bash_completion.d/windlass
  windlass completions zsh > /usr/local/share/zsh/site-functions/_windlass
  windlass completions fish > ~/.config/fish/completions/windlass.fish
";

/// Write what a shell needs to complete commands and options
#[derive(Debug, Args)]
#[command(before_help = COMPLETIONS_EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// For which shell
    shell: Shell,
}

#[derive(Serialize)]
struct Written {
    directory: PathBuf,
    pages: usize,
}

/// Runs `man`.
pub(crate) fn man(out: &Output, args: ManArgs) -> Result<(), Fault> {
    let Some(directory) = args.directory else {
        let mut page = Vec::new();
        clap_mangen::Man::new(arguments::command()).render(&mut page)?;
        return out.text(&String::from_utf8_lossy(&page));
    };
    let fault = |error: std::io::Error| Fault::file(directory.display(), &error);
    std::fs::create_dir_all(&directory).map_err(fault)?;
    clap_mangen::generate_to(arguments::command(), &directory).map_err(fault)?;
    let pages = pages(&arguments::command());
    let sentence = format!("{pages} pages are written to {}", directory.display());
    out.done(&Written { directory, pages }, &sentence, &[&pages.to_string()])
}

/// The program, and every command that is shown.
fn pages(command: &clap::Command) -> usize {
    1 + command.get_subcommands().filter(|inner| !inner.is_hide_set()).map(pages).sum::<usize>()
}

/// Runs `completions`.
pub(crate) fn completions(out: &Output, args: CompletionsArgs) -> Result<(), Fault> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut arguments::command(), "windlass", &mut script);
    out.text(&String::from_utf8_lossy(&script))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_every_shell_a_script() {
        let directory = tempfile::tempdir().expect("a directory");
        clap_mangen::generate_to(arguments::command(), directory.path()).expect("pages");
        fn check(command: &clap::Command, name: &str, directory: &std::path::Path) {
            let page = std::fs::read_to_string(directory.join(format!("{name}.1")));
            let page = page.unwrap_or_else(|error| panic!("{name} has no page: {error}"));
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            let word = about.split(' ').next().unwrap_or_default();
            assert!(page.contains(".TH") && page.contains(word), "{name}: {page}");
            for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
                check(inner, &format!("{name}-{}", inner.get_name()), directory);
            }
        }
        let command = arguments::command();
        check(&command, "windlass", directory.path());
        assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), pages(&command));
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut arguments::command(), "windlass", &mut script);
            let script = String::from_utf8(script).expect("text");
            assert!(script.contains("keep-completed"), "{shell} knows no option of queues set");
        }
    }
}

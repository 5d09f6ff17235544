//! One step of a task: a program that is started, timed, and on failure named so that it can be started again by hand.
//!
//! A step inherits the terminal, so compilers and test runners keep their colours and progress. It does not inherit
//! the variables that `cargo run` set for this program itself: build scripts of dependencies watch some of them, and
//! would rebuild half the tree each time a developer alternates between `cargo xtask` and plain cargo.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// What failed, and the one command line that shows it again.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    reproduce: Option<String>,
}

impl Failure {
    /// A failure that a command repeats.
    pub(crate) fn with_command(what: impl Into<String>, reproduce: impl Into<String>) -> Self {
        Self { what: what.into(), reproduce: Some(reproduce.into()) }
    }

    /// A failure that the message alone explains.
    pub(crate) fn plain(what: impl Into<String>) -> Self {
        Self { what: what.into(), reproduce: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FAILED {}", self.what)?;
        match &self.reproduce {
            Some(command) => write!(f, "\nrun it again with:\n\n    {command}\n"),
            None => Ok(()),
        }
    }
}

/// A program with its arguments and the variables it needs, shown to people exactly as it is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    title: &'static str,
    program: String,
    arguments: Vec<String>,
    variables: Vec<(&'static str, String)>,
}

impl Step {
    /// A step that runs cargo.
    pub(crate) fn cargo<'a>(title: &'static str, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        Self::program(title, "cargo", arguments)
    }

    /// A step that runs any program.
    pub(crate) fn program<'a>(
        title: &'static str,
        program: &str,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let arguments = arguments.into_iter().map(str::to_owned).collect();
        Self { title, program: program.to_owned(), arguments, variables: Vec::new() }
    }

    /// The same step with further arguments.
    pub(crate) fn and(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// The same step with an environment variable.
    pub(crate) fn with(mut self, variable: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((variable, value.into()));
        self
    }

    /// Runs the program in `root` on this terminal and fails unless it succeeds.
    pub(crate) fn run(&self, root: &Path) -> Result<(), Failure> {
        timed(self.title, &self.to_string(), || {
            let status = self.command(root).status().map_err(|error| self.cannot_start(&error))?;
            if status.success() { Ok(()) } else { Err(self.failed(&status.to_string())) }
        })
    }

    /// Runs the program in `root` and answers what it wrote to stdout; stderr stays on this terminal.
    pub(crate) fn output(&self, root: &Path) -> Result<String, Failure> {
        let output = self
            .command(root)
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| self.cannot_start(&error))?;
        if !output.status.success() {
            return Err(self.failed(&output.status.to_string()));
        }
        String::from_utf8(output.stdout).map_err(|_| self.failed("its output is not UTF-8"))
    }

    /// Whether the program starts and succeeds, silently: how an optional tool is looked for.
    pub(crate) fn succeeds(&self, root: &Path) -> bool {
        let command = self.command(root).stdout(Stdio::null()).stderr(Stdio::null()).status();
        command.is_ok_and(|status| status.success())
    }

    /// A failure of this step for a reason the caller found in its output.
    pub(crate) fn failed(&self, why: &str) -> Failure {
        Failure::with_command(format!("{}: {why}", self.title), self.to_string())
    }

    fn cannot_start(&self, error: &std::io::Error) -> Failure {
        self.failed(&format!("`{}` does not start: {error}", self.program))
    }

    fn command(&self, root: &Path) -> Command {
        let mut command = Command::new(real_program(&self.program));
        command.args(&self.arguments).current_dir(root);
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_set_by_cargo_run(name)) {
            command.env_remove(name);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.variables {
            write!(f, "{name}={} ", quoted(value))?;
        }
        f.write_str(&quoted(&self.program))?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {}", quoted(argument)))
    }
}

/// Runs `work` under a title and says how long it took.
pub(crate) fn timed<T>(
    title: &str,
    shown: &str,
    work: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    println!("==> {title}: {shown}");
    let start = Instant::now();
    let result = work();
    let verdict = if result.is_ok() { "ok" } else { "failed" };
    println!("<== {title}: {verdict} after {:.1} s\n", start.elapsed().as_secs_f64());
    result
}

/// The cargo that started this program, so that a toolchain chosen on the command line stays chosen.
fn real_program(program: &str) -> OsString {
    match program {
        "cargo" => std::env::var_os("CARGO").unwrap_or_else(|| program.into()),
        other => other.into(),
    }
}

fn is_set_by_cargo_run(name: &OsString) -> bool {
    const PREFIXES: [&str; 4] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
    name.to_str().is_some_and(|name| PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}

/// The word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_shown_as_a_shell_would_run_it() {
        let step = Step::cargo("docs", ["doc", "--workspace"])
            .with("RUSTDOCFLAGS", "-D warnings")
            .and(["it's", "", "$HOME"]);
        assert_eq!(
            step.to_string(),
            r"RUSTDOCFLAGS='-D warnings' cargo doc --workspace 'it'\''s' '' '$HOME'"
        );
    }

    #[test]
    fn a_failed_program_is_reported_with_the_command_that_repeats_it() {
        let step = Step::program("probe", "sh", ["-c", "exit 3"]);
        let failure = step.run(Path::new(".")).expect_err("exit 3 is a failure").to_string();
        assert!(failure.contains("probe: exit status: 3"), "{failure}");
        assert!(failure.contains("    sh -c 'exit 3'"), "{failure}");
    }

    #[test]
    fn a_program_that_does_not_exist_is_a_failure_and_not_a_panic() {
        let step = Step::program("probe", "no-such-program-here", []);
        let failure = step.run(Path::new(".")).expect_err("it cannot start").to_string();
        assert!(failure.contains("`no-such-program-here` does not start"), "{failure}");
        assert!(!step.succeeds(Path::new(".")));
    }

    #[test]
    fn a_step_sees_its_own_variables_and_not_those_of_cargo_run() {
        let script = r#"printf %s "$PROBE/${CARGO_PKG_NAME-unset}/${CARGO_MANIFEST_DIR-unset}""#;
        let step = Step::program("probe", "sh", ["-c", script]).with("PROBE", "seen");
        assert_eq!(step.output(Path::new(".")).expect("sh runs"), "seen/unset/unset");
    }
}

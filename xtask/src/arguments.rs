//! The command line of `cargo xtask`, parsed into one [`Task`].
//!
//! Written by hand because eight commands with a handful of options do not repay compiling an argument parser before
//! every check. An option that a command does not have is an error here, never ignored.

use std::fmt;
use std::path::PathBuf;

use crate::peers::Kind;
use crate::tasks::{SCHEMATHESIS_EXAMPLES, Schemathesis};

/// How many times `torture` kills the engine when the caller does not say: what CI runs.
pub(crate) const TORTURE_CYCLES: u32 = 100;

/// The stores that have a certificate; the crate of each is called after it.
pub(crate) const STORES: [&str; 4] = ["embedded", "redis", "postgres", "http"];

/// Every profile of `windlass bench`, in the order `bench` runs them.
pub(crate) const BENCH_PROFILES: [&str; 8] =
    ["enqueue", "lifecycle", "workers", "latency", "backlog", "groups", "held", "burst"];

/// The servers that other queues share with Windlass, in the order `bench --peers` compares on them.
pub(crate) const SERVERS: [Kind; 2] = [Kind::Redis, Kind::Postgres];

/// So many jobs that enqueueing and draining them outlasts the time between two checkpoints of PostgreSQL.
pub(crate) const PEERS_JOBS: u64 = 1_000_000;

/// The fewest runs that have a median.
pub(crate) const PEERS_RUNS: u32 = 3;

/// As long as `windlass bench --profile lifecycle` goes by itself.
pub(crate) const PEERS_SECONDS: u32 = 60;

/// What the caller asked for, complete and valid.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Print this text and succeed.
    Help(&'static str),
    /// Every static check, then the tests unless they were declined.
    Check { with_tests: bool },
    /// The tests of the named packages, or of all when none is named.
    Test { packages: Vec<String>, extra: Vec<String> },
    /// The certificate of these stores.
    Certify { stores: Vec<String>, extra: Vec<String> },
    /// The import table alone.
    Imports,
    /// The tidy rules alone.
    Tidy,
    /// Licences, bans and sources of all dependencies.
    Deny,
    /// The kill -9 test of the embedded engine.
    Torture { cycles: u32, seed: Option<u64> },
    /// The API's document against a running server.
    Schemathesis(Schemathesis),
    /// The benchmark profiles, one JSON line each.
    Bench(Bench),
    /// The comparison with other queues.
    Peers(Peers),
    /// The pictures of the README.
    Screenshots,
}

/// What `bench --peers` compares, and how much of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Peers {
    /// The servers to compare on, in order.
    pub(crate) stores: Vec<Kind>,
    /// Jobs of every enqueue and drain.
    pub(crate) jobs: u64,
    /// How often everything is measured.
    pub(crate) runs: u32,
    /// How long the steady mix goes.
    pub(crate) seconds: u32,
    /// Print one JSON object per line instead of a table.
    pub(crate) json: bool,
    /// The binary to measure; a release build of this tree when absent.
    pub(crate) windlass: Option<PathBuf>,
}

/// What `bench` measures and where the figures go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bench {
    /// The file that receives one JSON object per line; under the target directory when absent.
    pub(crate) out: Option<PathBuf>,
    /// The store to measure; a fresh data directory per profile when absent.
    pub(crate) store: Option<String>,
    /// The profiles to run, in order.
    pub(crate) profiles: Vec<String>,
    /// Further options for every `windlass bench`.
    pub(crate) extra: Vec<String>,
}

/// Why a command line was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum UsageError {
    /// The first word names no command.
    UnknownCommand(String),
    /// The command exists, the option does not belong to it.
    UnknownOption { command: &'static str, option: String },
    /// The option came last, without its value.
    MissingValue { option: &'static str },
    /// The option's value is not of its kind.
    BadValue { option: &'static str, value: String, expected: String },
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCommand(word) => write!(f, "unknown command `{word}`"),
            Self::UnknownOption { command, option } => {
                write!(f, "`cargo xtask {command}` has no option `{option}`")
            }
            Self::MissingValue { option } => write!(f, "`{option}` needs a value"),
            Self::BadValue { option, value, expected } => {
                write!(f, "`{option} {value}`: expected {expected}")
            }
        }
    }
}

/// The task that `line` asks for; everything in it was understood, or nothing is run.
pub(crate) fn parse(line: &[String]) -> Result<Task, UsageError> {
    let Some((command, rest)) = line.split_first() else { return Ok(Task::Help(HELP)) };
    match command.as_str() {
        "help" | "--help" | "-h" => Ok(Task::Help(HELP)),
        "check" => check(rest),
        "test" => test(rest),
        "imports" => bare("imports", HELP_IMPORTS, Task::Imports, rest),
        "tidy" => bare("tidy", HELP_TIDY, Task::Tidy, rest),
        "deny" => bare("deny", HELP_DENY, Task::Deny, rest),
        "torture" => torture(rest),
        "schemathesis" => schemathesis(rest),
        "bench" => bench(rest),
        "screenshots" => bare("screenshots", HELP_SCREENSHOTS, Task::Screenshots, rest),
        other => Err(UsageError::UnknownCommand(other.to_owned())),
    }
}

fn check(rest: &[String]) -> Result<Task, UsageError> {
    let mut with_tests = true;
    for word in rest {
        match word.as_str() {
            "--help" | "-h" => return Ok(Task::Help(HELP_CHECK)),
            "--without-tests" => with_tests = false,
            _ => return Err(unknown("check", word)),
        }
    }
    Ok(Task::Check { with_tests })
}

fn test(rest: &[String]) -> Result<Task, UsageError> {
    let mut words = Words::new(rest);
    let (mut packages, mut stores) = (Vec::new(), Vec::new());
    while let Some((word, attached)) = words.next_option() {
        match word {
            "--help" | "-h" => return Ok(Task::Help(HELP_TEST)),
            "--package" | "-p" => packages.push(words.value("--package", attached)?.to_owned()),
            "--store" => stores.extend(stores_of(words.value("--store", attached)?)?),
            _ => return Err(unknown("test", word)),
        }
    }
    let extra = words.after_dashes();
    match (packages.first(), stores.first()) {
        (_, None) => Ok(Task::Test { packages, extra }),
        (None, Some(_)) => Ok(Task::Certify { stores, extra }),
        (Some(package), Some(_)) => Err(UsageError::BadValue {
            option: "--package",
            value: package.clone(),
            expected: "no --store beside it: a certificate is of a store, not of a package".to_owned(),
        }),
    }
}

fn torture(rest: &[String]) -> Result<Task, UsageError> {
    let mut words = Words::new(rest);
    let (mut cycles, mut seed) = (TORTURE_CYCLES, None);
    while let Some((word, attached)) = words.next_option() {
        match word {
            "--help" | "-h" => return Ok(Task::Help(HELP_TORTURE)),
            "--cycles" => cycles = number("--cycles", words.value("--cycles", attached)?)?,
            "--seed" => seed = Some(number("--seed", words.value("--seed", attached)?)?),
            _ => return Err(unknown("torture", word)),
        }
    }
    words.nothing_after_dashes("torture")?;
    Ok(Task::Torture { cycles, seed })
}

fn schemathesis(rest: &[String]) -> Result<Task, UsageError> {
    let mut words = Words::new(rest);
    let mut asked = Schemathesis { examples: SCHEMATHESIS_EXAMPLES, seed: None };
    while let Some((word, attached)) = words.next_option() {
        match word {
            "--help" | "-h" => return Ok(Task::Help(HELP_SCHEMATHESIS)),
            "--examples" => {
                asked.examples = at_least_one("--examples", words.value("--examples", attached)?)?
            }
            "--seed" => asked.seed = Some(number("--seed", words.value("--seed", attached)?)?),
            _ => return Err(unknown("schemathesis", word)),
        }
    }
    words.nothing_after_dashes("schemathesis")?;
    Ok(Task::Schemathesis(asked))
}

fn bench(rest: &[String]) -> Result<Task, UsageError> {
    // The comparison shares a word with the profiles and no option's meaning, so it has a parser of its own.
    if rest.iter().take_while(|word| *word != "--").any(|word| word == "--peers") {
        return peers(rest);
    }
    let mut words = Words::new(rest);
    let (mut out, mut store, mut profiles) = (None, None, Vec::new());
    while let Some((word, attached)) = words.next_option() {
        match word {
            "--help" | "-h" => return Ok(Task::Help(HELP_BENCH)),
            "--out" => out = Some(PathBuf::from(words.value("--out", attached)?)),
            "--store" => store = Some(words.value("--store", attached)?.to_owned()),
            "--profile" => profiles.push(profile(words.value("--profile", attached)?)?),
            _ => return Err(unknown("bench", word)),
        }
    }
    if profiles.is_empty() {
        profiles = BENCH_PROFILES.map(str::to_owned).to_vec();
    }
    Ok(Task::Bench(Bench { out, store, profiles, extra: words.after_dashes() }))
}

fn peers(rest: &[String]) -> Result<Task, UsageError> {
    let mut words = Words::new(rest);
    let mut asked = Peers {
        stores: Vec::new(),
        jobs: PEERS_JOBS,
        runs: PEERS_RUNS,
        seconds: PEERS_SECONDS,
        json: false,
        windlass: None,
    };
    while let Some((word, attached)) = words.next_option() {
        match word {
            "--help" | "-h" => return Ok(Task::Help(HELP_BENCH)),
            "--peers" => {}
            "--json" => asked.json = true,
            "--store" => asked.stores.extend(servers_of(words.value("--store", attached)?)?),
            "--jobs" => asked.jobs = at_least_one("--jobs", words.value("--jobs", attached)?)?,
            "--runs" => asked.runs = at_least_one("--runs", words.value("--runs", attached)?)?,
            "--seconds" => asked.seconds = at_least_one("--seconds", words.value("--seconds", attached)?)?,
            "--windlass" => asked.windlass = Some(PathBuf::from(words.value("--windlass", attached)?)),
            _ => return Err(unknown("bench --peers", word)),
        }
    }
    words.nothing_after_dashes("bench --peers")?;
    if asked.stores.is_empty() {
        asked.stores = SERVERS.to_vec();
    }
    Ok(Task::Peers(asked))
}

/// A command without options of its own.
fn bare(command: &'static str, help: &'static str, task: Task, rest: &[String]) -> Result<Task, UsageError> {
    match rest.first().map(String::as_str) {
        None => Ok(task),
        Some("--help" | "-h") => Ok(Task::Help(help)),
        Some(word) => Err(unknown(command, word)),
    }
}

fn profile(value: &str) -> Result<String, UsageError> {
    if BENCH_PROFILES.contains(&value) {
        return Ok(value.to_owned());
    }
    let expected = format!("one of {}", BENCH_PROFILES.join(", "));
    Err(UsageError::BadValue { option: "--profile", value: value.to_owned(), expected })
}

fn stores_of(value: &str) -> Result<Vec<String>, UsageError> {
    if value == "all" {
        return Ok(STORES.map(str::to_owned).to_vec());
    }
    if STORES.contains(&value) {
        return Ok(vec![value.to_owned()]);
    }
    let expected = format!("one of {} or all", STORES.join(", "));
    Err(UsageError::BadValue { option: "--store", value: value.to_owned(), expected })
}

fn servers_of(value: &str) -> Result<Vec<Kind>, UsageError> {
    if value == "all" {
        return Ok(SERVERS.to_vec());
    }
    let server = SERVERS.into_iter().find(|server| server.name() == value);
    server.map(|server| vec![server]).ok_or_else(|| UsageError::BadValue {
        option: "--store",
        value: value.to_owned(),
        expected: format!("one of {} or all", SERVERS.map(Kind::name).join(", ")),
    })
}

/// A number of which none would leave nothing to measure.
fn at_least_one<N: std::str::FromStr + PartialOrd + From<u8>>(
    option: &'static str,
    value: &str,
) -> Result<N, UsageError> {
    let found: Option<N> = value.parse().ok().filter(|found| *found >= N::from(1));
    found.ok_or_else(|| UsageError::BadValue {
        option,
        value: value.to_owned(),
        expected: "a whole number from 1 on".to_owned(),
    })
}

fn number<N: std::str::FromStr>(option: &'static str, value: &str) -> Result<N, UsageError> {
    value.parse().map_err(|_| UsageError::BadValue {
        option,
        value: value.to_owned(),
        expected: "a whole number".to_owned(),
    })
}

fn unknown(command: &'static str, option: &str) -> UsageError {
    UsageError::UnknownOption { command, option: option.to_owned() }
}

/// The words of one command, read left to right up to a lone `--`.
struct Words<'a> {
    rest: &'a [String],
}

impl<'a> Words<'a> {
    fn new(rest: &'a [String]) -> Self {
        Self { rest }
    }

    fn take(&mut self) -> Option<&'a str> {
        let (word, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(word)
    }

    /// The next word before `--`, with the value of the `--option=value` spelling split off.
    fn next_option(&mut self) -> Option<(&'a str, Option<&'a str>)> {
        if self.rest.first().is_some_and(|word| word == "--") {
            return None;
        }
        let word = self.take()?;
        Some(match word.split_once('=') {
            Some((option, value)) if option.starts_with("--") => (option, Some(value)),
            _ => (word, None),
        })
    }

    fn value(&mut self, option: &'static str, attached: Option<&'a str>) -> Result<&'a str, UsageError> {
        if let Some(value) = attached {
            return Ok(value);
        }
        if self.rest.first().is_none_or(|word| word == "--") {
            return Err(UsageError::MissingValue { option });
        }
        self.take().ok_or(UsageError::MissingValue { option })
    }

    fn after_dashes(&self) -> Vec<String> {
        self.rest.iter().skip(1).cloned().collect()
    }

    fn nothing_after_dashes(&self, command: &'static str) -> Result<(), UsageError> {
        self.rest.first().map_or(Ok(()), |word| Err(unknown(command, word)))
    }
}

const HELP: &str = "\
The commands of this repository.

Usage: cargo xtask <COMMAND> [OPTIONS]

  check     formatting, clippy, documentation, import table, tidy rules, then the tests
  test      all tests: what a newcomer runs after cloning
  imports   only the import table: which crate may use which
  tidy      only the tidy rules: file names, unfinished code, sleeping tests
  deny      licences, banned crates and sources of the dependencies (needs cargo-deny)
  torture   kill the embedded engine over and over and compare it with an outside ledger
  schemathesis  make requests of the OpenAPI document, and hold a server's answers against it (needs Python)
  bench     run the benchmark profiles and keep their figures as JSON lines; with --peers, compare with other queues
  screenshots  take the pictures of the dashboard again that the README shows

`cargo xtask <COMMAND> --help` lists a command's options.
Exit codes: 0 all passed, 1 something failed, 2 the command line was not understood.";

const HELP_CHECK: &str = "\
Everything a change must pass, cheapest first; stops at the first failure and prints how to repeat it.

Usage: cargo xtask check [--without-tests]

  --without-tests   leave the tests out (CI runs `cargo xtask test` as its own step)";

const HELP_TEST: &str = "\
Run all tests: unit, rule and integration tests (with cargo-nextest when it is installed), then the doctests.

Usage: cargo xtask test [--package NAME]... [-- ARGS]
       cargo xtask test --store NAME [-- ARGS]

  -p, --package NAME   only this package; may be repeated
  --store NAME         only the certificate of this store: embedded, redis, postgres, http, or all; may be repeated
  -- ARGS              go to the test runner as they are, for example a part of a test's name;
                       the doctests are then left out";

const HELP_IMPORTS: &str = "\
Compare the dependencies between our crates with the table in xtask/src/imports.rs.

Usage: cargo xtask imports";

const HELP_TIDY: &str = "\
Look for file names that say nothing, unfinished code, ignored tests and sleeping threads.

Usage: cargo xtask tidy";

const HELP_DENY: &str = "\
Check all dependencies against deny.toml: licences, banned crates, sources, advisories.

Usage: cargo xtask deny";

const HELP_SCREENSHOTS: &str = "\
Take the pictures of the dashboard again that the README shows, and write them to docs/images.
They show a server with an hour of made-up work, told to it by the verbs that every program has. Needs chromium.

Usage: cargo xtask screenshots";

const HELP_TORTURE: &str = "\
Kill a process that owns an embedded store with SIGKILL, reopen it, compare with an outside ledger, repeat.

Usage: cargo xtask torture [--cycles N] [--seed S]

  --cycles N   how many kills (default 100, as in CI)
  --seed S     repeat the run that printed this seed";

const HELP_SCHEMATHESIS: &str = "\
Start `windlass serve` on a fresh store, make requests of its OpenAPI document, valid ones and others, and fail on an
answer that the document does not allow, on a request that should have been refused and was not, and on every 5xx.

Usage: cargo xtask schemathesis [--examples N] [--seed S]

  --examples N   random requests of each operation and phase (default 5; deep: 200)
  --seed S       repeat the run that printed this seed";

const HELP_BENCH: &str = "\
Build the release binary, run `windlass bench --json` for each profile, write one JSON object per line.

Usage: cargo xtask bench [--profile NAME]... [--store URL] [--out FILE] [-- ARGS]

  --profile NAME   enqueue, lifecycle, workers, latency, backlog, groups, held or burst;
                   may be repeated (default: all, in this order)
  --store URL      measure this store (default: a fresh data directory per profile)
  --out FILE       where the lines go (default: target/bench.jsonl)
  -- ARGS          go to every `windlass bench` as they are, for example `--jobs 100000`

With --peers: compare with BullMQ, pg-boss and graphile-worker on servers that it starts itself, and print ratios.
Needs node, npm, redis-server and PostgreSQL.

Usage: cargo xtask bench --peers [--store redis|postgres|all] [--jobs N] [--runs N] [--seconds S] [--json]

  --store NAME      the server to compare on; may be repeated (default: all)
  --jobs N          jobs of every enqueue and drain (default 1000000)
  --runs N          how often everything is measured; medians count (default 3)
  --seconds S       how long the steady mix goes (default 60)
  --windlass FILE   measure this binary instead of building one
  --json            print one JSON object per line, with the figure of every run; the last one says how it was run";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Task, UsageError> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&words)
    }

    #[test]
    fn a_certificate_is_asked_for_by_store() {
        let all =
            Task::Certify { stores: STORES.map(str::to_owned).to_vec(), extra: vec!["claim".to_owned()] };
        assert_eq!(parsed("test --store all -- claim"), Ok(all));
        let refused = parsed("test --store mongo").expect_err("no such store").to_string();
        assert!(refused.contains("one of embedded, redis, postgres, http or all"), "{refused}");
        assert!(parsed("test --store embedded -p windlass-core").is_err());
    }

    #[test]
    fn an_empty_line_asks_for_help() {
        assert_eq!(parsed(""), Ok(Task::Help(HELP)));
    }

    #[test]
    fn every_command_has_its_own_help() {
        for command in
            ["check", "test", "imports", "tidy", "deny", "torture", "schemathesis", "bench", "screenshots"]
        {
            let Ok(Task::Help(text)) = parsed(&format!("{command} --help")) else {
                panic!("{command} --help is not answered with help");
            };
            assert!(text.contains(&format!("cargo xtask {command}")), "{command}: {text}");
        }
    }

    #[test]
    fn check_runs_the_tests_unless_they_are_declined() {
        assert_eq!(parsed("check"), Ok(Task::Check { with_tests: true }));
        assert_eq!(parsed("check --without-tests"), Ok(Task::Check { with_tests: false }));
    }

    #[test]
    fn test_hands_on_everything_after_the_dashes_untouched() {
        let task = parsed("test -p windlass-core --package=windlass -- --no-capture lanes");
        let packages = vec!["windlass-core".to_owned(), "windlass".to_owned()];
        let extra = vec!["--no-capture".to_owned(), "lanes".to_owned()];
        assert_eq!(task, Ok(Task::Test { packages, extra }));
    }

    #[test]
    fn an_unknown_command_or_option_is_refused_by_name() {
        assert_eq!(parsed("chekc"), Err(UsageError::UnknownCommand("chekc".to_owned())));
        for line in ["check --fast", "test --fast", "tidy --fast", "torture --fast", "bench --fast"] {
            let error = parsed(line).expect_err(line).to_string();
            assert!(error.contains("no option `--fast`"), "{line}: {error}");
        }
    }

    #[test]
    fn an_option_without_its_value_is_refused() {
        assert_eq!(parsed("test --package"), Err(UsageError::MissingValue { option: "--package" }));
        assert_eq!(parsed("test --package -- x"), Err(UsageError::MissingValue { option: "--package" }));
        assert_eq!(parsed("torture --cycles"), Err(UsageError::MissingValue { option: "--cycles" }));
    }

    #[test]
    fn torture_defaults_to_what_ci_runs() {
        assert_eq!(parsed("torture"), Ok(Task::Torture { cycles: TORTURE_CYCLES, seed: None }));
        let task = parsed("torture --cycles 3 --seed=18446744073709551615");
        assert_eq!(task, Ok(Task::Torture { cycles: 3, seed: Some(u64::MAX) }));
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_refused_with_what_was_expected() {
        for line in ["torture --cycles many", "torture --cycles -1", "torture --seed 0x1", "torture --seed="]
        {
            let error = parsed(line).expect_err(line).to_string();
            assert!(error.contains("a whole number"), "{line}: {error}");
        }
        let error = parsed("bench --profile speed").expect_err("no such profile").to_string();
        assert!(error.contains("enqueue, lifecycle"), "{error}");
    }

    #[test]
    fn torture_takes_nothing_after_the_dashes() {
        assert!(parsed("torture -- x").is_err());
    }

    #[test]
    fn the_comparison_with_peers_has_options_of_its_own() {
        let Ok(Task::Peers(all)) = parsed("bench --peers") else { panic!("bench --peers is valid") };
        assert_eq!((all.jobs, all.runs, all.seconds), (PEERS_JOBS, PEERS_RUNS, PEERS_SECONDS));
        assert_eq!((all.stores, all.json, all.windlass), (SERVERS.to_vec(), false, None));
        let line = "bench --store redis --peers --jobs=20000 --runs 1 --seconds 5 --json --windlass ./w";
        let some = Peers {
            stores: vec![Kind::Redis],
            jobs: 20_000,
            runs: 1,
            seconds: 5,
            json: true,
            windlass: Some(PathBuf::from("./w")),
        };
        assert_eq!(parsed(line), Ok(Task::Peers(some)));
    }

    #[test]
    fn the_comparison_refuses_what_belongs_to_the_profiles_and_the_other_way_round() {
        for line in ["bench --peers --profile held", "bench --peers --out f", "bench --peers -- --jobs 1"] {
            let error = parsed(line).expect_err(line).to_string();
            assert!(error.contains("`cargo xtask bench --peers` has no option"), "{line}: {error}");
        }
        for line in ["bench --runs 3", "bench --json", "bench -- --peers --json"] {
            let peers = matches!(parsed(line), Ok(Task::Peers(_)));
            assert!(!peers, "{line}");
        }
        assert!(parsed("bench --runs 3").is_err());
    }

    #[test]
    fn the_comparison_names_the_servers_it_knows_and_measures_at_least_something() {
        let error = parsed("bench --peers --store kafka").expect_err("no such server").to_string();
        assert!(error.contains("one of redis, postgres or all"), "{error}");
        for line in ["bench --peers --runs 0", "bench --peers --jobs 0", "bench --peers --seconds none"] {
            let error = parsed(line).expect_err(line).to_string();
            assert!(error.contains("a whole number from 1 on"), "{line}: {error}");
        }
    }

    #[test]
    fn bench_runs_every_profile_unless_some_are_named() {
        let Ok(Task::Bench(all)) = parsed("bench") else { panic!("bench alone is valid") };
        assert_eq!(all.profiles, BENCH_PROFILES);
        let Ok(Task::Bench(some)) = parsed("bench --profile held --out figures.jsonl -- --jobs 10") else {
            panic!("bench with options is valid")
        };
        assert_eq!(some.profiles, ["held"]);
        assert_eq!(some.out, Some(PathBuf::from("figures.jsonl")));
        assert_eq!(some.extra, ["--jobs", "10"]);
    }
}

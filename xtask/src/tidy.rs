//! The house rules about files and code that no compiler lint expresses.
//!
//! - No file or folder is named `utils`, `common`, `helpers`, `misc` or `manager`: such a name says that nobody decided
//!   what the file is.
//! - No unfinished code and no switched-off test is landed.
//! - Nothing sleeps on a thread: tests wait for a condition or use injected time, and the engine waits on signals.
//!
//! An exception is one entry of [`ALLOWED`] with its reason. An entry that no longer excuses anything is itself an
//! error, so that the list never outlives what it was for.

use std::fs;
use std::path::{Path, PathBuf};

use crate::source;
use crate::step::Failure;

const VAGUE_NAMES: [&str; 9] =
    ["util", "utils", "common", "helper", "helpers", "misc", "manager", "managers", "stuff"];

/// What no code may contain, and what to do instead.
const FORBIDDEN: [(&str, &str); 4] = [
    ("todo!", "finish it, or leave it out"),
    ("unimplemented!", "finish it, or leave it out"),
    ("#[ignore", "a test that is not run proves nothing: make it fast and sure, or delete it"),
    ("thread::sleep", "wait for a signal or a condition with a deadline, or use injected time"),
];

/// Folders that hold no source of ours.
const NOT_OURS: [&str; 2] = ["target", ".git"];

/// One place that may contain a forbidden word, and why.
struct Allowed {
    path: &'static str,
    word: &'static str,
    reason: &'static str,
}

/// The exceptions. A reason says what breaks without the word, not that it is convenient.
const ALLOWED: [Allowed; 2] = [
    Allowed {
        path: "crates/windlass-cli/src/demo/room.rs",
        word: "thread::sleep",
        reason: "a killed worker's last file appears in the folder that is being removed: the system tells nobody when",
    },
    Allowed {
        path: "crates/windlass-cli/tests/demo/main.rs",
        word: "thread::sleep",
        reason: "waits, with a deadline, for the end of a process that is not its child: nothing signals that",
    },
];

/// One broken rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    line: usize,
    text: String,
}

/// Fails with every place under `root` that breaks a rule.
pub(crate) fn check(root: &Path) -> Result<(), Failure> {
    let mut findings = Vec::new();
    let mut excused = vec![false; ALLOWED.len()];
    for path in rust_files(root)? {
        let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        let text = fs::read_to_string(&path)
            .map_err(|error| Failure::plain(format!("tidy: {relative} cannot be read: {error}")))?;
        findings.extend(vague_name(&relative));
        findings.extend(forbidden_words(&relative, &text, &ALLOWED, &mut excused));
    }
    findings.extend(unused(&ALLOWED, &excused));
    if findings.is_empty() {
        return Ok(());
    }
    let list: String =
        findings.iter().map(|Finding { path, line, text }| format!("\n  - {path}:{line}: {text}")).collect();
    Err(Failure::with_command(format!("tidy:{list}"), "cargo xtask tidy"))
}

/// All Rust files below `folder`, sorted, so that two runs report in the same order.
fn rust_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error| Failure::plain(format!("tidy: {} cannot be read: {error}", folder.display()));
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(unreadable)?;
    entries.sort();
    let mut files = Vec::new();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !NOT_OURS.contains(&name.as_str()) {
            files.extend(rust_files(&path)?);
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
    Ok(files)
}

/// The part of the path, folder or file, that says nothing about what it holds.
fn vague_name(path: &str) -> Option<Finding> {
    let mut parts = path.split('/').map(|part| part.trim_end_matches(".rs"));
    let vague = parts.find(|part| VAGUE_NAMES.contains(part))?;
    let text = format!("the name `{vague}` says nothing: name it after what it owns");
    Some(Finding { path: path.to_owned(), line: 1, text })
}

/// Every forbidden word in the code of one file; a word that `allowed` excuses is marked there instead.
fn forbidden_words(path: &str, text: &str, allowed: &[Allowed], excused: &mut [bool]) -> Vec<Finding> {
    let code = source::code_only(text);
    let mut findings = Vec::new();
    for (number, line) in code.lines().enumerate() {
        for (word, instead) in FORBIDDEN.iter().filter(|(word, _)| line.contains(word)) {
            let exception = allowed.iter().position(|entry| entry.path == path && entry.word == *word);
            match exception {
                Some(index) => excused[index] = true,
                None if *word == "thread::sleep" && is_benchmark(path) => {}
                None => findings.push(Finding {
                    path: path.to_owned(),
                    line: number + 1,
                    text: format!("`{word}`: {instead}"),
                }),
            }
        }
    }
    findings
}

/// A benchmark paces its load by the wall clock, which is the one thing sleeping is for.
fn is_benchmark(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "bench" | "benches" | "bench.rs"))
}

fn unused<'a>(allowed: &'a [Allowed], excused: &'a [bool]) -> impl Iterator<Item = Finding> + 'a {
    allowed.iter().zip(excused).filter(|(_, excused)| !**excused).map(|(entry, _)| Finding {
        path: entry.path.to_owned(),
        line: 1,
        text: format!(
            "the exception for `{}` ({}) excuses nothing: delete it from ALLOWED in xtask/src/tidy.rs",
            entry.word, entry.reason
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words_found(path: &str, text: &str) -> Vec<usize> {
        forbidden_words(path, text, &[], &mut []).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn the_repository_as_it_stands_is_tidy() {
        if let Err(failure) = check(&crate::workspace::root()) {
            panic!("{failure}");
        }
    }

    #[test]
    fn a_name_that_says_nothing_is_refused_for_files_and_folders() {
        for path in ["crates/a/src/utils.rs", "crates/a/tests/common/mod.rs", "crates/a/src/manager.rs"] {
            assert!(vague_name(path).is_some(), "{path}");
        }
        for path in ["crates/a/src/lanes.rs", "crates/a/src/uncommon.rs"] {
            assert_eq!(vague_name(path), None);
        }
    }

    #[test]
    fn unfinished_code_is_found_with_its_line() {
        let text = "fn f() {\n    todo!()\n}\n#[ignore = \"slow\"]\nfn g() { unimplemented!() }\n";
        assert_eq!(words_found("crates/a/src/f.rs", text), [2, 4, 5]);
    }

    #[test]
    fn a_word_in_a_comment_or_a_string_is_not_code() {
        let text = "// todo!() would be wrong\nlet word = \"thread::sleep\";\n";
        assert_eq!(words_found("crates/a/src/f.rs", text), Vec::<usize>::new());
    }

    #[test]
    fn only_benchmarks_may_sleep() {
        let text = "std::thread::sleep(pause);";
        assert_eq!(words_found("crates/a/tests/f.rs", text), [1]);
        assert_eq!(words_found("crates/a/src/bench/pace.rs", text), Vec::<usize>::new());
        assert_eq!(words_found("crates/a/src/bench/pace.rs", "todo!()"), [1]);
    }

    #[test]
    fn an_exception_excuses_its_own_file_and_word_only_and_must_be_used() {
        let allowed = [Allowed { path: "a.rs", word: "thread::sleep", reason: "it paces" }];
        let mut excused = [false];
        assert_eq!(forbidden_words("b.rs", "thread::sleep", &allowed, &mut excused).len(), 1);
        assert_eq!(forbidden_words("a.rs", "todo!()", &allowed, &mut excused).len(), 1);
        assert_eq!(unused(&allowed, &excused).count(), 1);
        assert_eq!(forbidden_words("a.rs", "thread::sleep", &allowed, &mut excused), []);
        assert_eq!(unused(&allowed, &excused).count(), 0);
    }
}

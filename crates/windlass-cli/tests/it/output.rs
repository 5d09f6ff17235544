//! The three forms, escapes, help, and what happens when nobody reads.

use std::process::Stdio;

use crate::shell::{Shell, lines};

#[test]
fn stored_text_cannot_drive_a_terminal_in_any_form() {
    let shell = Shell::new();
    let id = shell.enqueue(&["q", "k", "\u{1b}[2J\u{9b}31m\u{202e}boo\n", "--raw", "--tag", "a\u{202e}b"]);
    shell.fail_all("q", "\u{1b}]0;owned\u{7}\r\nsecond line\u{9b}2J");
    for form in [&[][..], &["--plain"], &["--json"]] {
        for arguments in [&["jobs", "get", &id][..], &["jobs", "ls"], &["events"], &["errors"]] {
            let out = shell.ok(&[arguments, form].concat());
            let bad = out.chars().find(|c| (c.is_control() && !matches!(c, '\n' | '\t')) || *c == '\u{202e}');
            assert_eq!(bad, None, "{arguments:?} {form:?}: {out:?}");
        }
    }
    let job = shell.object(&["jobs", "get", &id]);
    assert_eq!(job["payload"], "\u{1b}[2J\u{9b}31m\u{202e}boo\n", "escaped JSON is the same JSON");
}

#[test]
fn nothing_is_coloured_and_no_bar_is_drawn_off_a_terminal() {
    let shell = Shell::new();
    let ran = shell.feed(&["enqueue", "q", "k", "--ndjson", "-"], b"{}\n");
    let table = shell.run(&["jobs", "ls"]);
    let fault = shell.run(&["jobs", "get", "01a1fdd3-6d88-7000-946e-3dfc8d3f4511"]);
    let nonsense = shell.run(&["jobs", "nonsense"]);
    for ran in [&ran, &table, &fault, &nonsense] {
        assert!(!ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'), "{:?} {:?}", ran.out, ran.err);
    }
    assert_eq!(ran.err, "", "no bar");
}

#[test]
fn quiet_silences_messages_but_not_errors() {
    let shell = Shell::new();
    assert!(!shell.run(&["enqueue", "q", "k"]).err.is_empty());
    assert_eq!(shell.run(&["enqueue", "q", "k", "--quiet"]).err, "");
    assert!(
        shell
            .run(&["jobs", "get", "01a1fdd3-6d88-7000-946e-3dfc8d3f4511", "--quiet"])
            .err
            .contains("not found")
    );
}

#[test]
fn a_reader_that_hangs_up_is_no_failure() {
    let shell = Shell::new();
    let many: String = (0..5_000).map(|_| "{}\n").collect();
    assert_eq!(shell.feed(&["enqueue", "q", "k", "--ndjson", "-"], many.as_bytes()).code, 0);
    let mut child = shell
        .command(&["jobs", "ls", "--limit", "5000", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the command ends");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn help_leads_with_examples_and_typos_get_a_suggestion() {
    let shell = Shell::new();
    for arguments in [
        &["-h"][..],
        &["enqueue", "-h"],
        &["jobs", "retry", "-h"],
        &["queues", "set", "-h"],
        &["bench", "-h"],
    ] {
        let help = shell.ok(arguments);
        let (example, usage) =
            (help.find("Examples:").expect("examples"), help.find("Usage:").expect("usage"));
        assert!(example < usage, "{arguments:?}");
    }
    let ran = shell.run(&["quues", "ls"]);
    assert!(ran.code == 2 && ran.err.contains("queues"), "{}", ran.err);
    let ran = shell.run(&["jobs", "ls", "--queu", "x"]);
    assert!(ran.code == 2 && ran.err.contains("--queue"), "{}", ran.err);
    assert_eq!(shell.run(&["jobs", "ls", "--json", "--plain"]).code, 2);
    assert!(shell.ok(&["--version"]).starts_with("windlass "));
}

#[test]
fn a_failure_with_json_is_one_object_on_stderr() {
    let shell = Shell::new();
    shell.enqueue(&["q", "k"]);
    let ran = shell.run(&["queues", "show", "nowhere", "--json"]);
    let error = &lines(&ran.err)[0]["error"];
    assert_eq!((&error["code"], &error["exit"]), (&"not_found".into(), &3.into()));
    assert!(error["message"].as_str().is_some_and(|message| message.contains("nowhere")));
    assert_eq!(ran.out, "");
}

#[test]
fn a_bad_command_line_with_json_is_one_object_on_stderr_too() {
    let shell = Shell::new();
    for arguments in
        [&["--json", "bogus"][..], &["enqueue", "q", "b ad", "--json"], &["queues", "--json", "ls", "--x"]]
    {
        let ran = shell.run(arguments);
        let error = &lines(&ran.err)[0]["error"];
        assert_eq!(
            (ran.code, &error["code"], &error["exit"]),
            (2, &"usage".into(), &2.into()),
            "{arguments:?}"
        );
    }
    let ran = shell.run(&["enqueue", "q", "b ad", "--", "--json"]);
    assert!(ran.code == 2 && ran.err.starts_with("error:"), "{}", ran.err);
}

#[test]
fn a_value_that_begins_with_a_dash_is_refused_by_its_option() {
    let shell = Shell::new();
    for (arguments, named) in [
        (&["enqueue", "q", "k", "--delay", "-5s"][..], "--delay"),
        (&["queues", "set", "q", "--concurrency", "-1"], "--concurrency"),
        (&["jobs", "ls", "--limit", "-1"], "--limit"),
    ] {
        let ran = shell.run(arguments);
        assert_eq!(ran.code, 2);
        assert!(
            ran.err.contains(&format!("invalid value '{}'", arguments[arguments.len() - 1])),
            "{}",
            ran.err
        );
        assert!(ran.err.contains(named), "{}", ran.err);
    }
}

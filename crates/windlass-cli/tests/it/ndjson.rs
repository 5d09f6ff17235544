//! `windlass enqueue --ndjson`: many jobs, some of them bad.

use crate::shell::{Shell, lines, text};

const LINES: &[u8] = br#"{"queue":"email","kind":"send","payload":{"n":1}}
not json
{"queue":"email","kind":"send","payload":{"n":2},"group":"c7","delay":"10m"}

{"queue":"email","kind":"send","prioritty":3}
{"queue":"email","kind":"send","priority":11}
{"kind":"send"}
{"queue":"email","kind":"send","unique":"one","on_conflict":"refuse"}
{"queue":"email","kind":"send","unique":"one","on_conflict":"refuse"}
"#;

#[test]
fn a_bad_line_is_told_with_its_number_and_stops_no_other() {
    let shell = Shell::new();
    let ran = shell.feed(&["enqueue", "--ndjson", "-"], LINES);
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert!(ran.out.contains("enqueued 3 jobs"), "{}", ran.out);
    for number in [2, 5, 6, 7, 9] {
        assert!(ran.err.contains(&format!("line {number}: ")), "line {number}: {}", ran.err);
    }
    for number in [1, 3, 4, 8] {
        assert!(!ran.err.contains(&format!("line {number}: ")), "line {number}: {}", ran.err);
    }
    assert!(ran.err.contains("5 of 8 lines were refused"), "{}", ran.err);
    assert_eq!(shell.json(&["jobs", "ls"]).len(), 3);
}

#[test]
fn with_json_every_line_has_its_own_answer() {
    let shell = Shell::new();
    std::fs::write(shell.path("jobs.ndjson"), LINES).expect("a file");
    let ran = shell.run(&["enqueue", "--ndjson", "jobs.ndjson", "--json"]);
    assert_eq!(ran.code, 4);
    let answers = lines(&ran.out);
    let told: Vec<u64> = answers.iter().filter_map(|answer| answer["line"].as_u64()).collect();
    assert!(told.is_sorted(), "in the order of the lines: {told:?}");
    let refused: Vec<u64> = answers
        .iter()
        .filter(|answer| !answer["error"].is_null())
        .filter_map(|answer| answer["line"].as_u64())
        .collect();
    assert_eq!(refused, [2, 5, 6, 7, 9]);
    assert_eq!(answers.last().expect("answers")["error"]["code"], "unique_conflict");
    assert_eq!((&answers[0]["status"], &answers[0]["state"]), (&"created".into(), &"ready".into()));
    assert_eq!(ran.error()["code"], "lines_refused");
}

#[test]
fn the_command_line_says_what_lines_leave_out() {
    let shell = Shell::new();
    let ran = shell.feed(
        &["enqueue", "email", "send", "--ndjson", "-", "--group", "c7", "--plain"],
        b"{}\n{\"group\":\"c8\"}\n",
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    let groups: Vec<String> = ran
        .out
        .lines()
        .map(|line| line.split('\t').nth(1).expect("an id"))
        .map(|id| text(&shell.object(&["jobs", "get", id])["group"]))
        .collect();
    assert_eq!(groups, ["c7", "c8"]);
}

#[test]
fn more_lines_than_a_batch_holds_all_arrive() {
    let shell = Shell::new();
    let many: String = (0..2_500).map(|n| format!("{{\"payload\":{n}}}\n")).collect();
    let ran = shell.feed(&["enqueue", "q", "k", "--ndjson", "-"], many.as_bytes());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("2,500"), "{}", ran.out);
    assert_eq!(shell.object(&["queues", "show", "q"])["jobs"]["ready"], 2_500);
    assert_eq!(shell.json(&["jobs", "ls", "--limit", "10000"]).len(), 2_500);
}

#[test]
fn a_file_that_is_not_there_is_told_by_its_name() {
    let shell = Shell::new();
    let ran = shell.run(&["enqueue", "--ndjson", "nowhere.ndjson"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("nowhere.ndjson"), "{}", ran.err);
}

#[test]
fn lines_that_a_full_queue_refuses_are_not_called_wrong() {
    let shell = Shell::new();
    shell.ok(&["queues", "set", "mail", "--max-waiting", "2"]);
    let feed = |lines: &[u8], more: &[&str]| {
        shell.feed(&[&["enqueue", "mail", "send", "--ndjson", "-"], more].concat(), lines)
    };
    let full = feed(b"{}\n{}\n{}\n{}\n", &[]);
    assert_eq!(full.code, 4, "{}", full.err);
    let told: Vec<&str> = full.err.lines().filter(|line| line.starts_with("line ")).collect();
    assert!(told.len() == 2 && told[0].starts_with("line 3: queue mail is full"), "{}", full.err);
    assert!(full.err.contains("2 of 4 lines were refused (2 queue_full)"), "{}", full.err);
    assert!(full.err.contains("windlass queues set mail --max-waiting N"), "{}", full.err);
    assert!(full.err.contains("the others are enqueued") && !full.err.contains("repair"), "{}", full.err);
    // What is wrong with a line comes in its turn, and is told apart.
    let both = feed(b"{}\nnonsense\n{}\n", &["--json"]);
    let codes: Vec<String> = lines(&both.out).iter().map(|line| text(&line["error"]["code"])).collect();
    assert_eq!(codes, ["queue_full", "invalid", "queue_full"]);
    let next = text(&both.error()["next"]);
    assert!(next.contains("repair those that are wrong") && next.contains("max-waiting"), "{next}");
    assert!(text(&both.error()["message"]).contains("1 invalid, 2 queue_full"), "{}", both.err);
}

//! The file: what is refused, what is forgiven, and what the recorder leaves.

use crate::writer::{History, asked};
use std::io::{BufReader, Write};
use windlass_check::format::{Ask, Item, Says, Told};
use windlass_check::{Checker, FaultKind, HistoryError, Invariant, Options, Recorder, check};
use windlass_core::State;

fn judged(text: &str) -> Result<windlass_check::Report, HistoryError> {
    check(text.as_bytes(), Options::default())
}

fn told(text: &str) -> String {
    judged(text).expect_err("no history").to_string()
}

#[test]
fn what_is_no_history_is_refused_with_its_line() {
    assert!(told("").starts_with("line 1: not a history"));
    assert!(told("{\"a\":1}").starts_with("line 1: not a history"));
    assert!(told("id,state\n1,ready").starts_with("line 1: not a history"));
    let mut h = History::new();
    h.enqueue(vec![asked(1)]);
    let text = h.text();
    assert!(told(&text.replace("\"windlass_history\":1", "\"windlass_history\":2")).contains("version 2"));
    assert!(told(&format!("{text}\n[]\n")).starts_with("line 4: "));
    assert!(
        told(&format!("{text}\n{{\"by\":\"p\",\"at\":1,\"us\":1,\"later\":{{}}}}")).starts_with("line 4: ")
    );
}

#[test]
fn an_answer_fits_its_call() {
    let mut h = History::new();
    h.answer(7, Told::One(Item::Ok(())));
    assert!(told(&h.text()).contains("answers call 7, which has not begun"));
    let mut h = History::new();
    let call = h.begin(Ask::Enqueue { jobs: vec![asked(1)], transaction: None });
    h.answer(call, Told::Enqueued(Vec::new()));
    assert!(told(&h.text()).contains("line 3: 0 answers to 1 items"));
    let mut h = History::new();
    let call = h.begin(Ask::Enqueue { jobs: vec![asked(1)], transaction: None });
    h.answer(call, Told::One(Item::Ok(())));
    assert!(told(&h.text()).contains("another verb"));
}

#[test]
fn every_line_reads_back_as_it_was_written() {
    let mut h = History::new();
    h.enqueue(vec![asked(1)]);
    let lease = h.claim(1, 1);
    h.complete(lease);
    h.fault(FaultKind::PowerCut);
    h.dump(&[(1, State::Completed, 1)]);
    for line in &h.lines {
        let text = serde_json::to_string(line).unwrap();
        assert_eq!(serde_json::from_str::<windlass_check::format::Line>(&text).unwrap(), *line, "{text}");
    }
}

#[test]
fn a_line_torn_anywhere_counts_as_never_written() {
    let mut h = History::new();
    h.enqueue(vec![asked(1)]);
    let text = h.text();
    let whole = text.rfind('\n').unwrap();
    for cut in whole + 2..text.len() {
        let torn = judged(&text[..cut]).unwrap().figures;
        assert_eq!((torn.torn_lines, torn.unknown_calls), (1, 1), "cut at {cut}");
    }
    assert_eq!(judged(&text).unwrap().figures.torn_lines, 0);
}

#[test]
fn a_recorder_that_joins_goes_on_after_a_torn_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history");
    let first = Recorder::create(&path, &History::new().header).unwrap();
    first.call(None, Ask::Enqueue { jobs: vec![asked(1)], transaction: None }).unwrap();
    assert!(Recorder::create(&path, &History::new().header).is_err(), "a history is not written over");
    // Inside a text, where the next line's beginning would look like a line feed in it.
    let torn = b"\n{\"by\":\"p";
    std::fs::File::options().append(true).open(&path).unwrap().write_all(torn).unwrap();
    let second = Recorder::append(&path, "worker").unwrap();
    second.fault(FaultKind::StoreKilled).unwrap();

    let mut checker =
        Checker::new(BufReader::new(std::fs::File::open(&path).unwrap()), Options::default()).unwrap();
    let mut lines = Vec::new();
    checker.read_each(|line| lines.push(line.clone())).unwrap();
    let figures = checker.figures();
    let counted =
        (figures.processes, figures.calls, figures.unknown_calls, figures.faults, figures.torn_lines);
    assert_eq!(counted, (2, 1, 1, 1, 1));
    assert!(lines.windows(2).all(|two| two[0].by != two[1].by || two[0].us <= two[1].us));
    // The file grows, and the check goes on with the numbers that an editor shows.
    second.call(None, Ask::Close {}).unwrap();
    checker.read().unwrap();
    let whole = std::fs::read_to_string(&path).unwrap();
    assert_eq!(checker.finish().figures.lines, whole.lines().count() as u64);
}

#[test]
fn the_report_tells_the_lines_and_the_silence() {
    let mut h = History::new();
    h.enqueue(vec![asked(1)]);
    h.dump(&[]);
    let report = h.check(false);
    let violation = &report.violations[0];
    assert_eq!((violation.invariant, violation.lines.as_slice()), (Invariant::I1, &[3, 4][..]));
    let Says::Answer(_) = &h.lines[violation.lines[0] as usize - 2].says else {
        panic!("line 3 is the answer")
    };
    assert!(violation.to_string().ends_with("(lines 3, 4)"), "{violation}");
    assert_eq!(report.judged(Invariant::I13).checks, 0);
    assert_eq!(report.judged(Invariant::I1).violations, 1);
}

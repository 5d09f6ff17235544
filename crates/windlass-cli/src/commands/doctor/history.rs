//! `windlass verify --history`: what clients saw of a store, held against the contract's invariants.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Serialize;
use windlass_check::{Options, Report, check};
use windlass_core::Time;

use crate::fault::{Exit, Fault};
use crate::output::{Output, Record};

/// A report as it is printed.
#[derive(Debug, Serialize)]
struct Shape {
    history: String,
    #[serde(flatten)]
    report: Report,
}

/// Checks a history; a broken invariant is a failure, and so is a history in which nobody asked for anything.
pub(super) fn verify(out: &Output, file: &Path, complete: bool) -> Result<(), Fault> {
    let name = file.display().to_string();
    let from: Box<dyn BufRead> = match name.as_str() {
        "-" => Box::new(std::io::stdin().lock()),
        _ => Box::new(BufReader::new(File::open(file).map_err(|error| Fault::file(&name, &error))?)),
    };
    let report = check(from, Options { complete })
        .map_err(|error| Fault::new(Exit::Failed, "history", format!("{name}: {error}")))?;
    let clean = report.is_clean();
    // What was asked of the store is missing, so that nothing is broken would mean nothing.
    if clean && report.figures.calls == 0 {
        let told = format!("{name}: it holds no call, so there is nothing to judge");
        return Err(Fault::new(Exit::Failed, "history", told)
            .next("record what clients ask and are told: docs/history.md; `--history -` reads stdin"));
    }
    let broken = report.invariants.iter().filter(|judged| judged.violations > 0).count();
    out.record(&Shape { history: name, report })?;
    if clean {
        return Ok(());
    }
    let what = if broken == 1 { "invariant is" } else { "invariants are" };
    Err(Fault::new(Exit::Failed, "violated", format!("{broken} {what} broken")))
}

impl Record for Shape {
    fn fields(&self, _: Time, _: bool) -> Vec<(&'static str, String)> {
        let (report, figures) = (&self.report, &self.report.figures);
        let torn =
            if figures.torn_lines > 0 { format!(", {} torn", figures.torn_lines) } else { String::new() };
        let mut fields = vec![
            ("history", self.history.clone()),
            ("lines", format!("{}{torn}, by {} processes", figures.lines, figures.processes)),
            ("calls", format!("{} ({} with an unknown outcome)", figures.calls, figures.unknown_calls)),
            ("jobs", figures.jobs.to_string()),
            ("executions", format!("{} ({} second or later attempts)", figures.executions, figures.repeats)),
            ("store told", format!("{} events, {} full looks", figures.events, figures.dumps)),
            ("faults", figures.faults.to_string()),
        ];
        if figures.losses_not_covered > 0 {
            let lost = format!(
                "{} acknowledged jobs, by faults that the store does not cover",
                figures.losses_not_covered
            );
            fields.push(("lost", lost));
        }
        let named = |wanted: bool| {
            let some = report.invariants.iter().filter(|judged| (judged.checks > 0) == wanted);
            let some: Vec<String> = some.map(|judged| judged.invariant.to_string()).collect();
            if some.is_empty() { "none".to_owned() } else { some.join(" ") }
        };
        fields.push(("judged", named(true)));
        fields.push(("nothing to check", named(false)));
        for violation in &report.violations {
            fields.push(("VIOLATION", violation.to_string()));
        }
        let told = report.violations.len() as u64;
        let all: u64 = report.invariants.iter().map(|judged| judged.violations).sum();
        if all > told {
            fields.push(("more", format!("{} violations of the same invariants", all - told)));
        }
        fields
            .push(("result", if report.is_clean() { "no invariant is broken" } else { "BROKEN" }.to_owned()));
        fields
    }
}

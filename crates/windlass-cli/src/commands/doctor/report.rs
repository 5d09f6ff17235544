//! The shapes of what `verify` and `doctor` say.

use serde::Serialize;
use windlass_core::Time;
use windlass_embedded::journal::{RepairReport, VerifyReport};

use crate::output::table::{self, Column};
use crate::output::{Record, Row};

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Ok,
    Warn,
    Bad,
    Skipped,
}

/// One check with what was found and what to do about it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Check {
    check: &'static str,
    status: Status,
    found: String,
    advice: Option<String>,
}

impl Check {
    pub(super) fn new(check: &'static str, status: Status, found: impl Into<String>) -> Self {
        Self { check, status, found: found.into(), advice: None }
    }

    /// What to do, when there is something to do.
    pub(super) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = (self.status != Status::Ok).then(|| advice.into());
        self
    }

    pub(super) fn advice(&self) -> Option<String> {
        self.advice.as_ref().map(|advice| format!("{}: {advice}", self.check))
    }

    pub(super) fn status(&self) -> Status {
        self.status
    }
}

impl Row for Check {
    const COLUMNS: &'static [Column] = &[table::text("CHECK"), table::text("STATUS"), table::cut("FOUND")];

    fn cells(&self, _: Time, _: bool) -> Vec<String> {
        let status = match self.status {
            Status::Ok => "ok",
            Status::Warn => "warn",
            Status::Bad => "BAD",
            Status::Skipped => "skipped",
        };
        vec![self.check.to_owned(), status.to_owned(), self.found.clone()]
    }
}

/// What reading a whole journal found.
#[derive(Debug, Serialize)]
pub(super) struct VerifyShape {
    directory: String,
    store_id: Option<String>,
    segments: usize,
    segment_bytes: u64,
    used_bytes: u64,
    spares: usize,
    spare_bytes: u64,
    batches: u64,
    durable_lsn: u64,
    last_lsn: u64,
    torn_bytes: u64,
    problems: Vec<ProblemShape>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ProblemShape {
    file: String,
    offset: u32,
    lsn: u64,
    text: String,
}

impl From<VerifyReport> for VerifyShape {
    fn from(report: VerifyReport) -> Self {
        let segments = &report.segments;
        Self {
            segments: segments.len(),
            segment_bytes: segments.iter().map(|segment| u64::from(segment.capacity)).sum(),
            used_bytes: segments.iter().map(|segment| u64::from(segment.bytes_used)).sum(),
            batches: segments.iter().map(|segment| segment.batches).sum(),
            directory: report.place,
            store_id: report.store_id.map(|id| format!("{id:032x}")),
            spares: report.spares,
            spare_bytes: report.spare_bytes,
            durable_lsn: report.durable_lsn,
            last_lsn: report.last_lsn,
            torn_bytes: report.torn_bytes,
            problems: report
                .problems
                .into_iter()
                .map(|problem| ProblemShape {
                    file: problem.file,
                    offset: problem.offset,
                    lsn: problem.lsn,
                    text: problem.text,
                })
                .collect(),
            warnings: report.warnings,
        }
    }
}

impl VerifyShape {
    /// What a repair would drop, in words.
    pub(super) fn loss(&self) -> String {
        let first = self.problems.iter().map(|problem| problem.lsn).filter(|lsn| *lsn > 0).min();
        match first {
            Some(lsn) if lsn <= self.last_lsn => format!(
                "batches {lsn} to {} of {} go, and every job that was enqueued in them",
                self.last_lsn, self.last_lsn
            ),
            _ => "no batch that can be read is dropped".to_owned(),
        }
    }

    /// Damaged places.
    pub(super) fn problems(&self) -> usize {
        self.problems.len()
    }

    /// The same as one line of `doctor`.
    pub(super) fn check(&self) -> Check {
        let summary =
            format!("{} batches in {} segments, {} bytes", self.batches, self.segments, self.used_bytes);
        match (self.problems.first(), self.warnings.first()) {
            (Some(problem), _) => {
                let found = format!(
                    "{} damaged places, the first in {}: {}",
                    self.problems(),
                    problem.file,
                    problem.text
                );
                Check::new("content", Status::Bad, found)
            }
            (None, Some(warning)) => Check::new("content", Status::Warn, format!("{summary}; {warning}"))
                .advise("the next start heals it by itself"),
            (None, None) => Check::new("content", Status::Ok, summary),
        }
    }
}

impl Record for VerifyShape {
    fn fields(&self, _: Time, _: bool) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("directory", self.directory.clone()),
            ("store", self.store_id.clone().unwrap_or_else(|| "none".to_owned())),
            (
                "segments",
                format!("{} ({} of {} bytes used)", self.segments, self.used_bytes, self.segment_bytes),
            ),
            ("spares", format!("{} ({} bytes)", self.spares, self.spare_bytes)),
            ("batches", format!("{} (last {}, durable {})", self.batches, self.last_lsn, self.durable_lsn)),
        ];
        if self.torn_bytes > 0 {
            fields.push((
                "torn tail",
                format!("{} bytes, never acknowledged; the next start cuts them", self.torn_bytes),
            ));
        }
        let problems = self
            .problems
            .iter()
            .map(|problem| format!("{} at byte {}: {}", problem.file, problem.offset, problem.text));
        fields.extend(problems.map(|problem| ("damaged", problem)));
        fields.extend(self.warnings.iter().map(|warning| ("warning", warning.clone())));
        fields.push(("result", if self.problems.is_empty() { "sound" } else { "DAMAGED" }.to_owned()));
        fields
    }
}

/// What a repair did.
#[derive(Debug, Serialize)]
pub(super) struct RepairShape {
    directory: String,
    last_lsn: u64,
    cuts: Vec<CutShape>,
    /// Not in the JSON: the store's own word, told by the command.
    #[serde(skip)]
    pub(super) goes_on_without_missing: bool,
}

#[derive(Debug, Serialize)]
struct CutShape {
    file: String,
    segment: u32,
    offset: u32,
    bytes: u64,
    batches: u64,
    last_lsn: u64,
    salvaged_to: Option<String>,
}

impl From<RepairReport> for RepairShape {
    fn from(report: RepairReport) -> Self {
        let cuts = report.cuts.into_iter().map(|cut| CutShape {
            file: cut.file,
            segment: cut.segment,
            offset: cut.offset,
            bytes: cut.bytes,
            batches: cut.batches,
            last_lsn: cut.last_lsn,
            salvaged_to: cut.salvaged_to,
        });
        let (directory, last_lsn) = (report.place, report.last_lsn);
        Self { directory, last_lsn, cuts: cuts.collect(), goes_on_without_missing: false }
    }
}

impl Record for RepairShape {
    fn fields(&self, _: Time, _: bool) -> Vec<(&'static str, String)> {
        let mut fields = vec![("directory", self.directory.clone())];
        for cut in &self.cuts {
            let kept = cut.salvaged_to.as_ref().map_or_else(String::new, |file| format!(", kept in {file}"));
            let text = format!(
                "{} from byte {}: {} bytes with {} readable batches{kept}",
                cut.file, cut.offset, cut.bytes, cut.batches
            );
            fields.push(("dropped", text));
        }
        let result = match self.cuts.is_empty() {
            true if self.goes_on_without_missing => {
                "goes on without the segments that were missing".to_owned()
            }
            true => "sound: nothing was changed".to_owned(),
            false => format!("repaired: the last batch kept is {}", self.last_lsn),
        };
        fields.push(("result", result));
        fields
    }
}

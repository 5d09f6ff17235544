//! An import: a file of contacts that becomes a list.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use windlass::Time;

use super::{ImportId, ListId, words};
use crate::{
    import::{Format, Mapping},
    optout::Country,
};

/// Where an import stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportStatus {
    /// Its file is on its way in.
    Uploading,
    /// Its file is here, and nobody has said yet what the columns mean.
    Waiting,
    /// Its rows are read.
    Running,
    /// All of them were read.
    Done,
    /// The file cannot be read on; what was read stands.
    Failed,
    /// The process that read it is gone; what was read stands, and the next process that looks goes on.
    Interrupted,
    /// Somebody ended it; what was read stands.
    Cancelled,
}

words!(ImportStatus);

impl ImportStatus {
    /// Whether nothing more becomes of it.
    pub fn is_over(self) -> bool {
        matches!(self, ImportStatus::Done | ImportStatus::Failed | ImportStatus::Cancelled)
    }
}

/// What a row does to a contact who is known already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// What the row says replaces what is known.
    #[default]
    Update,
    /// What the row says is taken where nothing is known.
    Fill,
    /// Nothing: the contact stays as they are, and is put on the list. A refusal of consent counts all the same.
    Keep,
}

words!(Known);

impl Known {
    /// All of them, the usual one first.
    pub const ALL: [Known; 3] = [Known::Update, Known::Fill, Known::Keep];
}

/// How a file is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportPlan {
    /// How it is written.
    pub format: Format,
    /// What its columns mean.
    pub mapping: Mapping,
    /// Where numbers without a country code are from, and whose states the states are.
    #[serde(default = "usual_home")]
    pub home: Option<Country>,
    /// On which basis the contacts have agreed, where a column says that they have: `express_written`, `express`, ….
    #[serde(default = "usual_basis")]
    pub basis: String,
    /// What becomes of contacts who are known already.
    #[serde(default)]
    pub known: Known,
}

fn usual_home() -> Option<Country> {
    Some(Country::US)
}

fn usual_basis() -> String {
    "express".to_owned()
}

impl ImportPlan {
    /// A file like that, from the United States, of contacts who have agreed by their own word.
    pub fn new(format: Format, mapping: Mapping) -> Self {
        Self { format, mapping, home: usual_home(), basis: usual_basis(), known: Known::default() }
    }
}

/// An import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// Its number.
    pub id: ImportId,
    /// The file's name.
    pub name: String,
    /// The list that the contacts are put on, once it is chosen.
    pub list: Option<ListId>,
    /// How the file is read, once somebody has said so.
    pub plan: Option<ImportPlan>,
    /// Who imports it.
    pub who: String,
    /// Where it stands.
    pub status: ImportStatus,
    /// Why it failed.
    pub why: String,
    /// How often it was started: each process that goes on with it is a run.
    pub run: i64,
    /// The file's size, or how much of it is here.
    pub bytes: u64,
    /// What became of its rows so far.
    pub progress: Progress,
    /// When the file began to come in.
    pub created_at: Time,
    /// When it ended.
    pub ended_at: Option<Time>,
}

/// The code of rows whose contact was erased; the file of refused rows does not have them.
pub const ERASED: &str = "erased";
/// The code of rows whose number another contact has: theirs is kept without it.
pub const NUMBER_KEPT: &str = "number_kept";
/// The code of rows whose number was erased with a contact who had another mailbox: theirs is kept without it.
pub const NUMBER_ERASED: &str = "number_erased";

/// What became of the rows of a file; rows are the sum of the next four.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Bytes of the file that were read.
    pub bytes_done: u64,
    /// Rows that were read.
    pub rows: u64,
    /// Rows that became new contacts.
    pub added: u64,
    /// Rows of contacts who were known.
    pub updated: u64,
    /// Rows whose address stands in an earlier row.
    pub duplicates: u64,
    /// Rows with another fault.
    pub refused: u64,
    /// How often each fault was found, and for which reason how many contacts were kept without their number.
    pub by_code: BTreeMap<String, u64>,
    /// Whether there were more rows that failed than the file of errors holds.
    pub errors_cut: bool,
}

impl Progress {
    /// Why rows are no contacts, and how many for each reason.
    pub fn faults(&self) -> impl Iterator<Item = (&str, u64)> {
        self.codes(false)
    }

    /// Why contacts were kept without their number, and how many for each reason.
    pub fn without_number(&self) -> impl Iterator<Item = (&str, u64)> {
        self.codes(true)
    }

    /// Rows that the file of refused rows has, or would have if it were long enough.
    pub fn in_file(&self) -> u64 {
        let erased = self.by_code.get(ERASED).copied().unwrap_or(0);
        (self.duplicates + self.refused).saturating_sub(erased)
    }

    fn codes(&self, are_kept: bool) -> impl Iterator<Item = (&str, u64)> {
        let all = self.by_code.iter().map(|(code, rows)| (code.as_str(), *rows));
        all.filter(move |(code, _)| [NUMBER_KEPT, NUMBER_ERASED].contains(code) == are_kept)
    }
}

impl Import {
    /// How much of the file is read, from 0 to 100; 100 only when it is done.
    pub fn percent(&self) -> u8 {
        if self.status == ImportStatus::Done {
            return 100;
        }
        let percent = self.progress.bytes_done.saturating_mul(100) / self.bytes.max(1);
        u8::try_from(percent.min(99)).unwrap_or(99)
    }
}

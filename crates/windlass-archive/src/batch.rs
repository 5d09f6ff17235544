//! What one transaction of the archive writes: rows, gaps, and the place up to which they were read.

use windlass_core::Time;
use windlass_core::event::Cursor;

use crate::fold::Rows;

/// Why a stretch of the event log is missing from the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapReason {
    /// The store had reached the bound of its log and threw away what had not been read.
    Trimmed,
    /// The store does not know the place: it was restored from an older copy, or lost what it had acknowledged.
    Rewound,
    /// The archive was given another store, or one that had forgotten it.
    Adopted,
}

impl GapReason {
    /// The reason's word, as the table has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            GapReason::Trimmed => "trimmed",
            GapReason::Rewound => "rewound",
            GapReason::Adopted => "adopted",
        }
    }
}

/// A stretch of the event log that was gone before it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The last place that was archived before it.
    pub after: Cursor,
    /// The first place that was read after it.
    pub resumed: Cursor,
    /// When the last event before it happened, if there was one.
    pub last_at: Option<Time>,
    /// When the first event after it happened, if there is one yet.
    pub next_at: Option<Time>,
    /// When the archiver found it.
    pub found_at: Time,
    /// Why.
    pub reason: GapReason,
}

/// One step of the archive: all of it is written, or nothing.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The place that the archive must stand at.
    pub(crate) from: Option<Cursor>,
    /// The place where it stands afterwards.
    pub(crate) to: Option<Cursor>,
    pub(crate) rows: Rows,
    pub(crate) gaps: Vec<Gap>,
    /// When the newest event of it happened.
    pub(crate) last_event_at: Option<Time>,
    /// Reading began anew, so that jobs of it may be in the tables already.
    pub(crate) again: bool,
}

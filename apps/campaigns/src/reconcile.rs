//! The account of a day: what the providers saw against what was promised.
//!
//! The evidence is the providers' own logs, and a touch is recognised in them by what its recipient saw: channel,
//! campaign and address. Every touch is then delivered, refused by its provider (a dead letter, with its error in
//! the queue), or lost. What was delivered more than once is a repeat, and every repeat must have a cause that
//! the queue recorded for that very job; one without is unexplained, which is a fault of the queue.
//!
//! Nothing here reads a queue: the recorded causes come through [`Record`]. Memory is bounded by the number of
//! touches (about 100 bytes each), whatever the logs contain beside them.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    fmt,
    fs::File,
    hash::{BuildHasher, RandomState},
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use serde::Serialize;
use thiserror::Error;

use crate::{
    channel::{Channel, REPLY_LOST},
    delivery::Delivery,
    plan::{CampaignId, Touch},
};

/// The longest line of a log; the servers write a few values of at most 1,000 bytes each, escaped.
const MAX_LINE_BYTES: u64 = 64 * 1024;
/// How many touches of each kind of trouble a report names.
const MAX_EXAMPLES: usize = 20;

/// Why an attempt may have delivered what another attempt delivered too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The lease ended without a word: the worker was killed or lost touch.
    LeaseLost,
    /// The provider may have taken the message, and its reply did not arrive.
    ReplyLost,
    /// The attempt was given back while it ran, at a shutdown.
    Released,
    /// A person asked for another run.
    Operator,
}

impl Cause {
    /// The cause that a failed attempt's error text stands for; none when nothing can have been delivered.
    pub fn of_failure(error: &str) -> Option<Self> {
        error.contains(REPLY_LOST).then_some(Cause::ReplyLost)
    }
}

/// What the queue recorded, looked up only for touches whose account does not close by itself.
pub trait Record {
    /// One cause for each ended attempt of the job after which another attempt may repeat its delivery.
    fn causes(&self, job: &str) -> Vec<Cause>;

    /// Why the provider refused this touch for good, when the queue holds it as a dead letter.
    fn refusal(&self, touch: &Touch) -> Option<String>;
}

/// A log could not be read.
#[derive(Debug, Error)]
#[error("delivery log {path}: {error}")]
pub struct LogError {
    path: String,
    error: io::Error,
}

/// The account of a day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Touches that were promised.
    pub touches: u64,
    /// Touches that arrived at least once.
    pub delivered: u64,
    /// Touches that did not arrive because the provider refused them; they are dead letters.
    pub refused: u64,
    /// Touches that did not arrive, and nothing says why.
    pub lost: u64,
    /// Messages and calls that the providers took for promised touches.
    pub deliveries: u64,
    /// Deliveries beyond the first of their touch.
    pub repeats: u64,
    /// Repeats without a recorded cause.
    pub unexplained_repeats: u64,
    /// Repeats by channel.
    pub repeats_by_channel: BTreeMap<Channel, u64>,
    /// Explained repeats by the cause that the queue recorded.
    pub repeats_by_cause: BTreeMap<Cause, u64>,
    /// Deliveries that nobody promised.
    pub strays: u64,
    /// Deliveries whose reply the provider itself dropped.
    pub replies_dropped: u64,
    /// Lines of the logs that are no deliveries.
    pub unreadable_lines: u64,
    /// The first few lost touches.
    pub lost_examples: Vec<String>,
    /// The first few unexplained repeats.
    pub unexplained_examples: Vec<String>,
}

impl Report {
    /// Whether every touch is accounted for and every repeat has its cause.
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.unexplained_repeats == 0 && self.strays == 0 && self.unreadable_lines == 0
    }
}

/// Reads the providers' logs, then closes the account touch by touch.
#[derive(Default)]
pub struct Reconciliation {
    keys: [RandomState; 2],
    seen: HashMap<u128, Seen>,
    replies_dropped: u64,
    unreadable_lines: u64,
}

/// What the logs say of one touch.
struct Seen {
    /// Deliveries by job; nearly always one job with one delivery.
    jobs: Vec<(Box<str>, u32)>,
}

impl Reconciliation {
    /// An account without evidence.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in one provider's log.
    ///
    /// # Errors
    /// When the file cannot be read; a line that is no delivery is counted instead.
    pub fn read_log(&mut self, path: &Path) -> Result<(), LogError> {
        let failed = |error| LogError { path: path.display().to_string(), error };
        let mut file = BufReader::with_capacity(256 * 1024, File::open(path).map_err(failed)?);
        let mut line = Vec::new();
        loop {
            line.clear();
            if (&mut file).take(MAX_LINE_BYTES).read_until(b'\n', &mut line).map_err(failed)? == 0 {
                return Ok(());
            }
            match serde_json::from_slice::<Delivery<'_>>(&line) {
                Ok(delivery) => self.take(&delivery),
                Err(_) => self.unreadable_lines += 1,
            }
        }
    }

    fn take(&mut self, delivery: &Delivery<'_>) {
        self.replies_dropped += u64::from(delivery.reply_dropped);
        let campaign = delivery.campaign.as_deref().unwrap_or_default();
        let key = self.key(delivery.channel, campaign, &delivery.to);
        let job = delivery.job.as_deref().unwrap_or_default();
        let jobs = &mut self.seen.entry(key).or_insert(Seen { jobs: Vec::with_capacity(1) }).jobs;
        match jobs.iter_mut().find(|(known, _)| &**known == job) {
            Some((_, deliveries)) => *deliveries += 1,
            None => jobs.push((job.into(), 1)),
        }
    }

    /// Compares the evidence with the promised touches, each named once.
    pub fn close(mut self, touches: impl Iterator<Item = Touch>, record: &impl Record) -> Report {
        let mut report = Report {
            replies_dropped: self.replies_dropped,
            unreadable_lines: self.unreadable_lines,
            ..Report::default()
        };
        for touch in touches {
            report.touches += 1;
            let key = self.key(touch.channel, &touch.campaign.to_string(), &touch.to);
            match self.seen.entry(key) {
                Entry::Occupied(seen) => report.delivered(&touch, &seen.remove().jobs, record),
                Entry::Vacant(_) => report.missing(&touch, record),
            }
        }
        // What is left belongs to no touch, or to one that was promised twice.
        let left = self.seen.values().flat_map(|seen| &seen.jobs);
        report.strays = left.map(|(_, deliveries)| u64::from(*deliveries)).sum();
        report
    }

    fn key(&self, channel: Channel, campaign: &str, to: &str) -> u128 {
        // Mail servers and people change the case of addresses; phone numbers have none.
        let folded = to.to_ascii_lowercase();
        let [high, low] =
            [&self.keys[0], &self.keys[1]].map(|key| key.hash_one((channel, campaign, &folded)));
        (u128::from(high) << 64) | u128::from(low)
    }
}

impl Report {
    fn delivered(&mut self, touch: &Touch, jobs: &[(Box<str>, u32)], record: &impl Record) {
        self.delivered += 1;
        let deliveries: u64 = jobs.iter().map(|(_, deliveries)| u64::from(*deliveries)).sum();
        self.deliveries += deliveries;
        let repeats = deliveries - 1;
        if repeats == 0 {
            return;
        }
        self.repeats += repeats;
        *self.repeats_by_channel.entry(touch.channel).or_default() += repeats;
        // A second job for the same touch has no cause at all: the queue promises one job for one key.
        let mut explained = 0;
        for (job, deliveries) in jobs {
            let extra = *deliveries as usize - 1;
            if extra == 0 {
                continue;
            }
            for cause in record.causes(job).into_iter().take(extra) {
                explained += 1;
                *self.repeats_by_cause.entry(cause).or_default() += 1;
            }
        }
        let unexplained = repeats - explained;
        if unexplained > 0 {
            self.unexplained_repeats += unexplained;
            let named: Vec<String> = jobs.iter().map(|(job, count)| format!("{job} x{count}")).collect();
            example(&mut self.unexplained_examples, format_args!("{} by {}", shown(touch), named.join(", ")));
        }
    }

    fn missing(&mut self, touch: &Touch, record: &impl Record) {
        if record.refusal(touch).is_some() {
            self.refused += 1;
        } else {
            self.lost += 1;
            example(&mut self.lost_examples, format_args!("{}", shown(touch)));
        }
    }
}

fn shown(touch: &Touch) -> String {
    let Touch { channel, campaign: CampaignId(campaign), to, .. } = touch;
    format!("{channel} of campaign {campaign} to {to}")
}

fn example(examples: &mut Vec<String>, text: fmt::Arguments<'_>) {
    if examples.len() < MAX_EXAMPLES {
        examples.push(text.to_string());
    }
}

//! How far a day is, read from the providers' own logs while they are written.
//!
//! A campaign is as far as its recipients have heard of it; nothing of this comes from the queue, so a queue that
//! miscounts, or a worker that is dead, cannot colour it. Each refresh reads what was added since the last one.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    hash::{BuildHasher, RandomState},
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
};

use crate::{delivery::Delivery, plan::CampaignId};

/// The most that one refresh reads of one log: what is left over is read by the next one.
const MAX_READ_BYTES: u64 = 8 * 1024 * 1024;

/// What has arrived so far, by campaign.
#[derive(Debug)]
pub struct DayProgress {
    logs: Vec<Tail>,
    keys: RandomState,
    seen: HashSet<u64>,
    campaigns: HashMap<CampaignId, CampaignProgress>,
    deliveries: u64,
}

/// What has arrived of one campaign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CampaignProgress {
    /// Recipients that have been reached.
    pub reached: u32,
    /// When the last of them was reached for the first time, in milliseconds since 1970.
    pub last_at_ms: u64,
}

#[derive(Debug)]
struct Tail {
    path: PathBuf,
    read_bytes: u64,
    /// The start of a line whose end is not written yet.
    rest: Vec<u8>,
}

impl DayProgress {
    /// Progress by these logs; one that does not exist yet is empty.
    pub fn new(logs: impl IntoIterator<Item = PathBuf>) -> Self {
        let logs = logs.into_iter().map(|path| Tail { path, read_bytes: 0, rest: Vec::new() });
        Self {
            logs: logs.collect(),
            keys: RandomState::new(),
            seen: HashSet::new(),
            campaigns: HashMap::new(),
            deliveries: 0,
        }
    }

    /// Takes in what was written since the last time; true when there may be more.
    ///
    /// # Errors
    /// When a log cannot be read.
    pub fn refresh(&mut self) -> io::Result<bool> {
        let mut more = false;
        for at in 0..self.logs.len() {
            let added = self.logs[at].read_on()?;
            more |= added.len() as u64 == MAX_READ_BYTES;
            let tail = &mut self.logs[at];
            tail.rest.extend_from_slice(&added);
            let whole = tail.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let lines: Vec<u8> = tail.rest.drain(..whole).collect();
            for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                // What is no delivery is the account's business, not the progress's.
                if let Ok(delivery) = serde_json::from_slice::<Delivery<'_>>(line) {
                    self.take(&delivery);
                }
            }
        }
        Ok(more)
    }

    fn take(&mut self, delivery: &Delivery<'_>) {
        self.deliveries += 1;
        let campaign = delivery.campaign.as_deref().unwrap_or_default();
        let Ok(number) = campaign.parse::<u32>() else { return };
        if self.seen.insert(self.keys.hash_one((delivery.channel, number, &*delivery.to))) {
            let campaign = self.campaigns.entry(CampaignId(number)).or_default();
            campaign.reached += 1;
            campaign.last_at_ms = campaign.last_at_ms.max(delivery.at_ms);
        }
    }

    /// Recipients that have been reached.
    pub fn reached(&self) -> u64 {
        self.seen.len() as u64
    }

    /// Deliveries, repeats included.
    pub fn deliveries(&self) -> u64 {
        self.deliveries
    }

    /// What has arrived of that campaign.
    pub fn campaign(&self, campaign: CampaignId) -> CampaignProgress {
        self.campaigns.get(&campaign).copied().unwrap_or_default()
    }
}

impl Tail {
    fn read_on(&mut self) -> io::Result<Vec<u8>> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(self.read_bytes))?;
        let mut added = Vec::new();
        file.take(MAX_READ_BYTES).read_to_end(&mut added)?;
        self.read_bytes += added.len() as u64;
        Ok(added)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(campaign: &str, to: &str, at_ms: u64) -> String {
        let line = serde_json::json!({
            "at_ms": at_ms, "channel": "sms", "provider_id": "SM1", "from": "+15550000000", "to": to,
            "campaign": campaign, "bytes": 1,
        });
        format!("{line}\n")
    }

    #[test]
    fn a_recipient_counts_once_and_half_a_line_waits_for_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("phone.jsonl");
        let mut progress = DayProgress::new([path.clone(), dir.path().join("never-written.jsonl")]);
        assert!(!progress.refresh().unwrap());
        assert_eq!(progress.reached(), 0);

        let [first, second] = [line("7", "+15550000001", 10), line("7", "+15550000002", 20)];
        let (begun, end) = second.split_at(30);
        std::fs::write(&path, format!("{first}no delivery\n{first}{begun}")).unwrap();
        progress.refresh().unwrap();
        assert_eq!((progress.reached(), progress.deliveries()), (1, 2));

        std::fs::write(&path, format!("{first}no delivery\n{first}{begun}{end}")).unwrap();
        progress.refresh().unwrap();
        progress.refresh().unwrap();
        assert_eq!((progress.reached(), progress.deliveries()), (2, 3));
        let campaign = progress.campaign(CampaignId(7));
        assert_eq!(campaign, CampaignProgress { reached: 2, last_at_ms: 20 });
        assert_eq!(progress.campaign(CampaignId(8)), CampaignProgress::default());
    }
}

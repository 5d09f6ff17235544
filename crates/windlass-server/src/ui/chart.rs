//! Charts as paths of SVG, made of whole numbers and nothing else.

use std::fmt::Write as _;

use windlass_core::Time;
use windlass_core::store::Series;

use super::words;

/// How high a chart is in its own units; a browser stretches it to the room there is.
const HIGH: u64 = 100;
/// Units that stay free above the highest slot.
const ROOM: u64 = 4;

/// What a chart shows: so many slots of that width, each the sum of some of the store's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// Its word in the address.
    pub(crate) word: &'static str,
    /// Its name on the tab.
    pub(crate) label: &'static str,
    /// The slot as a unit of a rate.
    pub(crate) per: &'static str,
    /// The width of the store's slots.
    slot_ms: u64,
    /// Slots of the chart.
    slots: usize,
    /// Store's slots in one of the chart's.
    fold: usize,
}

/// The last hour by minute, which tables show.
pub(crate) const HOUR: Range =
    Range { word: "1h", label: "1 hour", per: "minute", slot_ms: 60_000, slots: 60, fold: 1 };

/// The ranges there are; the first one is shown unless another is asked for.
pub(crate) const RANGES: [Range; 4] = [
    Range { word: "5m", label: "5 minutes", per: "second", slot_ms: 1_000, slots: 300, fold: 1 },
    HOUR,
    Range { word: "24h", label: "24 hours", per: "10 minutes", slot_ms: 60_000, slots: 144, fold: 10 },
    Range { word: "7d", label: "7 days", per: "hour", slot_ms: 3_600_000, slots: 168, fold: 1 },
];

impl Range {
    /// The range of that word.
    pub(crate) fn of(word: Option<&str>) -> Self {
        RANGES.into_iter().find(|range| Some(range.word) == word).unwrap_or(RANGES[0])
    }

    /// The counts of a chart, oldest first; the last slot is not over yet.
    fn counts(&self, series: &[Series], now: Time) -> Vec<u64> {
        let mut counts = vec![0; self.slots];
        let Some(series) = series.iter().find(|series| series.slot_ms == self.slot_ms) else { return counts };
        let newest = now.0 / self.slot_ms;
        for (at, n) in &series.points {
            let back = newest.saturating_sub(at.0 / self.slot_ms) as usize / self.fold;
            if let Some(place) = self.slots.checked_sub(back + 1) {
                counts[place] += n;
            }
        }
        counts
    }

    /// The counts of several series together.
    pub(crate) fn sum<'a>(&self, all: impl IntoIterator<Item = &'a [Series]>, now: Time) -> Vec<u64> {
        let mut sum = vec![0; self.slots];
        for series in all {
            for (slot, n) in sum.iter_mut().zip(self.counts(series, now)) {
                *slot += n;
            }
        }
        sum
    }

    /// When each slot of a chart begins, oldest first.
    pub(crate) fn starts(&self, now: Time) -> Vec<Time> {
        let newest = now.0 / self.slot_ms;
        let back = |place: usize| ((self.slots - 1 - place) * self.fold + self.fold - 1) as u64;
        (0..self.slots).map(|place| Time(newest.saturating_sub(back(place)) * self.slot_ms)).collect()
    }

    /// The chart of one series.
    pub(crate) fn chart(&self, series: &[Series], now: Time) -> Chart {
        self.draw(&self.counts(series, now))
    }

    /// The chart of those counts.
    pub(crate) fn draw(&self, counts: &[u64]) -> Chart {
        let (total, peak) = (counts.iter().sum(), counts.iter().copied().max().unwrap_or(0));
        let over = counts.len().saturating_sub(1);
        Chart {
            width: counts.len(),
            past: path(&counts[..over], 0, peak),
            present: path(&counts[over..], over, peak),
            total: words::count(total),
            peak: words::count(peak),
            label: format!(
                "{} in the last {}, at most {} in {} {}",
                words::count(total),
                self.label,
                words::count(peak),
                if self.per.starts_with(|c: char| c.is_ascii_digit()) { "any" } else { "a" },
                self.per
            ),
            is_empty: total == 0,
        }
    }
}

/// A chart, ready to be drawn.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    /// Its width in slots.
    pub(crate) width: usize,
    /// The slots that are over.
    pub(crate) past: String,
    /// The slot that is not over yet.
    pub(crate) present: String,
    /// The sum of all.
    pub(crate) total: String,
    /// The highest slot.
    pub(crate) peak: String,
    /// The same in words.
    pub(crate) label: String,
    /// Whether there is nothing to draw.
    pub(crate) is_empty: bool,
}

/// The outline of the slots from that place on: steps from the ground to the ground.
fn path(counts: &[u64], from: usize, peak: u64) -> String {
    if counts.iter().all(|n| *n == 0) {
        return String::new();
    }
    let mut told = format!("M{from} {HIGH}");
    for (place, n) in counts.iter().enumerate() {
        // What is more than nothing is seen.
        let high = if *n == 0 { 0 } else { (n * (HIGH - ROOM) / peak.max(1)).max(2) };
        let _ = write!(told, "V{}H{}", HIGH - high, from + place + 1);
    }
    let _ = write!(told, "V{HIGH}Z");
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_each_count_in_its_slot_and_the_present_apart() {
        let now = Time(10_000 * 60_000 + 5);
        let at = |back: u64| Time((10_000 - back) * 60_000);
        let series =
            [Series { slot_ms: 60_000, points: vec![(at(70), 9), (at(59), 1), (at(1), 4), (at(0), 2)] }];
        let counts = HOUR.counts(&series, now);
        assert_eq!((counts.len(), counts[0], counts[58], counts[59]), (60, 1, 4, 2));
        let chart = HOUR.chart(&series, now);
        assert_eq!((chart.total.as_str(), chart.peak.as_str()), ("7", "4"));
        assert!(
            chart.past.starts_with("M0 100V76H1V100H2") && chart.past.ends_with("V100Z"),
            "{}",
            chart.past
        );
        assert_eq!(chart.present, "M59 100V52H60V100Z");
        assert_eq!(chart.label, "7 in the last 1 hour, at most 4 in a minute");
        let folded = Range::of(Some("24h")).counts(&series, now);
        assert_eq!((folded[143], folded[138], folded[136]), (6, 1, 9));
        let starts = Range::of(Some("24h")).starts(now);
        assert_eq!((starts[143], starts[142]), (at(9), at(19)));
        assert!(starts[138] <= at(59) && at(59) < starts[139], "a slot begins before what it counts");
        assert_eq!(HOUR.sum([&series[..], &series[..]], now)[58], 8);
    }

    #[test]
    fn a_chart_is_made_of_numbers_only() {
        let chart = RANGES[0].chart(&[], Time(0));
        assert!(chart.is_empty && chart.past.is_empty());
        let series = [Series { slot_ms: 1_000, points: vec![(Time(0), u64::from(u32::MAX))] }];
        let chart = RANGES[0].chart(&series, Time(500));
        assert!(
            chart.present.chars().all(|c| c.is_ascii_digit() || " MVHZ".contains(c)),
            "{}",
            chart.present
        );
    }
}

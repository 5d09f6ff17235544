//! Hours of the week: for each weekday the stretches of clock readings in which something is open.
//!
//! Written as `"09:00-20:00"`: from is inside, to is not. `"20:00-24:00"` ends with the day, `"22:00-06:00"`
//! goes on into the next one and belongs to the day on which it begins. Stretches may touch and overlap. What
//! is written is kept for showing; what is asked is a list per day, in order, with the hours that came over
//! midnight in it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{DAY_MS, MINUTE_MS};

/// Minutes in a day.
const DAY_MIN: u16 = 24 * 60;
/// The days as they are written, Monday first as in ISO 8601.
pub(crate) const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// When something is open in a week, by the clock of a zone that is not known here.
///
/// In JSON and TOML a map of days to stretches; days left out are closed, and `mon-fri` means each of them:
/// `{"mon-fri": ["09:00-12:00", "13:00-20:00"], "sat": ["10:00-16:00"]}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, Vec<String>>", into = "BTreeMap<String, Vec<String>>")]
pub struct Week {
    written: [Vec<(u16, u16)>; 7],
    /// For each day the milliseconds from midnight that are open: in order, apart from each other, within the
    /// day.
    open: [Vec<(i64, i64)>; 7],
}

/// Hours that cannot be read; the text says where and what to write.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WeekError {
    /// A key is not a day or a range of days.
    #[error("{0:?} is not a day: write one of mon, tue, wed, thu, fri, sat, sun, or a range such as mon-fri")]
    Day(String),
    /// A stretch is not two times of day.
    #[error("{text:?} on {day} is not a stretch of time: write it as \"09:00-20:00\", up to 24:00")]
    Stretch {
        /// The day's key.
        day: String,
        /// What was written.
        text: String,
    },
    /// A stretch begins and ends at the same time.
    #[error(
        "{text:?} on {day} is empty: for the whole day write \"00:00-24:00\", for none leave the day out"
    )]
    Empty {
        /// The day's key.
        day: String,
        /// What was written.
        text: String,
    },
}

impl Week {
    /// The same hours on every day.
    ///
    /// # Errors
    ///
    /// [`WeekError`] when `hours` is not written as `09:00-20:00`.
    pub fn daily(hours: &str) -> Result<Week, WeekError> {
        Week::of(&[("mon-sun", hours)])
    }

    /// Hours by day or range of days, one stretch each; a day may be named more than once.
    ///
    /// # Errors
    ///
    /// [`WeekError`] for the first day or stretch that cannot be read.
    pub fn of(days: &[(&str, &str)]) -> Result<Week, WeekError> {
        let mut week = Week::default();
        for (days, hours) in days {
            week.add(days, hours)?;
        }
        week.settle();
        Ok(week)
    }

    /// Whether no instant of the week is open.
    pub fn is_never(&self) -> bool {
        self.open.iter().all(Vec::is_empty)
    }

    /// Whether something is open on this weekday, Monday being 0.
    pub(crate) fn opens_on(&self, weekday: usize) -> bool {
        !self.open[weekday % 7].is_empty()
    }

    /// The minutes from midnight that are open on a weekday (Monday is 0), in order, for a picture of the
    /// week.
    pub fn minutes(&self, weekday: usize) -> impl Iterator<Item = (u16, u16)> + '_ {
        let minutes = |ms: i64| u16::try_from(ms / MINUTE_MS).unwrap_or(DAY_MIN);
        self.open[weekday % 7].iter().map(move |(from, to)| (minutes(*from), minutes(*to)))
    }

    /// Whether the week is open at a time of day, and the next time of that day at which it may be otherwise.
    pub(crate) fn piece(&self, weekday: usize, ms_of_day: i64) -> (bool, i64) {
        for (from, to) in &self.open[weekday % 7] {
            if ms_of_day < *from {
                return (false, *from);
            }
            if ms_of_day < *to {
                return (true, *to);
            }
        }
        (false, DAY_MS)
    }

    fn add(&mut self, days: &str, hours: &str) -> Result<(), WeekError> {
        let (from, to) = stretch(days, hours)?;
        for day in days_of(days)? {
            self.written[day].push((from, to));
        }
        Ok(())
    }

    /// Works out what is open from what is written.
    fn settle(&mut self) {
        let mut open: [Vec<(i64, i64)>; 7] = Default::default();
        for (day, stretches) in self.written.iter().enumerate() {
            for (from, to) in stretches {
                let (from, to) = (i64::from(*from) * MINUTE_MS, i64::from(*to) * MINUTE_MS);
                if from < to {
                    open[day].push((from, to));
                } else {
                    open[day].push((from, DAY_MS));
                    if to > 0 {
                        open[(day + 1) % 7].push((0, to));
                    }
                }
            }
        }
        for day in &mut open {
            day.sort_unstable();
            day.dedup_by(|next, last| {
                let touches = next.0 <= last.1;
                if touches {
                    last.1 = last.1.max(next.1);
                }
                touches
            });
        }
        self.open = open;
    }
}

/// The weekdays that a key such as `tue`, `mon-fri` or `sat-mon` names.
fn days_of(key: &str) -> Result<Vec<usize>, WeekError> {
    let wrong = || WeekError::Day(key.to_owned());
    let lower = key.to_ascii_lowercase();
    let index = |name: &str| DAYS.iter().position(|day| *day == name.trim()).ok_or_else(wrong);
    match lower.split_once('-') {
        None => Ok(vec![index(&lower)?]),
        Some((first, last)) => {
            let (first, last) = (index(first)?, index(last)?);
            Ok((0..=(last + 7 - first) % 7).map(|step| (first + step) % 7).collect())
        }
    }
}

fn stretch(day: &str, text: &str) -> Result<(u16, u16), WeekError> {
    let (day, written) = (day.to_owned(), text.to_owned());
    let times = text.split_once('-').and_then(|(from, to)| Some((minute(from)?, minute(to)?)));
    match times {
        Some((from, to)) if from < DAY_MIN && from != to => Ok((from, to)),
        Some((from, to)) if from == to => Err(WeekError::Empty { day, text: written }),
        _ => Err(WeekError::Stretch { day, text: written }),
    }
}

/// Minutes from midnight of `09:30`; 24:00 is the end of the day.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let digits = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    let (hour, minute) = (digits(hour).then_some(hour)?, digits(minute).then_some(minute)?);
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let total = hour * 60 + minute;
    (minute < 60 && total <= DAY_MIN).then_some(total)
}

impl TryFrom<BTreeMap<String, Vec<String>>> for Week {
    type Error = WeekError;

    fn try_from(days: BTreeMap<String, Vec<String>>) -> Result<Week, WeekError> {
        let mut week = Week::default();
        for (key, stretches) in &days {
            // A day with an empty list is a closed day, and its name is still checked.
            days_of(key)?;
            for text in stretches {
                week.add(key, text)?;
            }
        }
        week.settle();
        Ok(week)
    }
}

impl From<Week> for BTreeMap<String, Vec<String>> {
    fn from(week: Week) -> Self {
        let text = |(from, to): &(u16, u16)| {
            format!("{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
        };
        let days = DAYS.iter().zip(&week.written).filter(|(_, stretches)| !stretches.is_empty());
        days.map(|(day, stretches)| ((*day).to_owned(), stretches.iter().map(text).collect())).collect()
    }
}

impl fmt::Display for Week {
    /// Days and their stretches on one line, as `mon 09:00-20:00, tue 09:00-20:00`; `never` for an empty
    /// week.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days: BTreeMap<String, Vec<String>> = self.clone().into();
        if days.is_empty() {
            return f.write_str("never");
        }
        let line =
            DAYS.iter().filter_map(|day| days.get(*day).map(|hours| format!("{day} {}", hours.join(" "))));
        f.write_str(&line.collect::<Vec<_>>().join(", "))
    }
}

//! The arithmetic under everything else: when a set of hours is open by the clock of a zone.
//!
//! A [`Layer`] is one condition: these hours, these holidays, on this clock. Its [`Piece`] at an instant says
//! whether it is open and up to which instant that is certain to stay so: the end of the stretch, of the day,
//! or of the time for which the zone keeps its offset, whatever comes first. Within such a piece local time
//! and UTC run alike, so both changes of the clock, nights of 23 and 25 hours and days that a zone leaves out
//! need no case of their own. A set of layers is open where all are.

use jiff::civil::Date;

use super::DAY_MS;
use super::holidays::Holidays;
use super::week::Week;
use super::zone::{Zone, civil};

/// One condition on the time of a send.
#[derive(Clone, Copy)]
pub(crate) struct Layer<'a> {
    pub(crate) zone: &'a Zone,
    pub(crate) hours: &'a Week,
    pub(crate) closed_on: &'a Holidays,
    /// The first date on which the condition holds, and the last; outside of them it is open.
    pub(crate) valid: Option<(Date, Option<Date>)>,
}

/// A stretch of time that is open or closed throughout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) open: bool,
    /// The instant that ends it, itself outside; what follows may be open or closed.
    pub(crate) until: i64,
    /// The holiday that closes it.
    pub(crate) holiday: Option<&'static str>,
}

impl Layer<'_> {
    /// The piece that an instant lies in.
    pub(crate) fn piece(&self, at: i64) -> Piece {
        let stretch = self.zone.stretch(at);
        let local = at + stretch.offset;
        let (day, ms_of_day) = (local.div_euclid(DAY_MS), local.rem_euclid(DAY_MS));
        let (open, until, holiday) = self.of_day(day, ms_of_day);
        let until = (day * DAY_MS + until).saturating_sub(stretch.offset).min(stretch.until);
        Piece { open, until, holiday }
    }

    /// Whether a clock that shows this day and time is inside, and up to which time of the day that stays so.
    fn of_day(&self, day: i64, ms_of_day: i64) -> (bool, i64, Option<&'static str>) {
        if self.valid.is_some() || !self.closed_on.is_empty() {
            let date = civil(day * DAY_MS).date();
            let (from, until) = self.valid.unwrap_or((Date::MIN, None));
            if date < from || until.is_some_and(|until| date > until) {
                return (true, DAY_MS, None);
            }
            if let Some(holiday) = self.closed_on.holiday(date) {
                return (false, DAY_MS, Some(holiday));
            }
        }
        let (open, until) = self.hours.piece(weekday(day), ms_of_day);
        (open, until, None)
    }

    /// The first instant from `at` up to `bound` that is open or closed, as asked.
    fn first(&self, open: bool, at: i64, bound: i64) -> Option<i64> {
        let mut at = at;
        while at <= bound {
            let piece = self.piece(at);
            if piece.open == open {
                return Some(at);
            }
            // A piece has an end behind it; if one ever had not, this still comes to the bound.
            at = piece.until.max(at + 1);
        }
        None
    }
}

/// The weekday of a day counted from 1 January 1970, which was a Thursday; Monday is 0.
pub(crate) fn weekday(day: i64) -> usize {
    usize::try_from((day + 3).rem_euclid(7)).unwrap_or(0)
}

/// Whether all layers are open at an instant.
pub(crate) fn is_open(layers: &[Layer<'_>], at: i64) -> bool {
    layers.iter().all(|layer| layer.piece(at).open)
}

/// The first instant from `at` up to `bound` at which all layers are open.
pub(crate) fn opens(layers: &[Layer<'_>], at: i64, bound: i64) -> Option<i64> {
    let mut at = at;
    'moved: loop {
        for layer in layers {
            let open = layer.first(true, at, bound)?;
            if open > at {
                at = open;
                continue 'moved;
            }
        }
        return Some(at);
    }
}

/// The first instant from `at` up to `bound` at which some layer is closed.
pub(crate) fn closes(layers: &[Layer<'_>], at: i64, bound: i64) -> Option<i64> {
    let mut earliest = None;
    for layer in layers {
        // What closes later than what is known already does not matter.
        earliest = layer.first(false, at, earliest.unwrap_or(bound)).or(earliest);
    }
    earliest
}

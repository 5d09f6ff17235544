//! From what was measured to what is said: medians, ratios and verdicts.

/// One figure in all runs of one side, in the order of the runs.
pub(crate) type Runs = Vec<f64>;

/// What is measured of each side in every run.
#[derive(Debug, Default)]
pub(crate) struct Side {
    /// Jobs enqueued per second in batches of 100.
    pub(crate) enqueue_100: Runs,
    /// Jobs enqueued per second in batches of 1,000.
    pub(crate) enqueue_1000: Runs,
    /// Waiting jobs taken, handled and completed per second.
    pub(crate) drain: Runs,
    /// Whole lifecycles per second while producers and a worker are at work side by side.
    pub(crate) mix: Runs,
    /// The same by calls that enqueue, claim and complete 100 jobs each, of Windlass alone.
    pub(crate) calls: Runs,
    /// From the start of an enqueue to the start of its handler.
    pub(crate) p50_ms: Runs,
    pub(crate) p99_ms: Runs,
    /// What the server wrote to its log for one lifecycle, where it says so.
    pub(crate) log_bytes: Runs,
    /// What one waiting job takes on the server, measured once.
    pub(crate) waiting_bytes: Runs,
}

impl Side {
    /// Lifecycles per second when everything is enqueued first and drained then, the better way to enqueue counting.
    pub(crate) fn in_turn(&self) -> Runs {
        let enqueues = self.enqueue_100.iter().zip(&self.enqueue_1000).map(|(a, b)| a.max(*b));
        enqueues.zip(&self.drain).map(|(enqueue, drain)| harmonic(enqueue, *drain)).collect()
    }
}

/// Which end of a figure is the good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    Higher,
    Lower,
}

/// What Windlass wants to reach, and what it must.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    /// Times better than the peer in the same run.
    Ratio { reach: f64, least: f64 },
    /// A figure of its own, in the row's unit.
    Figure { reach: f64, least: f64 },
}

/// Whether a goal was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Reached,
    /// Not what is wanted, but what is asked for.
    Enough,
    Missed,
}

impl Verdict {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Reached => "reached",
            Self::Enough => "at least",
            Self::Missed => "missed",
        }
    }
}

/// One line of the comparison.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) server: &'static str,
    pub(crate) what: &'static str,
    pub(crate) peer: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    pub(crate) theirs: Runs,
    pub(crate) ours: Runs,
    pub(crate) goal: Option<Goal>,
}

impl Row {
    /// How many times better Windlass is, medians compared; none when a side was not measured.
    pub(crate) fn ratio(&self) -> Option<f64> {
        Some(self.times_better(median(&self.theirs)?, median(&self.ours)?))
    }

    /// The lowest and the highest ratio of a single run: how far the figure can be trusted.
    pub(crate) fn spread(&self) -> Option<(f64, f64)> {
        let ratios =
            self.theirs.iter().zip(&self.ours).map(|(theirs, ours)| self.times_better(*theirs, *ours));
        ratios.fold(None, |spread, ratio| {
            let (low, high) = spread.unwrap_or((ratio, ratio));
            Some((low.min(ratio), high.max(ratio)))
        })
    }

    /// Whether the goal was reached; none without a goal or without a figure to judge.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        let (value, better, reach, least) = match self.goal? {
            Goal::Ratio { reach, least } => (self.ratio()?, Better::Higher, reach, least),
            Goal::Figure { reach, least } => (median(&self.ours)?, self.better, reach, least),
        };
        let meets = |bar: f64| if better == Better::Higher { value >= bar } else { value <= bar };
        Some(match (meets(reach), meets(least)) {
            (true, _) => Verdict::Reached,
            (false, true) => Verdict::Enough,
            (false, false) => Verdict::Missed,
        })
    }

    fn times_better(&self, theirs: f64, ours: f64) -> f64 {
        match self.better {
            Better::Higher => ours / theirs,
            Better::Lower => theirs / ours,
        }
    }
}

/// The middle one, or the mean of the two in the middle; none of nothing.
pub(crate) fn median(runs: &[f64]) -> Option<f64> {
    let mut sorted = runs.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

/// The rate of doing one thing and then the other, each at its own rate.
pub(crate) fn harmonic(first: f64, second: f64) -> f64 {
    1.0 / (1.0 / first + 1.0 / second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(better: Better, theirs: &[f64], ours: &[f64], goal: Goal) -> Row {
        let (theirs, ours) = (theirs.to_vec(), ours.to_vec());
        Row { server: "redis", what: "w", peer: "p", unit: "", better, theirs, ours, goal: Some(goal) }
    }

    #[test]
    fn one_bad_run_does_not_move_a_median() {
        assert_eq!(median(&[3.0, 900.0, 1.0]), Some(3.0));
        assert_eq!(median(&[4.0, 2.0]), Some(3.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn a_lifecycle_takes_the_time_of_both_halves_and_the_better_way_to_enqueue() {
        let side = Side {
            enqueue_100: vec![10.0, 30.0],
            enqueue_1000: vec![30.0, 20.0],
            drain: vec![30.0, 30.0],
            ..Side::default()
        };
        let in_turn = side.in_turn();
        assert!(in_turn.iter().all(|rate| (rate - 15.0).abs() < 1e-9), "{in_turn:?}");
        assert_eq!(in_turn.len(), 2);
    }

    #[test]
    fn a_ratio_above_one_means_better_whichever_end_is_the_good_one() {
        let goal = Goal::Ratio { reach: 4.0, least: 2.5 };
        assert_eq!(row(Better::Higher, &[10.0], &[20.0], goal).ratio(), Some(2.0));
        assert_eq!(row(Better::Lower, &[10.0], &[5.0], goal).ratio(), Some(2.0));
        assert_eq!(row(Better::Lower, &[10.0, 10.0], &[5.0, 20.0], goal).spread(), Some((0.5, 2.0)));
    }

    #[test]
    fn a_goal_is_reached_or_just_enough_or_missed() {
        let ratio = |ours| row(Better::Higher, &[10.0], &[ours], Goal::Ratio { reach: 4.0, least: 2.5 });
        assert_eq!(ratio(40.0).verdict(), Some(Verdict::Reached));
        assert_eq!(ratio(25.0).verdict(), Some(Verdict::Enough));
        assert_eq!(ratio(24.9).verdict(), Some(Verdict::Missed));
        let bytes = |ours| row(Better::Lower, &[845.0], &[ours], Goal::Figure { reach: 400.0, least: 480.0 });
        assert_eq!(bytes(400.0).verdict(), Some(Verdict::Reached));
        assert_eq!(bytes(480.0).verdict(), Some(Verdict::Enough));
        assert_eq!(bytes(481.0).verdict(), Some(Verdict::Missed));
    }

    #[test]
    fn a_side_that_was_not_measured_is_not_judged() {
        let row = row(Better::Higher, &[10.0], &[], Goal::Ratio { reach: 4.0, least: 2.5 });
        assert_eq!((row.ratio(), row.spread(), row.verdict()), (None, None, None));
    }
}

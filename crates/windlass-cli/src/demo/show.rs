//! What is seen while a day runs: the scene, and where it goes.
//!
//! On a terminal it is drawn by [`screen`]; elsewhere one line a second goes to stderr, and with `--quiet` nothing.

use std::collections::{HashMap, VecDeque};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::HumanCount;
use windlass_campaigns::plan::{Campaign, CampaignId, Plan, Touch};
use windlass_campaigns::progress::DayProgress;
use windlass_doubles::Counters;

use super::beat::Beat;
use super::pass::Kill;
use crate::fault::Fault;
use crate::output::{Form, Output};

mod screen;

use screen::Screen;

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(1);
/// Over how long rates are taken.
const RATE_SPAN: Duration = Duration::from_secs(2);
/// Small campaigns with a bar of their own.
const SMALL_SHOWN: usize = 5;
/// What has happened, newest last: so many lines.
const NOTES_MAX: usize = 5;

/// Everything that is to be seen at one moment.
pub(super) struct Scene {
    pub(super) name: &'static str,
    pub(super) begun: Instant,
    pub(super) touches: u64,
    pub(super) reached: u64,
    pub(super) deliveries: u64,
    pub(super) beat: Beat,
    /// Completions a second, by queue.
    pub(super) rates: Vec<f64>,
    /// Recipients reached a second.
    pub(super) rate: f64,
    pub(super) bars: Vec<Bar>,
    pub(super) campaigns_done: usize,
    pub(super) mail: Counters,
    pub(super) phone: Counters,
    /// The worker process is dead or on its way back.
    pub(super) is_down: bool,
    /// Until then jobs of a killed process may still be held by its leases.
    held_until: Option<Instant>,
    pub(super) notes: VecDeque<String>,
    campaigns: Vec<Campaign>,
    refused: HashMap<CampaignId, u32>,
    beats: VecDeque<(Instant, Vec<u64>)>,
    looks: VecDeque<(Instant, u64)>,
}

/// The progress of one campaign.
pub(super) struct Bar {
    pub(super) title: String,
    pub(super) reached: u32,
    pub(super) contacts: u32,
}

impl Scene {
    pub(super) fn new(name: &'static str, plan: &Plan, refused: &[Touch], begun: Instant) -> Self {
        let mut refused_of: HashMap<CampaignId, u32> = HashMap::new();
        for touch in refused {
            *refused_of.entry(touch.campaign).or_default() += 1;
        }
        Self {
            name,
            begun,
            touches: u64::from(plan.contacts()),
            reached: 0,
            deliveries: 0,
            beat: Beat::default(),
            rates: Vec::new(),
            rate: 0.0,
            bars: Vec::new(),
            campaigns_done: 0,
            mail: Counters::default(),
            phone: Counters::default(),
            is_down: true,
            held_until: None,
            notes: VecDeque::new(),
            campaigns: plan.campaigns().to_vec(),
            refused: refused_of,
            beats: VecDeque::new(),
            looks: VecDeque::new(),
        }
    }

    /// Campaigns of the day.
    pub(super) fn campaigns(&self) -> usize {
        self.campaigns.len()
    }

    /// Jobs that have ended, by what the worker process said last.
    pub(super) fn ended(&self) -> u64 {
        self.beat.ended()
    }

    /// The worker process has spoken.
    pub(super) fn take_beat(&mut self, beat: Beat) {
        let now = Instant::now();
        let completed: Vec<u64> = beat.queues.iter().map(|queue| queue.completed).collect();
        self.beats.push_back((now, completed.clone()));
        while self.beats.len() > 2 && self.beats.front().is_some_and(|(at, _)| now - *at > RATE_SPAN) {
            self.beats.pop_front();
        }
        if let Some((then, before)) = self.beats.front() {
            let span_s = (now - *then).as_secs_f64();
            let per_s = |(now, before): (&u64, &u64)| per_second(now.saturating_sub(*before), span_s);
            self.rates = completed.iter().zip(before).map(per_s).collect();
        }
        self.beat = beat;
        self.is_down = false;
    }

    /// The worker process was killed. Its leases go on for that long, where another process keeps the store.
    pub(super) fn killed(&mut self, reached: u64, leases: Option<Duration>) {
        self.is_down = true;
        self.beats.clear();
        self.rates.clear();
        self.held_until = leases.map(|lease| Instant::now() + lease);
        let held = leases.map_or_else(String::new, |lease| {
            format!("; what it held comes back when its leases run out, within {} s", lease.as_secs())
        });
        self.note(format!("killed the worker process (SIGKILL) at {} deliveries{held}", HumanCount(reached)));
    }

    /// What keeps the day from moving, or some jobs of it, if anything does.
    pub(super) fn holdup(&self) -> Option<String> {
        if self.is_down {
            return Some("worker process is starting".to_owned());
        }
        let left = self.held_until?.checked_duration_since(Instant::now())?;
        let seconds = left.as_secs_f64().ceil();
        Some(format!("leases of the killed process hold jobs and slots for {seconds:.0} s more"))
    }

    /// It is back.
    pub(super) fn at_work(&mut self, kill: &Kill) {
        self.note(format!("the next one was at work after {:.2} s", kill.back_after_s));
    }

    /// What the providers have seen.
    pub(super) fn look(&mut self, progress: &DayProgress, [mail, phone]: [Counters; 2]) {
        let now = Instant::now();
        (self.reached, self.deliveries) = (progress.reached(), progress.deliveries());
        (self.mail, self.phone) = (mail, phone);
        self.looks.push_back((now, self.reached));
        while self.looks.len() > 2 && self.looks.front().is_some_and(|(at, _)| now - *at > RATE_SPAN) {
            self.looks.pop_front();
        }
        if let Some((then, before)) = self.looks.front() {
            self.rate = per_second(self.reached - before, (now - *then).as_secs_f64());
        }
        let reached = |campaign: &Campaign| progress.campaign(campaign.id).reached;
        let done = |campaign: &&Campaign| {
            let refused = self.refused.get(&campaign.id).copied().unwrap_or_default();
            reached(campaign) + refused >= campaign.contacts
        };
        self.campaigns_done = self.campaigns.iter().filter(done).count();
        // The whale, and the small ones that are under way now; those that are through make room.
        let small = self.campaigns.iter().filter(|campaign| !campaign.whale && !done(campaign));
        let whale = self.campaigns.iter().filter(|campaign| campaign.whale);
        let bar = |campaign: &Campaign| Bar {
            title: match campaign.whale {
                true => format!("{:>3} the whale, user {}", campaign.id, campaign.user.0),
                false => format!("{:>3} user {}", campaign.id, campaign.user.0),
            },
            reached: reached(campaign),
            contacts: campaign.contacts,
        };
        self.bars = whale.chain(small.take(SMALL_SHOWN)).map(bar).collect();
    }

    /// Something has happened.
    pub(super) fn note(&mut self, text: String) {
        if self.notes.len() == NOTES_MAX {
            self.notes.pop_front();
        }
        self.notes.push_back(format!("{:5.1} s: {text}", self.begun.elapsed().as_secs_f64()));
    }

    /// The scene in one line.
    fn line(&self) -> String {
        let waiting: u64 = self.beat.queues.iter().map(|queue| queue.waiting).sum();
        let state = self.holdup().map_or_else(String::new, |holdup| format!(", {holdup}"));
        format!(
            "{}, {:.1} s: {} of {} reached, {}/s; {} of {} campaigns through; {} jobs waiting, {} retrying, {} dead{state}",
            self.name,
            self.begun.elapsed().as_secs_f64(),
            HumanCount(self.reached),
            HumanCount(self.touches),
            HumanCount(self.rate as u64),
            self.campaigns_done,
            self.campaigns.len(),
            HumanCount(waiting),
            self.beat.retrying(),
            self.beat.dead(),
        )
    }
}

fn per_second(count: u64, span_s: f64) -> f64 {
    if span_s > 0.0 { count as f64 / span_s } else { 0.0 }
}

/// Where a scene is shown.
pub(super) enum Show {
    /// On the whole terminal.
    Screen(Box<Screen>),
    /// As lines on stderr.
    Lines {
        /// Where lines go.
        out: Output,
        /// The last line of the present scene, and how many of its notes were written.
        last: Option<Instant>,
        /// The newest note that was written.
        noted: Option<String>,
    },
}

impl Show {
    pub(super) fn new(out: &Output) -> Self {
        let terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
        if terminal && out.form == Form::Human && !out.quiet {
            // A terminal that cannot be drawn on still takes lines.
            if let Ok(screen) = Screen::open() {
                return Self::Screen(Box::new(screen));
            }
        }
        Self::Lines { out: *out, last: None, noted: None }
    }

    /// Shows the scene; true when somebody at the terminal wants it to end.
    pub(super) fn draw(&mut self, scene: &Scene) -> Result<bool, Fault> {
        match self {
            Self::Screen(screen) => Ok(screen.draw(scene)?),
            Self::Lines { out, last, noted } => {
                let new =
                    match noted.as_ref().and_then(|noted| scene.notes.iter().rposition(|note| note == noted))
                    {
                        Some(at) => at + 1,
                        None => 0,
                    };
                for note in scene.notes.iter().skip(new) {
                    out.say(&format!("{}, {}", scene.name, note.trim_start()));
                    *noted = Some(note.clone());
                }
                if last.is_none_or(|last| last.elapsed() >= LINE_EVERY) {
                    *last = Some(Instant::now());
                    out.say(&scene.line());
                }
                Ok(false)
            }
        }
    }

    /// Gives the terminal back.
    pub(super) fn end(&mut self) {
        if let Self::Screen(screen) = self {
            screen.close();
        }
    }
}

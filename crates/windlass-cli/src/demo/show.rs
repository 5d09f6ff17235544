//! What is seen while a day runs: the scene, and where it goes.
//!
//! On a terminal it is drawn by [`screen`]; elsewhere one line a second goes to stderr, and with `--quiet` nothing.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::HumanCount;
use windlass_doubles::Counters;

use super::beat::Beat;
use super::day::{Day, DayCampaign};
use super::pass::Kill;
use super::progress::CampaignProgress;
use super::worker::Part;
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
    /// Messages that the day owes at most.
    pub(super) messages: u64,
    /// Messages and calls that the providers took.
    pub(super) deliveries: u64,
    pub(super) beat: Beat,
    /// Completions a second, by queue.
    pub(super) rates: Vec<f64>,
    /// Deliveries a second.
    pub(super) rate: f64,
    pub(super) bars: Vec<Bar>,
    pub(super) campaigns_done: usize,
    pub(super) mail: Counters,
    pub(super) phone: Counters,
    /// Whoever says how the queues are is dead or on its way back.
    pub(super) is_down: bool,
    /// Until then jobs of a killed process may still be held by its leases.
    held_until: Option<Instant>,
    pub(super) notes: VecDeque<String>,
    campaigns: Vec<DayCampaign>,
    beats: VecDeque<(Instant, Vec<u64>)>,
    looks: VecDeque<(Instant, u64)>,
}

/// The progress of one campaign.
pub(super) struct Bar {
    pub(super) title: String,
    /// Contacts who have come to the end of the sequence.
    pub(super) ended: u64,
    pub(super) contacts: u64,
}

impl Scene {
    pub(super) fn new(name: &'static str, day: &Day, begun: Instant) -> Self {
        Self {
            name,
            begun,
            messages: day.messages(),
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
            campaigns: day.campaigns.clone(),
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

    /// Somebody has said how the queues are.
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

    /// A process was killed. Its leases go on for that long, where another process keeps the store.
    pub(super) fn killed(&mut self, part: Part, deliveries: u64, leases: Option<Duration>) {
        self.is_down = matches!(part, Part::Whole | Part::Server);
        self.beats.clear();
        self.rates.clear();
        self.held_until = leases.map(|lease| Instant::now() + lease);
        let held = leases.map_or_else(String::new, |lease| {
            format!("; what it held comes back when its leases run out, within {} s", lease.as_secs())
        });
        let who = match part {
            Part::Whole => "the application",
            Part::Server => "the queue's server",
            Part::Application => "the application's pages and relay",
            Part::Worker => "a worker",
        };
        self.note(format!("killed {who} (SIGKILL) at {} deliveries{held}", HumanCount(deliveries)));
    }

    /// What keeps the day from moving, or some jobs of it, if anything does.
    pub(super) fn holdup(&self) -> Option<String> {
        if self.is_down {
            return Some("starting again".to_owned());
        }
        let left = self.held_until?.checked_duration_since(Instant::now())?;
        let seconds = left.as_secs_f64().ceil();
        Some(format!("leases of a killed process hold jobs and slots for {seconds:.0} s more"))
    }

    /// It is back.
    pub(super) fn at_work(&mut self, kill: &Kill) {
        if let Some(seconds) = kill.back_after_s {
            self.note(format!("the next one was at work after {seconds:.2} s"));
        }
    }

    /// What the providers have taken, and how far the campaigns are.
    pub(super) fn look(&mut self, progress: &[CampaignProgress], [mail, phone]: [Counters; 2]) {
        let now = Instant::now();
        self.deliveries = mail.accepted + phone.accepted;
        (self.mail, self.phone) = (mail, phone);
        self.looks.push_back((now, self.deliveries));
        while self.looks.len() > 2 && self.looks.front().is_some_and(|(at, _)| now - *at > RATE_SPAN) {
            self.looks.pop_front();
        }
        if let Some((then, before)) = self.looks.front() {
            self.rate = per_second(self.deliveries - before, (now - *then).as_secs_f64());
        }
        let both = || self.campaigns.iter().zip(progress);
        self.campaigns_done = progress.iter().filter(|campaign| campaign.is_done).count();
        // The whale, and the small ones that are under way now; those that are through make room.
        let small = both().filter(|(campaign, progress)| !campaign.is_whale && !progress.is_done);
        let whale = both().filter(|(campaign, _)| campaign.is_whale);
        let bar = |(campaign, progress): (&DayCampaign, &CampaignProgress)| Bar {
            title: campaign.name.clone(),
            ended: progress.ended,
            contacts: campaign.people.len() as u64,
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
            "{}, {:.1} s: {} of {} messages, {}/s; {} of {} campaigns through; {} jobs waiting, {} retrying, {} dead{state}",
            self.name,
            self.begun.elapsed().as_secs_f64(),
            HumanCount(self.deliveries),
            HumanCount(self.messages),
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

    /// Says something before there is a scene.
    pub(super) fn say(&self, text: &str) {
        if let Self::Lines { out, .. } = self {
            out.say(text);
        }
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

//! One day from launch to account: providers, the application's processes, kills, and what the logs say at the end.
//!
//! It owns the evidence. The providers run here, in the process that nobody kills, and write down what they took
//! before they answer; the account is closed after the others have let go of store and database.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Serialize;
use windlass_doubles::seed::mix;
use windlass_doubles::{Counters, Handle, smtp, twilio};

use super::account::{self, Account};
use super::crew::Crew;
use super::day::{self, Day, LEASE_MS, Setup, Sinks};
use super::people::People;
use super::progress::Progress;
use super::rehearsal::Rehearsal;
use super::room::Part;
use super::show::{Scene, Show};
use super::worker::{self, Orders};
use crate::connect::{self, Intent};
use crate::fault::{Exit, Fault};

/// The stable word for a demo that somebody stopped.
pub(super) const INTERRUPTED: &str = "interrupted";
/// How often the providers are looked at: a kill comes within a hundred deliveries of its moment.
const LOOK: Duration = Duration::from_millis(20);
/// How often the view is drawn.
const DRAW: Duration = Duration::from_millis(200);
/// A day on which nothing arrives and nothing ends for so long is over: whatever waits, waits for some seconds.
const STALL: Duration = Duration::from_secs(90);
/// Over how long the small campaigns are launched: so many contacts of the day a millisecond.
const LAUNCHED_CONTACTS_PER_MS: u64 = 4;
/// Texts and calls last so long in each of their states.
const PACE: Duration = Duration::from_millis(300);

/// When processes are killed.
#[derive(Clone, Debug)]
pub(super) enum Kills {
    /// Never.
    None,
    /// The whole application, after so many deliveries each.
    At(Vec<u64>),
    /// One of its parts, about so often until the day is over.
    Every(Duration),
}

/// A day about to run.
pub(super) struct Pass {
    name: &'static str,
    part: Part,
    people: People,
    seed: u64,
    one_line: bool,
    rehearsal: Rehearsal,
    kills: Kills,
    over: Option<Duration>,
    pages: SocketAddr,
    with_calls: bool,
}

/// A day that has run.
pub(super) struct Finished {
    /// The account.
    pub(super) account: Account,
    /// How long campaigns took.
    pub(super) times: Times,
    /// The kills.
    pub(super) kills: Vec<Kill>,
    /// What the mail server did.
    pub(super) mail: Counters,
    /// What the provider of texts and calls did.
    pub(super) phone: Counters,
    /// Dead letters in the queue.
    pub(super) dead: u64,
    /// Campaigns of the day.
    pub(super) campaigns: u64,
    /// From the first launch to an idle queue.
    pub(super) seconds: f64,
}

/// How long campaigns took from their launch to the last of their recipients.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Times {
    /// Half of the small campaigns took no longer.
    pub(super) small_p50_s: f64,
    /// 95 % of the small campaigns took no longer.
    pub(super) small_p95_s: f64,
    /// The whale.
    pub(super) whale_s: f64,
    /// Small campaigns, all launched after the whale, that were through before it.
    pub(super) small_before_whale: usize,
    /// Small campaigns.
    pub(super) small: usize,
}

/// One SIGKILL.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Kill {
    /// Which process.
    pub(super) part: &'static str,
    /// Deliveries when it came.
    pub(super) deliveries: u64,
    /// How long after it the next process said that it is at work, where it says so.
    pub(super) back_after_s: Option<f64>,
}

impl Pass {
    /// A day for these people in that part of the room, its pages at that address, without faults and kills.
    pub(super) fn new(
        name: &'static str,
        part: Part,
        people: People,
        seed: u64,
        one_line: bool,
        pages: SocketAddr,
    ) -> Self {
        let rehearsal = Rehearsal::quiet(seed, &people);
        Self {
            name,
            part,
            people,
            seed,
            one_line,
            rehearsal,
            kills: Kills::None,
            over: None,
            pages,
            with_calls: false,
        }
    }

    /// With providers on a bad day, and with calls.
    pub(super) fn with_faults(mut self) -> Self {
        self.rehearsal = Rehearsal::bad_day(self.seed, &self.people);
        self.with_calls = true;
        self
    }

    /// With processes killed.
    pub(super) fn with_kills(mut self, kills: Kills) -> Self {
        self.kills = kills;
        self
    }

    /// With launches over that time.
    pub(super) fn over(mut self, over: Option<Duration>) -> Self {
        self.over = over;
        self
    }

    /// Runs the day, and closes its account.
    ///
    /// # Errors
    /// When something of the demo itself fails, or somebody stops it. What is lost or unexplained is no error here.
    pub(super) async fn run(mut self, show: &mut Show) -> Result<Finished, Fault> {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let logs = [self.part.dir.join("mail.jsonl"), self.part.dir.join("phone.jsonl")];
        let mail = smtp::Options { rules: self.rehearsal.mail(), ..smtp::Options::default() };
        let phone = self.rehearsal.phone(&self.people);
        let phone = twilio::Options { rules: phone, pace: PACE, ..twilio::Options::default() };
        let mail = smtp::start(any_port, &logs[0], mail).await?;
        let phone = twilio::start(any_port, &logs[1], phone).await?;
        let database = self.part.database();
        let day = self.launch(&database, &Sinks::of(&mail, &phone), show).await?;
        let begun = day.begun;
        let server = super::free_address().await?;
        Orders { database: database.clone(), pages: self.pages, server }.write(&self.part.dir)?;

        let (kills, dead) = self.until_done(&day, begun, server, [&mail, &phone], show).await?;
        let seconds = begun.elapsed().as_secs_f64();
        let (mail, phone) = (mail.shutdown().await, phone.shutdown().await);
        let account = account::close(&database, &logs, &day, &self.people).await?;
        let times = times(&day, &account);
        let campaigns = day.campaigns.len() as u64;
        Ok(Finished { account, times, kills, mail, phone, dead, campaigns, seconds })
    }

    /// Writes the day into the application's database, and launches it: the work is left to others.
    async fn launch(&self, database: &str, sinks: &Sinks, show: &mut Show) -> Result<Day, Fault> {
        let usual_ms = u64::from(self.people.count) / LAUNCHED_CONTACTS_PER_MS;
        let setup = Setup {
            database: database.to_owned(),
            address: self.pages,
            one_line: self.one_line,
            launches_ms: self
                .over
                .map_or(usual_ms, |over| u64::try_from(over.as_millis()).unwrap_or(u64::MAX)),
            with_calls: self.with_calls,
        };
        show.say(&format!("{}: writing people, lists and campaigns", self.name));
        let open = connect::open_url(&self.part.store, Intent::Work).await?;
        let launched = day::launch(&setup, open.client(), &self.people, sinks).await;
        open.close().await?;
        launched
    }

    /// Keeps the application's processes at work, and kills them, until every campaign is done and no queue has anything left
    /// to do. Answers the kills, and how many dead letters there are.
    async fn until_done(
        &mut self,
        day: &Day,
        begun: Instant,
        server: SocketAddr,
        providers: [&Handle; 2],
        show: &mut Show,
    ) -> Result<(Vec<Kill>, u64), Fault> {
        let taken = || providers.iter().map(|provider| provider.counters().accepted).sum::<u64>();
        let mut scene = Scene::new(self.name, day, begun);
        let speed = day.clock.speed();
        scene.note(format!(
            "watch it in a browser: http://{}/campaigns (its clock runs {speed} times as fast)",
            self.pages
        ));
        let progress = Progress::follow(&self.part.database(), day).await?;
        let in_parts = matches!(self.kills, Kills::Every(_));
        let mut crew = Crew::start(&self.part, server, in_parts)?;
        let mut plan = Plan::new(&self.kills, self.seed);
        let mut kills: Vec<Kill> = Vec::new();
        let mut killed_at: Option<Instant> = None;
        let mut looks = tokio::time::interval(LOOK);
        let (mut drawn, mut moved) = (Instant::now(), (0, Instant::now()));
        let dead = loop {
            tokio::select! {
                beat = crew.beat() => {
                    // The first of them is who says how it goes.
                    let (0, beat) = beat? else { continue };
                    if let (Some(at), Some(kill)) = (killed_at.take(), kills.last_mut()) {
                        kill.back_after_s = Some(at.elapsed().as_secs_f64());
                        scene.at_work(kill);
                    }
                    let (idle, dead) = (beat.is_idle(), beat.dead());
                    scene.take_beat(beat);
                    if idle && progress.is_through() {
                        break dead;
                    }
                }
                _ = looks.tick() => {}
            }
            let deliveries = taken();
            // One that has not come back from the last kill is not killed again.
            if killed_at.is_none()
                && !progress.is_through()
                && let Some(draw) = plan.is_due(deliveries)
            {
                let which = usize::try_from(draw % crew.len() as u64).unwrap_or_default();
                let part = crew.kill(which).await?;
                kills.push(Kill { part: part.name(), deliveries, back_after_s: None });
                let leases = (part != worker::Part::Whole || self.part.is_on_a_server())
                    .then_some(Duration::from_millis(LEASE_MS));
                scene.killed(part, deliveries, leases);
                killed_at = (which == 0).then(Instant::now);
                crew.start_again(which)?;
            }
            if drawn.elapsed() >= DRAW {
                drawn = Instant::now();
                scene.look(&progress.now(), providers.map(Handle::counters));
                if show.draw(&scene)? {
                    return Err(stopped());
                }
            }
            let now_at = deliveries + scene.ended();
            if now_at != moved.0 {
                moved = (now_at, Instant::now());
            } else if moved.1.elapsed() > STALL {
                return Err(Fault::failed(format!("nothing has moved for {STALL:?}: the day does not end")));
            }
        };
        scene.look(&progress.now(), providers.map(Handle::counters));
        scene.note("closing the account: the providers' logs against the database".to_owned());
        show.draw(&scene)?;
        crew.stop().await?;
        Ok((kills, dead))
    }
}

/// When the next kill is due.
struct Plan {
    at: std::iter::Peekable<std::vec::IntoIter<u64>>,
    every: Option<Duration>,
    next: Instant,
    seed: u64,
    drawn: u64,
}

impl Plan {
    fn new(kills: &Kills, seed: u64) -> Self {
        let (at, every) = match kills {
            Kills::None => (Vec::new(), None),
            Kills::At(at) => (at.clone(), None),
            Kills::Every(span) => (Vec::new(), Some(*span)),
        };
        let mut plan = Self { at: at.into_iter().peekable(), every, next: Instant::now(), seed, drawn: 0 };
        plan.wait();
        plan
    }

    /// Sets the moment of the next kill: between half and one and a half times the span from now.
    fn wait(&mut self) {
        let Some(span) = self.every else { return };
        let span_ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(2);
        self.next = Instant::now() + Duration::from_millis(span_ms / 2 + self.draw() % span_ms);
    }

    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        mix(self.seed, 1_000 + self.drawn)
    }

    /// Whether somebody is killed now, and by which draw.
    fn is_due(&mut self, deliveries: u64) -> Option<u64> {
        if self.every.is_some() && Instant::now() >= self.next {
            self.wait();
            return Some(self.draw());
        }
        self.at.next_if(|at| deliveries >= *at).map(|_| 0)
    }
}

/// How long each campaign took, by what its recipients saw.
fn times(day: &Day, account: &Account) -> Times {
    let mut times = Times::default();
    let mut small_s = Vec::with_capacity(day.campaigns.len());
    let mut whale_at_ms = 0;
    for campaign in &day.campaigns {
        // A campaign whose only contact was refused has reached nobody.
        let Some(last_at_ms) = account.last_at_ms.get(&campaign.id).copied() else { continue };
        let took_s = Duration::from_millis(last_at_ms.saturating_sub(campaign.begins_at_ms)).as_secs_f64();
        if campaign.is_whale {
            times.whale_s = took_s;
            whale_at_ms = last_at_ms;
        } else {
            small_s.push(took_s);
            times.small_before_whale += usize::from(last_at_ms < whale_at_ms);
        }
    }
    small_s.sort_by(f64::total_cmp);
    times.small = small_s.len();
    times.small_p50_s = percentile(&small_s, 50);
    times.small_p95_s = percentile(&small_s, 95);
    times
}

/// The smallest value that so many percent of the sorted values do not exceed; 0 when there are none.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// Somebody stopped the demo.
pub(super) fn stopped() -> Fault {
    Fault::new(Exit::Failed, INTERRUPTED, "stopped before the end of the day; nothing is left running")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_smallest_value_that_covers_its_share() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!([50, 95, 100].map(|percent| percentile(&hundred, percent)), [50.0, 95.0, 100.0]);
        assert_eq!(percentile(&[7.0], 50), 7.0);
        assert_eq!(percentile(&[1.0, 2.0], 95), 2.0);
        assert_eq!(percentile(&[], 50), 0.0);
    }
}

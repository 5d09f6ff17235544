//! One day from launch to account: providers, worker process, kills, and what the logs say at the end.
//!
//! It owns the evidence. The providers run here, in the process that nobody kills, and write down what they took
//! before they answer; the queue is opened only after the worker process has let go of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use windlass_campaigns::contacts::ContactList;
use windlass_campaigns::day::{Day, Sharing};
use windlass_campaigns::handlers::Providers;
use windlass_campaigns::plan::Plan;
use windlass_campaigns::progress::DayProgress;
use windlass_campaigns::reconcile::{Reconciliation, Report};
use windlass_campaigns::record::QueueRecord;
use windlass_doubles::{Counters, Handle, smtp, twilio};

use super::process::WorkerProcess;
use super::rehearsal::Rehearsal;
use super::room::Part;
use super::show::{Scene, Show};
use super::worker::Orders;
use crate::connect::{self, Intent};
use crate::fault::{Exit, Fault};

/// The stable word for a demo that somebody stopped.
pub(super) const INTERRUPTED: &str = "interrupted";
/// How often the providers' logs are looked at: a kill comes within a hundred deliveries of its moment.
const LOOK: Duration = Duration::from_millis(20);
/// How often the view is drawn.
const DRAW: Duration = Duration::from_millis(200);
/// A day on which nothing arrives and nothing ends for so long is over: a retry comes after two seconds at most.
const STALL: Duration = Duration::from_secs(60);
/// How long after the start of the worker process the day begins: it opens its store meanwhile.
const DAY_BEGINS_IN_MS: u64 = 400;
/// Over how long the small campaigns are launched: so many contacts of the day a millisecond.
const LAUNCHED_CONTACTS_PER_MS: u64 = 6;
/// The compressed delay of a campaign's step.
const STEP_DELAY_MS: u64 = 20;
/// The compressed retry policy of the day.
const RETRY_MS: (u64, u64) = (200, 2_000);
/// The compressed lease of the day. Inside a program the end of the process ends its leases; a server has to wait.
const LEASE_MS: u64 = 5_000;

/// A day about to run.
pub(super) struct Pass {
    name: &'static str,
    dir: PathBuf,
    store: String,
    list: ContactList,
    plan: Plan,
    seed: u64,
    sharing: Sharing,
    rehearsal: Rehearsal,
    kills: Vec<u64>,
    dashboard: Option<SocketAddr>,
}

/// A day that has run.
pub(super) struct Finished {
    /// The account.
    pub(super) report: Report,
    /// How long campaigns took.
    pub(super) times: Times,
    /// The kills.
    pub(super) kills: Vec<Kill>,
    /// What the mail server did.
    pub(super) mail: Counters,
    /// What the provider of texts and calls did.
    pub(super) phone: Counters,
    /// Dead letters of the three channels in the queue.
    pub(super) dead: u64,
    /// Campaigns of the day.
    pub(super) campaigns: u64,
    /// From the start of the worker process to an idle queue.
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
    /// Recipients reached when it came.
    pub(super) reached: u64,
    /// How long after it the next process said that it is at work.
    pub(super) back_after_s: f64,
}

impl Pass {
    /// A day for these contacts in that part of the room, without faults and kills.
    pub(super) fn new(
        name: &'static str,
        part: Part,
        list: ContactList,
        seed: u64,
        sharing: Sharing,
    ) -> Result<Self, Fault> {
        let plan = Plan::new(&list).map_err(|error| Fault::usage(error.to_string()))?;
        let rehearsal = Rehearsal::quiet(seed);
        let Part { dir, store } = part;
        Ok(Self {
            name,
            dir,
            store,
            list,
            plan,
            seed,
            sharing,
            rehearsal,
            kills: Vec::new(),
            dashboard: None,
        })
    }

    /// With providers on a bad day.
    pub(super) fn with_faults(mut self, refuse: bool) -> Self {
        self.rehearsal = Rehearsal::bad_day(self.seed, &self.plan, &self.list, refuse);
        self
    }

    /// With a dashboard at that address of this machine.
    pub(super) fn with_dashboard(mut self, address: SocketAddr) -> Self {
        self.dashboard = Some(address);
        self
    }

    /// With two kills in the middle.
    pub(super) fn with_kills(mut self) -> Self {
        self.kills = Rehearsal::kills(self.seed, u64::from(self.plan.contacts()));
        self
    }

    /// Runs the day and closes its account.
    ///
    /// # Errors
    /// When something of the demo itself fails, or somebody stops it. What is lost or unexplained is no error here.
    pub(super) async fn run(mut self, show: &mut Show) -> Result<Finished, Fault> {
        let begun = Instant::now();
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let logs = [self.dir.join("mail.jsonl"), self.dir.join("phone.jsonl")];
        let mail = smtp::start(any_port, &logs[0], self.rehearsal.mail.clone()).await?;
        let phone = twilio::start(any_port, &logs[1], self.rehearsal.phone.clone()).await?;
        let day = self.day();
        Orders { day, providers: providers(&mail, &phone), dashboard: self.dashboard }
            .write(&self.dir, &self.list)?;

        let mut progress = DayProgress::new(logs.clone());
        let kills = self.until_idle(begun, &mut progress, [&mail, &phone], show).await?;
        let seconds = begun.elapsed().as_secs_f64();
        let (mail, phone) = (mail.shutdown().await, phone.shutdown().await);
        while progress.refresh()? {}
        let times = self.times(&day, &progress);
        let campaigns = self.plan.campaigns().len() as u64;
        let (report, dead) = self.account(&logs).await?;
        Ok(Finished { report, times, kills, mail, phone, dead, campaigns, seconds })
    }

    fn day(&self) -> Day {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (retry_base_ms, retry_cap_ms) = RETRY_MS;
        Day {
            start_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX).saturating_add(DAY_BEGINS_IN_MS),
            launches_ms: u64::from(self.plan.contacts()) / LAUNCHED_CONTACTS_PER_MS,
            sharing: self.sharing,
            step_delay_ms: STEP_DELAY_MS,
            retry_base_ms,
            retry_cap_ms,
            lease_ms: LEASE_MS,
        }
    }

    /// Keeps a worker process at work, and kills it, until the queue has nothing left to do.
    async fn until_idle(
        &mut self,
        begun: Instant,
        progress: &mut DayProgress,
        servers: [&Handle; 2],
        show: &mut Show,
    ) -> Result<Vec<Kill>, Fault> {
        let mut scene = Scene::new(self.name, &self.plan, &self.rehearsal.refused, begun);
        if let Some(address) = self.dashboard {
            scene.note(format!("watch it in a browser: http://{address}"));
        }
        let mut pending = std::mem::take(&mut self.kills).into_iter().peekable();
        let mut kills: Vec<Kill> = Vec::new();
        let mut killed_at: Option<Instant> = None;
        let mut worker = WorkerProcess::start(&self.dir, &self.store)?;
        let mut looks = tokio::time::interval(LOOK);
        let mut drawn = Instant::now();
        let mut moved = (0, Instant::now());
        loop {
            tokio::select! {
                beat = worker.beat() => {
                    let beat = beat?;
                    if let (Some(at), Some(kill)) = (killed_at.take(), kills.last_mut()) {
                        kill.back_after_s = at.elapsed().as_secs_f64();
                        scene.at_work(kill);
                    }
                    let idle = beat.is_idle();
                    scene.take_beat(beat);
                    if idle {
                        break;
                    }
                }
                _ = looks.tick() => {}
            }
            progress.refresh()?;
            // One that has not come back from the last kill is not killed again.
            if killed_at.is_none() && pending.next_if(|at| progress.reached() >= *at).is_some() {
                worker.kill().await?;
                killed_at = Some(Instant::now());
                kills.push(Kill { reached: progress.reached(), back_after_s: 0.0 });
                // The engine inside ends the leases of the process that owned it when it is opened again.
                let on_a_server = !self.store.starts_with("file:");
                scene.killed(progress.reached(), on_a_server.then_some(Duration::from_millis(LEASE_MS)));
                worker = WorkerProcess::start(&self.dir, &self.store)?;
            }
            if drawn.elapsed() >= DRAW {
                drawn = Instant::now();
                scene.look(progress, servers.map(Handle::counters));
                if show.draw(&scene)? {
                    return Err(stopped());
                }
            }
            let now_at = progress.deliveries() + scene.ended();
            if now_at != moved.0 {
                moved = (now_at, Instant::now());
            } else if moved.1.elapsed() > STALL {
                return Err(Fault::failed(format!("nothing has moved for {STALL:?}: the day does not end")));
            }
        }
        while progress.refresh()? {}
        scene.look(progress, servers.map(Handle::counters));
        scene.note("closing the account: the providers' logs against the queue".to_owned());
        show.draw(&scene)?;
        worker.stop().await?;
        Ok(kills)
    }

    /// How long each campaign took, by what its recipients saw.
    fn times(&self, day: &Day, progress: &DayProgress) -> Times {
        let campaigns = self.plan.campaigns();
        let mut times = Times::default();
        let mut small_s = Vec::with_capacity(campaigns.len());
        let mut whale_at_ms = 0;
        for (nth, campaign) in campaigns.iter().enumerate() {
            let last_at_ms = progress.campaign(campaign.id).last_at_ms;
            // A campaign whose only contact was refused has reached nobody.
            if last_at_ms == 0 {
                continue;
            }
            let launched_at_ms = day.launch_at_ms(nth, campaigns.len());
            let took_s = Duration::from_millis(last_at_ms.saturating_sub(launched_at_ms)).as_secs_f64();
            if campaign.whale {
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

    /// Opens the queue, which nobody holds any more, and compares it with the logs.
    async fn account(self, logs: &[PathBuf; 2]) -> Result<(Report, u64), Fault> {
        let open = connect::open_url(&self.store, Intent::Look).await?;
        let record =
            QueueRecord::read(open.client()).await.map_err(|error| Fault::failed(error.to_string()))?;
        let dead = record.dead() as u64;
        let Self { list, plan, .. } = self;
        let logs = logs.clone();
        let closing = tokio::task::spawn_blocking(move || {
            let mut account = Reconciliation::new();
            for log in &logs {
                account.read_log(log)?;
            }
            Ok::<_, windlass_campaigns::reconcile::LogError>(account.close(plan.touches(&list), &record))
        });
        let report = closing.await.map_err(|error| Fault::failed(error.to_string()))?;
        let report = report.map_err(|error| Fault::failed(error.to_string()));
        open.close().await?;
        Ok((report?, dead))
    }
}

fn providers(mail: &Handle, phone: &Handle) -> Providers {
    Providers {
        smtp_url: mail.url(),
        phone_url: phone.url(),
        account_sid: "ACdemo".to_owned(),
        auth_token: "demo".to_owned(),
        from_email: "Windlass Demo <demo@example.com>".to_owned(),
        from_phone: "+15550009999".to_owned(),
    }
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

//! The dispatcher: one task that claims, starts handlers and settles what they did.
//!
//! Every call to the store carries all settlements that have gathered and asks for as many jobs as
//! there are free slots. While calls are out, whatever ends goes into the next one, so a busy worker
//! talks in large batches and an idle one at once, without any timer. A queue that gave less than was
//! asked is *dry*: it is asked again when the store's watch rings, at the time that the store named,
//! or when a limit of its own is set free, and never otherwise. While handlers end faster than the store answers, calls
//! ask for jobs [`ahead`](super::ahead) of the slots.
//!
//! A call that fails loses nothing: its settlements are sent again (a second ack is answered `ok`)
//! after a growing pause, for as long as the worker lives. The dispatcher owns every claimed job until
//! its task has started, so no dropped future can lose one.
//!
//! Its hello is said again every 15 s, and at once when a call succeeds after one that failed: a store that was started
//! anew may have forgotten it.
//!
//! It is one thing because its state is: slots, what is in flight and what is dry decide together.

use super::ahead::Ahead;
use super::attempt::{self, Ended, Routes};
use super::beat::Registry;
use super::lanes::{Lanes, Want};
use super::stop::{Phase, ShutdownReport, Stopping};
use super::{Control, Order};
use crate::client::Client;
use crate::ctx::Held;
use crate::ids;
use std::collections::{HashMap, HashSet};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use windlass_core::bounds::{BATCH_ITEMS_MAX, HELLO_MS};
use windlass_core::store::{Claim, Claimed, ClaimedJob, Hello, ReleaseReason, Settle, Signal, Watch};
use windlass_core::{LeaseToken, Rejection, StoreError, WorkerId};

/// Calls with settlements out at once: while one waits for its sync the next one gathers.
const SETTLING_MAX: usize = 2;
/// Bytes of results and follow-ups after which a call takes no more settlements.
const SETTLE_BYTES_MAX: usize = 8 << 20;
/// The pause after the first failed call; doubled with each one.
const PAUSE_MS_MIN: u64 = 50;
/// The longest pause: a store that is back is noticed within it.
const PAUSE_MS_MAX: u64 = 5_000;
/// How long a completion waits that the store has no room for.
const NO_ROOM_MS: u64 = 1_000;

/// Calls in a row that brought nothing before the next watch waits: rings that mean nothing, whoever
/// gives them, must not become a loop that eats a core.
const FRUITLESS_MAX: u32 = 32;
/// How long it waits then.
const FRUITLESS_MS: u64 = 10;

type Answer = Result<Claimed, StoreError>;
/// A hello on its way, and whether it has arrived.
type Greeting = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;
type Watching = Pin<Box<dyn Future<Output = Result<Signal, StoreError>> + Send>>;

/// A call that is out.
struct Flight {
    /// Kept to be sent again if the call fails.
    settles: Vec<Settle>,
    wants: Vec<Want>,
    /// Rings heard before it took off: a later one may be about what this call did not see.
    rings: u64,
    /// Before the store can have counted the leases from.
    sent_ms: u64,
    sent: Instant,
    answer: Pin<Box<dyn Future<Output = Answer> + Send>>,
}

pub(super) struct Dispatcher {
    pub(super) client: Client,
    pub(super) worker: WorkerId,
    pub(super) host: String,
    pub(super) routes: Arc<Routes>,
    pub(super) control: Arc<Control>,
    pub(super) registry: Arc<Registry>,
    pub(super) lanes: Lanes,
    /// Claimed jobs that wait for a slot.
    ahead: Ahead,
    pub(super) orders: mpsc::UnboundedReceiver<Order>,
    pub(super) stopping: Stopping,
    done: mpsc::UnboundedReceiver<Ended>,
    done_sender: mpsc::UnboundedSender<Ended>,
    ended: Vec<Ended>,
    /// Settlements that wait for the next call.
    settles: Vec<Settle>,
    /// Settlements that wait for a time.
    later: Vec<(Instant, Settle)>,
    flights: Vec<Flight>,
    watch: Option<Watching>,
    /// The lanes of the watch.
    watched: Vec<usize>,
    rings: u64,
    try_again: Option<Instant>,
    pause_until: Option<Instant>,
    failures: u32,
    /// Calls in a row that asked and got nothing.
    fruitless: u32,
    watch_from: Option<Instant>,
    greeting: Option<Greeting>,
    /// When the next hello is due.
    greet_at: Instant,
}

/// What ended the wait.
enum Woke {
    Done,
    Landed(usize, Answer),
    Signal(Result<Signal, StoreError>),
    Order(Order),
    Greeted(Result<(), StoreError>),
    Time,
}

impl Dispatcher {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn new(
        client: Client,
        worker: WorkerId,
        host: String,
        routes: Arc<Routes>,
        control: Arc<Control>,
        registry: Arc<Registry>,
        lanes: Lanes,
        orders: mpsc::UnboundedReceiver<Order>,
        grace: Duration,
    ) -> Self {
        // Bounded by the slots: every attempt sends one end, a blocking one at most a second.
        let (done_sender, done) = mpsc::unbounded_channel();
        Self {
            client,
            worker,
            host,
            routes,
            control,
            registry,
            ahead: Ahead::new(lanes.len()),
            lanes,
            orders,
            stopping: Stopping::new(grace),
            done,
            done_sender,
            ended: Vec::new(),
            settles: Vec::new(),
            later: Vec::new(),
            flights: Vec::new(),
            watch: None,
            watched: Vec::new(),
            rings: 0,
            try_again: None,
            pause_until: None,
            failures: 0,
            fruitless: 0,
            watch_from: None,
            greeting: None,
            greet_at: Instant::now(),
        }
    }

    /// Works until it is told to stop and everything is settled.
    pub(super) async fn run(mut self) -> ShutdownReport {
        let goodbye = Goodbye { registry: self.registry.clone(), control: self.control.clone(), said: false };
        self.greet();
        self.greeted().await;
        loop {
            let now = Instant::now();
            self.take_due(now);
            if self.stop_further(now) {
                break;
            }
            self.launch();
            self.watch_dry();
            match self.wait().await {
                Woke::Done => self.take_ended().await,
                Woke::Landed(place, answer) => self.landed(place, answer),
                Woke::Signal(signal) => self.signalled(signal),
                Woke::Order(order) => self.obey(order),
                Woke::Greeted(answer) => self.heard(answer),
                Woke::Time => {}
            }
        }
        self.watch = None;
        // A hello that arrives after the good-bye would show a worker that is not there.
        self.greeted().await;
        if let Err(error) = self.client.store().bye(self.worker, None).await {
            tracing::debug!(%error, "the store did not hear this worker's good-bye");
        }
        goodbye.say(self.stopping.report)
    }

    /// Says hello, with the slots as they are now.
    fn greet(&mut self) {
        self.greet_at = Instant::now() + Duration::from_millis(HELLO_MS);
        let hello = Hello {
            worker: self.worker,
            host: self.host.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            queues: self.lanes.slots(),
        };
        let store = self.client.store().clone();
        self.greeting = Some(Box::pin(async move { store.hello(hello, None).await }));
    }

    /// Says hello as soon as none is on its way.
    fn greet_soon(&mut self) {
        self.greet_at = Instant::now();
    }

    /// Waits until the hello that is on its way has arrived.
    async fn greeted(&mut self) {
        if let Some(greeting) = &mut self.greeting {
            let answer = greeting.await;
            self.heard(answer);
        }
    }

    /// Presence is for people: a worker whose hello fails works on, and says it again.
    fn heard(&mut self, answer: Result<(), StoreError>) {
        self.greeting = None;
        if let Err(error) = answer {
            tracing::warn!(%error, "the store did not hear this worker's hello; it is said again");
        }
    }

    /// Waits for whatever comes first.
    async fn wait(&mut self) -> Woke {
        let time =
            [self.pause_until, self.try_again, self.watch_from, self.stopping.next(), self.ahead.next()];
        let later = self.later.iter().map(|(due, _)| *due).min();
        let greet_at = self.greeting.is_none().then_some(self.greet_at);
        let time = time.into_iter().flatten().chain(later).chain(greet_at).min();
        let Self { done, ended, flights, watch, orders, greeting, .. } = self;
        let clock = async {
            match time {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let ring = poll_fn(|cx| match watch.as_mut() {
            Some(watch) => watch.as_mut().poll(cx),
            None => Poll::Pending,
        });
        let greeted = poll_fn(|cx| match greeting.as_mut() {
            Some(greeting) => greeting.as_mut().poll(cx),
            None => Poll::Pending,
        });
        tokio::select! {
            biased;
            Some(order) = orders.recv() => Woke::Order(order),
            _ = done.recv_many(ended, BATCH_ITEMS_MAX) => Woke::Done,
            (place, answer) = poll_fn(|cx| poll_flights(flights, cx)) => Woke::Landed(place, answer),
            signal = ring => Woke::Signal(signal),
            answer = greeted => Woke::Greeted(answer),
            () = clock => Woke::Time,
        }
    }

    /// Takes what has ended, and what ends while it looks.
    async fn take_ended(&mut self) {
        if self.lanes.running() as usize > self.ended.len() {
            // Handlers that are ready to run may be about to end: one turn for them makes one batch of many.
            tokio::task::yield_now().await;
        }
        while let Ok(ended) = self.done.try_recv() {
            self.ended.push(ended);
        }
        for ended in std::mem::take(&mut self.ended) {
            self.end(ended);
        }
    }

    fn end(&mut self, ended: Ended) {
        if ended.frees {
            self.lanes.freed(ended.lane);
            self.fill(ended.lane);
        }
        if ended.ran {
            match ended.settle {
                Some(settle) if self.stopping.hears(&ended.token) => {
                    self.stopping.count(&settle);
                    self.settles.push(settle);
                }
                _ => drop(self.registry.lock().remove(&ended.token)),
            }
        }
    }

    /// Starts jobs that wait for a slot of that lane.
    fn fill(&mut self, lane: usize) {
        while self.lanes.has_slot(lane)
            && let Some(held) = self.ahead.pop(lane)
        {
            self.lanes.waited(lane);
            if held.is_lost() {
                self.registry.lock().remove(&held.job.lease.token);
            } else {
                self.begin(held);
            }
        }
    }

    fn begin(&mut self, held: Arc<Held>) {
        self.lanes.started(held.lane);
        tokio::spawn(attempt::run(self.routes.clone(), held));
    }

    /// Gives jobs back that were claimed ahead and will not be started here.
    fn give_back(&mut self, waiting: Vec<Arc<Held>>, reason: ReleaseReason) {
        for held in waiting {
            self.lanes.given_back(held.lane);
            if held.is_lost() {
                self.registry.lock().remove(&held.job.lease.token);
                continue;
            }
            self.settles.push(Settle::Release { lease: held.job.lease, reason });
            if reason == ReleaseReason::Shutdown {
                self.stopping.returned_unstarted();
            }
        }
    }

    /// Moves what is due now to where it goes.
    fn take_due(&mut self, now: Instant) {
        let overdue = self.ahead.overdue(now);
        self.give_back(overdue, ReleaseReason::Unstarted);
        if self.try_again.is_some_and(|at| at <= now) {
            self.try_again = None;
            self.lanes.wet();
        }
        if self.pause_until.is_some_and(|until| until <= now) {
            self.pause_until = None;
        }
        if self.watch_from.is_some_and(|from| from <= now) {
            self.watch_from = None;
        }
        if self.greet_at <= now && self.greeting.is_none() {
            self.greet();
        }
        if !self.later.is_empty() {
            let (due, later) = std::mem::take(&mut self.later).into_iter().partition(|(at, _)| *at <= now);
            self.later = later;
            let due: Vec<(Instant, Settle)> = due;
            self.settles.extend(due.into_iter().map(|(_, settle)| settle));
        }
    }

    /// Sends calls for as long as there is something to say and a call is free.
    fn launch(&mut self) {
        while self.pause_until.is_none() {
            let settling = self.flights.iter().filter(|flight| !flight.settles.is_empty()).count();
            let asking = self.flights.iter().any(|flight| flight.settles.is_empty());
            let settles = match (self.settles.is_empty(), settling < SETTLING_MAX) {
                (false, true) => self.next_settles(),
                // Ended attempts go before new ones: what is unsettled must not pile up.
                (false, false) => return,
                (true, _) => Vec::new(),
            };
            if settles.is_empty() && asking {
                return;
            }
            let wants = match self.stopping.phase() {
                // Only a call that brings ends asks ahead: others have nothing to go by.
                Phase::Working => self.lanes.ask((!settles.is_empty()).then(Instant::now)),
                _ => Vec::new(),
            };
            if settles.is_empty() && wants.is_empty() {
                return;
            }
            self.take_off(settles, wants);
        }
    }

    /// As many waiting settlements as one call takes.
    fn next_settles(&mut self) -> Vec<Settle> {
        let mut bytes = 0;
        let count = self.settles.iter().take(BATCH_ITEMS_MAX).take_while(|settle| {
            let fits = bytes <= SETTLE_BYTES_MAX;
            bytes += bytes_of(settle);
            fits
        });
        let count = count.count();
        if count == self.settles.len() {
            return std::mem::take(&mut self.settles);
        }
        self.settles.drain(..count).collect()
    }

    fn take_off(&mut self, settles: Vec<Settle>, wants: Vec<Want>) {
        let claim = Claim {
            settle_first: settles.clone(),
            wants: wants.iter().map(|want| (self.lanes.name(want.lane).clone(), want.count)).collect(),
            worker: self.worker,
            nonce: ids::random(),
        };
        let store = self.client.store().clone();
        let answer = Box::pin(async move { store.claim(claim, None).await });
        let sent_ms = self.registry.now_ms();
        self.flights.push(Flight {
            settles,
            wants,
            rings: self.rings,
            sent_ms,
            sent: Instant::now(),
            answer,
        });
    }

    fn landed(&mut self, place: usize, answer: Answer) {
        let flight = self.flights.swap_remove(place);
        let took = flight.sent.elapsed();
        for want in &flight.wants {
            self.lanes.answered(want, took);
        }
        match answer {
            Ok(claimed) => {
                if std::mem::take(&mut self.failures) > 0 {
                    // The store is back, perhaps without what it knew of its workers.
                    self.greet_soon();
                }
                self.settled(flight.settles, claimed.settled);
                if !claimed.jobs.is_empty() {
                    self.fruitless = 0;
                } else if !flight.wants.is_empty() {
                    self.fruitless += 1;
                    if self.fruitless > FRUITLESS_MAX {
                        self.watch_from = Some(Instant::now() + Duration::from_millis(FRUITLESS_MS));
                    }
                }
                let got = self.start(claimed.jobs, flight.sent_ms);
                if flight.rings == self.rings {
                    self.lanes.dry(&flight.wants, &got);
                }
                if !flight.wants.is_empty()
                    && let Some(at) = claimed.try_again_at
                {
                    let wait = Duration::from_millis(at.since(self.client.now()).max(1));
                    let at = Instant::now() + wait;
                    self.try_again = Some(self.try_again.map_or(at, |other| other.min(at)));
                }
            }
            Err(error) => {
                self.settles.splice(..0, flight.settles);
                self.pause(&error);
            }
        }
    }

    /// After a failed call: wait, longer each time, and go on.
    fn pause(&mut self, error: &StoreError) {
        let most = PAUSE_MS_MIN.saturating_mul(1 << self.failures.min(16)).min(PAUSE_MS_MAX);
        self.failures += 1;
        // Full jitter above a floor: workers that failed together do not come back together.
        let pause_ms = most / 2 + ids::random() % (most / 2 + 1);
        tracing::warn!(%error, failures = self.failures, pause_ms, "the store did not take a call; it is tried again");
        self.pause_until = Some(Instant::now() + Duration::from_millis(pause_ms));
        self.lanes.wet();
    }

    /// What the store said to each settlement.
    fn settled(&mut self, settles: Vec<Settle>, answers: Vec<Result<(), Rejection>>) {
        let registry = self.registry.clone();
        let mut held = registry.lock();
        for (settle, answer) in settles.into_iter().zip(answers) {
            let token = settle.lease().token;
            match answer {
                Ok(()) => drop(held.remove(&token)),
                Err(Rejection::Stale) => {
                    tracing::debug!(job = %settle.lease().job, "settled by a lease that is no longer current");
                    held.remove(&token);
                }
                Err(rejection) => self.refused(settle, &rejection, &mut held),
            }
        }
    }

    /// The store refused a settlement of a lease that is current.
    fn refused(&mut self, settle: Settle, rejection: &Rejection, held: &mut HashMap<LeaseToken, Arc<Held>>) {
        let lease = *settle.lease();
        let wait_ms = match rejection {
            Rejection::QueueFull { retry_after_ms, .. } => Some((*retry_after_ms).clamp(1, PAUSE_MS_MAX)),
            Rejection::OutOfSpace => Some(NO_ROOM_MS),
            _ => None,
        };
        if let Some(wait_ms) = wait_ms {
            // The heartbeat keeps the lease until there is room for the follow-ups.
            tracing::warn!(job = %lease.job, %rejection, "a completion waits for room");
            self.later.push((Instant::now() + Duration::from_millis(wait_ms), settle));
            return;
        }
        tracing::error!(job = %lease.job, %rejection, "the store refused how an attempt ended");
        match (settle, held.get(&lease.token)) {
            // The handler asked for what cannot be done: the attempt has failed, and says why.
            (Settle::Complete { .. } | Settle::Snooze { .. }, Some(attempt)) => {
                let kind = attempt.job.kind.as_str();
                let told = format!("the store refused how the attempt ended: {rejection}");
                let error = crate::outcome::report(kind, Some("refused".into()), told, None);
                self.settles.push(Settle::Fail { lease, error, retry_in_ms: None, fatal: false });
            }
            // Nothing that can be said will be taken: the lease runs out.
            _ => drop(held.remove(&lease.token)),
        }
    }

    /// Starts what was claimed; answers how many jobs of each lane came.
    fn start(&mut self, jobs: Vec<ClaimedJob>, sent_ms: u64) -> Vec<u32> {
        let mut got = vec![0; self.lanes.len()];
        if jobs.is_empty() {
            return got;
        }
        let working = self.stopping.phase() == Phase::Working;
        let registry = self.registry.clone();
        let now = Instant::now();
        let mut all = registry.lock();
        for job in jobs {
            let lease = job.lease;
            let lane = self.lanes.of(&job.queue);
            if let Some(lane) = lane {
                got[lane] += 1;
            }
            let Some(lane) = lane.filter(|_| working) else {
                self.settles.push(Settle::Release { lease, reason: ReleaseReason::Shutdown });
                self.stopping.returned_unstarted();
                continue;
            };
            if self.routes.of(job.kind.as_str()).is_none() {
                tracing::warn!(job = %lease.job, kind = %job.kind, "no handler for this kind; given back");
                self.settles.push(Settle::Release { lease, reason: ReleaseReason::NoHandler });
                continue;
            }
            registry.shortest(job.lease_ms);
            let timeout = self.routes.timeout(job.kind.as_str(), job.timeout_ms);
            let done = Some(self.done_sender.clone());
            let held = Arc::new(Held::new(job, self.client.clone(), lane, timeout, done, sent_ms));
            all.insert(lease.token, held.clone());
            if self.lanes.has_slot(lane) {
                self.begin(held);
            } else {
                self.lanes.waits(lane);
                self.ahead.push(held, now);
            }
        }
        got
    }

    /// Keeps one watch on the lanes that are dry and have room, and on nothing else.
    fn watch_dry(&mut self) {
        if self.pause_until.is_some() || (self.watch_from.is_some() && self.watch.is_none()) {
            return;
        }
        let dry = match self.stopping.phase() {
            Phase::Working => self.lanes.thirsty(),
            _ => Vec::new(),
        };
        if self.watch.is_some() && dry == self.watched {
            return;
        }
        let queues = dry.iter().map(|&lane| (self.lanes.name(lane).clone(), self.lanes.free(lane))).collect();
        let watch = Watch { worker: self.worker, queues };
        let store = self.client.store().clone();
        self.watch = Some(Box::pin(async move { store.watch(watch).await }));
        self.watched = dry;
    }

    fn signalled(&mut self, signal: Result<Signal, StoreError>) {
        self.watch = None;
        match signal {
            Ok(Signal::Work) => {
                self.rings += 1;
                self.lanes.wet();
            }
            // Asked to stop, or no longer current? The heartbeat knows, and it does not wait its turn.
            Ok(Signal::Cancel(_)) => self.registry.beat_now(),
            Ok(Signal::Drain) => self.stopping.stop(None, Instant::now()),
            Err(error) => self.pause(&error),
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Concurrency { lane, slots } => {
                self.lanes.set_slots(lane, slots);
                self.fill(lane);
                self.greet_soon();
            }
            Order::Stop { grace } => self.stopping.stop(grace, Instant::now()),
        }
    }

    /// Takes the shutdown as far as it goes now; true when everything is over.
    fn stop_further(&mut self, now: Instant) -> bool {
        if self.stopping.phase() == Phase::Working {
            return false;
        }
        let waiting = self.ahead.all();
        self.give_back(waiting, ReleaseReason::Shutdown);
        let unsettled = self.unsettled();
        let running: Vec<_> = {
            let all = self.registry.lock();
            all.values().filter(|held| !unsettled.contains(&held.job.lease.token)).cloned().collect()
        };
        let quiet = unsettled.is_empty() && self.flights.is_empty();
        for held in self.stopping.further(now, &running, quiet) {
            let lease = held.job.lease;
            self.settles.push(Settle::Release { lease, reason: ReleaseReason::Shutdown });
        }
        self.stopping.phase() == Phase::Over
    }

    /// Leases whose attempt has ended and whose end the store has not taken yet.
    fn unsettled(&self) -> HashSet<LeaseToken> {
        let flying = self.flights.iter().flat_map(|flight| &flight.settles);
        let waiting = self.settles.iter().chain(self.later.iter().map(|(_, settle)| settle));
        waiting.chain(flying).map(|settle| settle.lease().token).collect()
    }
}

fn poll_flights(flights: &mut [Flight], cx: &mut Context<'_>) -> Poll<(usize, Answer)> {
    for (place, flight) in flights.iter_mut().enumerate() {
        if let Poll::Ready(answer) = flight.answer.as_mut().poll(cx) {
            return Poll::Ready((place, answer));
        }
    }
    Poll::Pending
}

/// What a settlement weighs in a call.
fn bytes_of(settle: &Settle) -> usize {
    match settle {
        Settle::Complete { result, then, .. } => {
            let follow_ups: usize = then.iter().map(|job| job.payload.len()).sum();
            result.as_ref().map_or(0, Vec::len) + follow_ups
        }
        Settle::Fail { error, .. } => error.message.len() + error.detail.as_ref().map_or(0, String::len),
        Settle::Snooze { .. } | Settle::Release { .. } => 0,
    }
}

/// Tells whoever waits that the worker has ended; dropped unsaid, its leases are given back by the
/// heartbeat's thread.
struct Goodbye {
    registry: Arc<Registry>,
    control: Arc<Control>,
    said: bool,
}

impl Goodbye {
    fn say(mut self, report: ShutdownReport) -> ShutdownReport {
        self.said = true;
        self.registry.end();
        self.control.end(Some(report));
        report
    }
}

impl Drop for Goodbye {
    fn drop(&mut self) {
        if !self.said {
            self.registry.drop_all();
            self.control.end(None);
        }
    }
}

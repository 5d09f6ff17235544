//! The worker: handlers, the queues they work on, and the handle on it while it runs.
//!
//! One dispatcher task ([`dispatch`]) claims and settles for all queues of the worker; every attempt is
//! a task of its own ([`attempt`]); heartbeats have a thread ([`beat`]); a shutdown has a timetable
//! ([`stop`]). This module is what users see of them.

mod ahead;
mod attempt;
mod beat;
mod dispatch;
mod lanes;
mod stop;

pub(crate) use attempt::{Ended, Routes};
#[cfg(feature = "embedded")]
pub(crate) use attempt::{by_error, by_outcome, settle};
pub use stop::ShutdownReport;

use crate::client::Client;
use crate::error::Error;
use crate::handler::{
    self, Arguments, Attempt, BlockingHandler, Handler, HandlerFuture, HandlerService, Plain, RawFirst,
};
use crate::ids;
use crate::job::Job;
use crate::outcome::{IntoOutcome, Outcome};
use attempt::Route;
use beat::Registry;
use dispatch::Dispatcher;
use lanes::Lanes;
use std::collections::HashMap;
use std::error::Error as StdError;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tower::{Layer, Service};
use windlass_core::name::check_name;
use windlass_core::{QueueName, WorkerId};

/// How long handlers have to finish in a shutdown unless the worker says otherwise.
const GRACE: Duration = Duration::from_secs(30);
/// Steps of upkeep asked for at once, for stores whose workers do it.
const UPKEEP_BUDGET: usize = 1_000;
/// The longest pause between two rounds of upkeep: what other processes enqueue may be due at any time.
const UPKEEP_MS_MAX: u64 = 250;
/// The shortest one while something is due soon.
const UPKEEP_MS_MIN: u64 = 5;

/// A worker in the making.
///
/// ```no_run
/// # use serde::{Deserialize, Serialize};
/// use windlass::{Ctx, JobError, State};
/// # #[derive(Clone)] struct Mailer;
/// # impl Mailer { async fn send(&self, to: &str) -> Result<(), std::io::Error> { Ok(()) } }
///
/// #[derive(Serialize, Deserialize, windlass::Job)]
/// #[job(queue = "email")]
/// struct SendEmail { to: String }
///
/// async fn send(job: SendEmail, State(mailer): State<Mailer>, cx: Ctx) -> Result<(), JobError> {
///     cx.log(format!("attempt {}", cx.attempt()));
///     mailer.send(&job.to).await?; // an error is retried by the job's policy
///     Ok(())
/// }
///
/// # async fn doc(client: windlass::Client, mailer: Mailer) -> Result<(), windlass::Error> {
/// let worker = client.worker(mailer).queue("email", 30).handle(send).start().await?;
/// let report = worker.shutdown_on(std::future::pending::<()>()).await;
/// # Ok(()) }
/// ```
#[must_use = "a worker does nothing until it is started"]
pub struct WorkerBuilder<S> {
    client: Client,
    state: S,
    queues: Vec<(QueueName, u32)>,
    routes: HashMap<String, Route>,
    any: Option<Route>,
    timeouts: Vec<(&'static str, Duration)>,
    layers: Vec<Box<dyn Fn(HandlerService) -> HandlerService + Send>>,
    timeout: Option<Duration>,
    grace: Duration,
    host: Option<String>,
    fault: Option<Error>,
}

impl<S: Clone + Send + Sync + 'static> WorkerBuilder<S> {
    pub(crate) fn new(client: Client, state: S) -> Self {
        Self {
            client,
            state,
            queues: Vec::new(),
            routes: HashMap::new(),
            any: None,
            timeouts: Vec::new(),
            layers: Vec::new(),
            timeout: None,
            grace: GRACE,
            host: None,
            fault: None,
        }
    }

    /// Works on that queue with at most that many handlers at once in this worker. Queues named first
    /// are preferred. The number can be changed while it runs.
    ///
    /// While handlers end faster than the store answers, the worker holds more jobs than it runs: about as many as end
    /// until the next answer. One that it cannot start within 100 ms goes back to the tail of its queue, no try spent.
    pub fn queue(mut self, name: impl AsRef<str>, concurrency: u32) -> Self {
        match QueueName::new(name) {
            Ok(name) if self.queues.iter().any(|(other, _)| *other == name) => {
                self.fail(format!("queue {name} is named twice"));
            }
            Ok(name) => self.queues.push((name, concurrency)),
            Err(rejection) => self.fault = self.fault.take().or(Some(rejection.into())),
        }
        self
    }

    /// Handles the kind of the handler's job, and its aliases.
    pub fn handle<Args, H>(self, handler: H) -> Self
    where
        H: Handler<Args, Answer: IntoOutcome>,
        Args: Arguments<S> + 'static,
    {
        let call = move |attempt: Attempt, state: &S| handler::call(&handler, &attempt, state);
        let kinds = Args::kinds().into_iter().map(String::from).collect();
        self.route(kinds, call)
    }

    /// Handles the kind of the handler's job on a thread that may block.
    ///
    /// A thread cannot be stopped: at its timeout the attempt fails, its thread goes on and keeps its
    /// slot until it comes back. Look at [`Ctx::is_cancelled`](crate::Ctx::is_cancelled) in long loops.
    pub fn handle_blocking<Args, H>(self, handler: H) -> Self
    where
        H: BlockingHandler<Args, Answer: IntoOutcome>,
        Args: Arguments<S> + Send + 'static,
    {
        let call = move |attempt: Attempt, state: &S| handler::call_blocking(&handler, attempt, state);
        let kinds = Args::kinds().into_iter().map(String::from).collect();
        self.route(kinds, call)
    }

    /// Handles jobs of that kind whose payload the handler reads itself: its first argument is a
    /// [`RawJob`](crate::RawJob).
    pub fn handle_kind<Args, H>(mut self, kind: impl Into<String>, handler: H) -> Self
    where
        H: Handler<Args, Answer: IntoOutcome>,
        Args: Arguments<S> + RawFirst + 'static,
    {
        let kind = kind.into();
        if let Err(rejection) = check_name("kind", &kind) {
            self.fault = self.fault.take().or(Some(rejection.into()));
        }
        let call = move |attempt: Attempt, state: &S| handler::call(&handler, &attempt, state);
        self.route(vec![kind], call)
    }

    /// Handles jobs of every kind that has no handler of its own, as a worker does that only hands jobs on: its first
    /// argument is a [`RawJob`](crate::RawJob). Without it, a job of an unknown kind goes back to its queue, for a newer
    /// worker.
    pub fn handle_any<Args, H>(mut self, handler: H) -> Self
    where
        H: Handler<Args, Answer: IntoOutcome>,
        Args: Arguments<S> + RawFirst + 'static,
    {
        let call = move |attempt: Attempt, state: &S| handler::call(&handler, &attempt, state);
        let service = HandlerService::new(Arc::new(Plain { call, state: self.state.clone() }));
        if self.any.replace(Route { service, timeout: None }).is_some() {
            self.fail("two handlers are for any kind".into());
        }
        self
    }

    fn route(
        mut self,
        kinds: Vec<String>,
        call: impl Fn(Attempt, &S) -> HandlerFuture + Send + Sync + 'static,
    ) -> Self {
        let service = HandlerService::new(Arc::new(Plain { call, state: self.state.clone() }));
        if kinds.is_empty() {
            self.fail("a handler of `RawJob` is registered by `handle_kind`, which names its kind, or by `handle_any`".into());
        }
        for kind in kinds {
            let route = Route { service: service.clone(), timeout: None };
            if self.routes.insert(kind.clone(), route).is_some() {
                self.fail(format!("kind {kind} has two handlers"));
            }
        }
        self
    }

    fn fail(&mut self, why: String) {
        self.fault = self.fault.take().or(Some(Error::Worker(why)));
    }

    /// Puts a tower layer around every handler; the one added last is the outermost.
    ///
    /// Its service gets an [`Attempt`] and answers with an [`Outcome`]. Retries and rate limits are not
    /// layers: they belong to the store, which survives this process.
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<HandlerService> + Send + 'static,
        L::Service: Service<Attempt, Response = Outcome> + Clone + Send + Sync + 'static,
        <L::Service as Service<Attempt>>::Error: Into<Box<dyn StdError + Send + Sync>>,
        <L::Service as Service<Attempt>>::Future: Send,
    {
        self.layers.push(Box::new(move |inner| HandlerService::of(layer.layer(inner))));
        self
    }

    /// How long an attempt may take whose job and handler say nothing about it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long an attempt of that job may take unless the job itself says otherwise.
    pub fn timeout_for<J: Job>(mut self, timeout: Duration) -> Self {
        self.timeouts.push((J::KIND, timeout));
        self
    }

    /// How long handlers have to finish in a shutdown (30 s).
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Where it works, as people see it in a list of workers: the machine's name unless said. It is a name like a
    /// queue's.
    pub fn host(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        if let Err(rejection) = check_name("worker", &name) {
            self.fault = self.fault.take().or(Some(rejection.into()));
        }
        self.host = Some(name);
        self
    }

    /// What it runs and where, for the worker and for tests.
    pub(crate) fn into_parts(mut self) -> Result<Parts, Error> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        for (kind, timeout) in self.timeouts {
            match self.routes.get_mut(kind) {
                Some(route) => route.timeout = Some(timeout),
                None => return Err(Error::Worker(format!("kind {kind} has a timeout but no handler"))),
            }
        }
        for route in self.routes.values_mut().chain(&mut self.any) {
            for layer in &self.layers {
                route.service = layer(route.service.clone());
            }
        }
        let routes = Arc::new(Routes::new(self.routes, self.any, self.timeout));
        Ok(Parts { client: self.client, queues: self.queues, routes, grace: self.grace })
    }

    /// Starts it on the current tokio runtime, whose timers have to be enabled.
    ///
    /// # Errors
    /// A worker without queues or handlers, a bad name, two handlers of one kind, or no thread for the
    /// heartbeats.
    pub async fn start(mut self) -> Result<RunningWorker, Error> {
        let named = self.host.take();
        let no_handlers = self.routes.is_empty() && self.any.is_none();
        let Parts { client, queues, routes, grace } = self.into_parts()?;
        if queues.is_empty() {
            return Err(Error::Worker("it has no queue: call `queue(name, concurrency)`".into()));
        }
        if no_handlers {
            return Err(Error::Worker("it has no handler: call `handle(function)`".into()));
        }
        let id = WorkerId(ids::random());
        let registry = Arc::new(Registry::new());
        beat::spawn(registry.clone(), client.store().clone(), id)
            .map_err(|fault| Error::Worker(format!("no thread for its heartbeats: {fault}")))?;
        let (orders, inbox) = mpsc::unbounded_channel();
        let names = queues.iter().map(|(name, _)| name.clone()).collect();
        let control = Arc::new(Control { orders, queues: names, ended: watch::Sender::new(Life::Works) });
        client.add_worker(&control);
        if !client.runs_own_upkeep() {
            tokio::spawn(upkeep(client.clone(), control.clone()));
        }
        let host = match named {
            Some(host) => host,
            None => host().await,
        };
        let lanes = Lanes::new(queues);
        let dispatcher =
            Dispatcher::new(client, id, host, routes, control.clone(), registry, lanes, inbox, grace);
        tokio::spawn(dispatcher.run());
        Ok(RunningWorker { id, control })
    }
}

/// What a worker is made of.
pub(crate) struct Parts {
    pub(crate) client: Client,
    pub(crate) queues: Vec<(QueueName, u32)>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) grace: Duration,
}

/// The machine's name, for people who look at a list of workers.
async fn host() -> String {
    let read = || {
        let name = std::env::var("HOSTNAME").ok();
        let name = name.or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok());
        name.map(|name| name.trim().to_owned()).filter(|name| check_name("worker", name).is_ok())
    };
    read().unwrap_or_else(|| "unknown".into())
}

/// What the dispatcher is told while it works.
pub(crate) enum Order {
    Concurrency { lane: usize, slots: u32 },
    Stop { grace: Option<Duration> },
}

#[derive(Clone, Copy)]
enum Life {
    Works,
    Ended(Option<ShutdownReport>),
}

/// What the handles of a worker share with it.
pub(crate) struct Control {
    orders: mpsc::UnboundedSender<Order>,
    queues: Vec<QueueName>,
    ended: watch::Sender<Life>,
}

impl Control {
    /// Begins the shutdown, with the worker's own grace unless one is given.
    pub(crate) fn stop(&self, grace: Option<Duration>) {
        // A worker that has ended needs no telling.
        let _ = self.orders.send(Order::Stop { grace });
    }

    /// Waits until it has ended; no report when its runtime ended first.
    pub(crate) async fn ended(&self) -> Option<ShutdownReport> {
        let mut ended = self.ended.subscribe();
        match ended.wait_for(|life| matches!(life, Life::Ended(_))).await.map(|life| *life) {
            Ok(Life::Ended(report)) => report,
            _ => None,
        }
    }

    fn end(&self, report: Option<ShutdownReport>) {
        self.ended.send_replace(Life::Ended(report));
    }
}

/// A worker at work. Dropping it begins a shutdown in the background; to see it through, await
/// [`RunningWorker::shutdown`].
#[must_use = "dropping it shuts the worker down"]
pub struct RunningWorker {
    id: WorkerId,
    control: Arc<Control>,
}

impl std::fmt::Debug for RunningWorker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunningWorker").field("id", &self.id).finish_non_exhaustive()
    }
}

impl RunningWorker {
    /// Its random id, as the store knows it.
    pub fn id(&self) -> WorkerId {
        self.id
    }

    /// Changes how many handlers of that queue run at once. Lowering it stops none: no new ones start
    /// until fewer run.
    ///
    /// # Errors
    /// A queue that the worker does not work on, or a worker that has ended.
    pub fn set_concurrency(&self, queue: &str, concurrency: u32) -> Result<(), Error> {
        let lane = self.control.queues.iter().position(|name| name.as_str() == queue);
        let lane = lane.ok_or_else(|| Error::Worker(format!("it does not work on queue {queue:?}")))?;
        let order = Order::Concurrency { lane, slots: concurrency };
        self.control.orders.send(order).map_err(|_| Error::Worker("it has ended".into()))
    }

    /// Stops claiming, lets handlers finish within the grace, asks the rest to stop, gives their jobs
    /// back without a try spent, and says what came of it.
    pub async fn shutdown(self) -> ShutdownReport {
        self.control.stop(None);
        self.control.ended().await.unwrap_or_default()
    }

    /// As [`RunningWorker::shutdown`] with that grace.
    pub async fn shutdown_within(self, grace: Duration) -> ShutdownReport {
        self.control.stop(Some(grace));
        self.control.ended().await.unwrap_or_default()
    }

    /// Works until the signal comes, or until its store shuts down, and then shuts down.
    pub async fn shutdown_on(self, signal: impl Future) -> ShutdownReport {
        tokio::select! {
            _ = signal => self.shutdown().await,
            report = self.control.ended() => report.unwrap_or_default(),
        }
    }
}

impl Drop for RunningWorker {
    fn drop(&mut self) {
        self.control.stop(None);
    }
}

/// Does the upkeep of a store that leaves it to its workers, until this one ends.
async fn upkeep(client: Client, control: Arc<Control>) {
    let work = async {
        loop {
            let wait_ms = match client.store().upkeep(UPKEEP_BUDGET, None).await {
                Ok(report) => report.next_due.map_or(UPKEEP_MS_MAX, |due| due.since(client.now())),
                Err(error) => {
                    tracing::warn!(%error, "upkeep failed; it is tried again");
                    UPKEEP_MS_MAX
                }
            };
            let wait_ms = wait_ms.clamp(UPKEEP_MS_MIN, UPKEEP_MS_MAX);
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        }
    };
    tokio::select! {
        () = work => {}
        _ = control.ended() => {}
    }
}

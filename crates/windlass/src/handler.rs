//! From a plain function to something that runs attempts.
//!
//! A handler is an async function whose first argument is its job, by value, followed by at most three
//! of [`State`] and [`Ctx`]. What it asks for is checked when it is compiled; there is nothing that a
//! missing piece of state could do at run time. Extractors neither wait nor fail: whatever can go
//! wrong happens inside the handler, under the job's retry policy.

use crate::ctx::Ctx;
use crate::job::Job;
use crate::outcome::{IntoOutcome, JobError, Outcome};
use std::error::Error as StdError;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use tower::Service;
use windlass_core::{JobId, Kind, QueueName};

/// A running handler.
pub type HandlerFuture = Pin<Box<dyn Future<Output = Result<Outcome, JobError>> + Send>>;

/// One attempt on its way to its handler, as tower layers see it.
#[derive(Clone, Debug)]
pub struct Attempt {
    cx: Ctx,
}

impl Attempt {
    pub(crate) fn new(cx: Ctx) -> Self {
        Self { cx }
    }

    /// The context that the handler gets.
    pub fn cx(&self) -> &Ctx {
        &self.cx
    }

    /// The job's id.
    pub fn id(&self) -> JobId {
        self.cx.id()
    }

    /// The job's kind.
    pub fn kind(&self) -> &Kind {
        self.cx.kind()
    }

    /// The job's queue.
    pub fn queue(&self) -> &QueueName {
        self.cx.queue()
    }
}

/// What the first argument of a handler may be: a [`Job`], or a [`RawJob`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a job, so it cannot be a handler's first argument",
    label = "not a job",
    note = "add `#[derive(serde::Serialize, serde::Deserialize, windlass::Job)]` to `{Self}`",
    note = "a handler's first argument is its job, by value; `State<T>` and `Ctx` follow"
)]
pub trait Payload: Sized + Send + 'static {
    /// The kinds that it decodes; none means whatever it is registered for.
    #[doc(hidden)]
    fn kinds() -> Vec<&'static str>;
    /// The arguments of the attempt.
    ///
    /// # Errors
    /// A payload of another shape; the job goes back to the queue for a newer worker.
    #[doc(hidden)]
    fn decode(attempt: &Attempt) -> Result<Self, JobError>;
}

impl<J: Job> Payload for J {
    fn kinds() -> Vec<&'static str> {
        std::iter::once(J::KIND).chain(J::ALIASES.iter().copied()).collect()
    }

    fn decode(attempt: &Attempt) -> Result<Self, JobError> {
        serde_json::from_slice(attempt.cx.payload())
            .map_err(|cause| JobError::undecodable(attempt.kind().as_str(), &cause))
    }
}

/// A job whose payload the handler reads itself; see [`WorkerBuilder::handle_kind`](crate::WorkerBuilder::handle_kind).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawJob {
    /// Its kind.
    pub kind: Kind,
    /// Its payload as it came.
    pub payload: Vec<u8>,
}

impl Payload for RawJob {
    fn kinds() -> Vec<&'static str> {
        Vec::new()
    }

    fn decode(attempt: &Attempt) -> Result<Self, JobError> {
        Ok(Self { kind: attempt.kind().clone(), payload: attempt.cx.payload().to_vec() })
    }
}

/// What the further arguments of a handler may be: [`State`] and [`Ctx`]. It cannot fail and does not
/// wait.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a handler of a worker whose state is `{S}`",
    label = "neither `State<T>` nor `Ctx`",
    note = "the job comes first, by value; further arguments are `State<T>` (with `T: FromRef<{S}>`) and `Ctx`"
)]
pub trait FromAttempt<S>: Sized {
    /// The argument.
    fn from_attempt(attempt: &Attempt, state: &S) -> Self;
}

impl<S> FromAttempt<S> for Ctx {
    fn from_attempt(attempt: &Attempt, _: &S) -> Self {
        attempt.cx.clone()
    }
}

/// A part of the worker's state.
#[derive(Clone, Copy, Debug, Default)]
pub struct State<T>(pub T);

impl<T: FromRef<S>, S> FromAttempt<S> for State<T> {
    fn from_attempt(_: &Attempt, state: &S) -> Self {
        State(T::from_ref(state))
    }
}

/// How a handler's `State<T>` comes out of the worker's whole state; every state gives itself.
#[diagnostic::on_unimplemented(
    message = "a worker whose state is `{S}` has no `{Self}` to give to a handler",
    label = "not part of the worker's state",
    note = "pass a state that holds it to `client.worker(…)` and implement `FromRef<{S}>` for `{Self}`"
)]
pub trait FromRef<S> {
    /// The part, cloned.
    fn from_ref(state: &S) -> Self;
}

impl<T: Clone> FromRef<T> for T {
    fn from_ref(state: &T) -> T {
        state.clone()
    }
}

/// An async function of one to four arguments; what they may be is told by [`Arguments`], what it may
/// return by [`IntoOutcome`].
#[diagnostic::on_unimplemented(
    message = "this is not a handler",
    label = "not an async function of a job by value",
    note = "a handler is an async function `async fn(job: MyJob[, State<T>][, Ctx]) -> ()`, or `-> Result<(), E>`, or `-> Result<Outcome, JobError>`",
    note = "it takes at most four arguments, each by value; it is `Clone`, and its future is `Send`",
    note = "a function that blocks belongs in `handle_blocking`"
)]
pub trait Handler<Args>: Clone + Send + Sync + 'static {
    /// What it returns.
    type Answer;
    /// What it does.
    type Future: Future<Output = Self::Answer> + Send + 'static;
    /// One attempt.
    #[doc(hidden)]
    fn call(&self, arguments: Args) -> Self::Future;
}

/// A function that blocks its thread, of the same arguments as a [`Handler`].
#[diagnostic::on_unimplemented(
    message = "this is not a blocking handler",
    label = "not a function of a job by value",
    note = "a blocking handler is a function `fn(job: MyJob[, State<T>][, Ctx]) -> ()`, or `-> Result<(), E>`, or `-> Result<Outcome, JobError>`",
    note = "an async function belongs in `handle`"
)]
pub trait BlockingHandler<Args>: Clone + Send + Sync + 'static {
    /// What it returns.
    type Answer;
    /// One attempt, on a thread that may block.
    #[doc(hidden)]
    fn call(&self, arguments: Args) -> Self::Answer;
}

/// The arguments of a handler: its job, then [`State`] and [`Ctx`] in any order.
#[diagnostic::on_unimplemented(
    message = "these are not the arguments of a handler of a worker whose state is `{S}`",
    label = "not a job followed by `State<T>` and `Ctx`"
)]
pub trait Arguments<S>: Sized {
    /// The kinds that its job decodes.
    #[doc(hidden)]
    fn kinds() -> Vec<&'static str>;
    /// What one attempt gives.
    ///
    /// # Errors
    /// A payload of another shape.
    #[doc(hidden)]
    fn of(attempt: &Attempt, state: &S) -> Result<Self, JobError>;
}

/// Arguments of a handler that begin with a [`RawJob`].
#[diagnostic::on_unimplemented(
    message = "a handler that is registered by kind takes a `RawJob` first",
    label = "its first argument is not `RawJob`",
    note = "a handler of a `windlass::Job` is registered by `handle`, which knows its kind"
)]
pub trait RawFirst {}

macro_rules! handlers {
    ($(($($arg:ident),*))*) => {$(
        impl<F, Fut, P, $($arg),*> Handler<(P, $($arg,)*)> for F
        where
            F: Fn(P, $($arg),*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future + Send + 'static,
        {
            type Answer = Fut::Output;
            type Future = Fut;

            #[allow(non_snake_case)]
            fn call(&self, (payload, $($arg,)*): (P, $($arg,)*)) -> Fut {
                self(payload, $($arg),*)
            }
        }

        impl<F, R, P, $($arg),*> BlockingHandler<(P, $($arg,)*)> for F
        where
            F: Fn(P, $($arg),*) -> R + Clone + Send + Sync + 'static,
        {
            type Answer = R;

            #[allow(non_snake_case)]
            fn call(&self, (payload, $($arg,)*): (P, $($arg,)*)) -> R {
                self(payload, $($arg),*)
            }
        }

        impl<S, P: Payload, $($arg: FromAttempt<S>),*> Arguments<S> for (P, $($arg,)*) {
            fn kinds() -> Vec<&'static str> {
                P::kinds()
            }

            fn of(attempt: &Attempt, _state: &S) -> Result<Self, JobError> {
                Ok((P::decode(attempt)?, $($arg::from_attempt(attempt, _state),)*))
            }
        }

        impl<$($arg),*> RawFirst for (RawJob, $($arg,)*) {}
    )*};
}

handlers! { () (A1) (A1, A2) (A1, A2, A3) }

/// One attempt by an async handler.
pub(crate) fn call<S, Args, H>(handler: &H, attempt: &Attempt, state: &S) -> HandlerFuture
where
    H: Handler<Args>,
    H::Answer: IntoOutcome,
    Args: Arguments<S>,
{
    match Args::of(attempt, state) {
        Ok(arguments) => {
            let running = handler.call(arguments);
            Box::pin(async move { running.await.into_outcome() })
        }
        Err(fault) => Box::pin(std::future::ready(Err(fault))),
    }
}

/// One attempt by a blocking handler.
pub(crate) fn call_blocking<S, Args, H>(handler: &H, attempt: Attempt, state: &S) -> HandlerFuture
where
    H: BlockingHandler<Args>,
    H::Answer: IntoOutcome,
    Args: Arguments<S> + Send + 'static,
{
    match Args::of(&attempt, state) {
        Ok(arguments) => {
            let handler = handler.clone();
            on_a_thread(attempt, move || handler.call(arguments).into_outcome())
        }
        Err(fault) => Box::pin(std::future::ready(Err(fault))),
    }
}

/// No thread works on the attempt, or the worker was told of its end.
pub(crate) const THREAD_NONE: u8 = 0;
/// A thread works on the attempt.
pub(crate) const THREAD_RUNS: u8 = 1;
/// The attempt was settled (timeout, lost lease) while its thread still works: it holds its slot.
pub(crate) const THREAD_LEFT: u8 = 2;

/// Runs a blocking handler; its panic is that of the attempt.
fn on_a_thread(
    attempt: Attempt,
    work: impl FnOnce() -> Result<Outcome, JobError> + Send + 'static,
) -> HandlerFuture {
    struct End(Ctx);
    impl Drop for End {
        fn drop(&mut self) {
            let held = self.0.held();
            if held.thread.swap(THREAD_NONE, Ordering::SeqCst) == THREAD_LEFT {
                held.thread_ended();
            }
        }
    }
    let cx = attempt.cx;
    cx.held().thread.store(THREAD_RUNS, Ordering::SeqCst);
    let end = End(cx);
    let span = tracing::Span::current();
    let running = tokio::task::spawn_blocking(move || {
        let (end, _inside) = (end, span.enter());
        // It may have waited for a thread until its time was up or its lease was gone.
        if end.0.held().is_over() {
            return Err(JobError::cancelled());
        }
        work()
    });
    Box::pin(async move {
        match running.await {
            Ok(done) => done,
            Err(fault) => match fault.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(fault) => Err(JobError::from(fault)),
            },
        }
    })
}

/// Something that runs attempts of every kind alike: a handler, or layers around one.
pub(crate) trait Run: Send + Sync {
    fn run(&self, attempt: Attempt) -> HandlerFuture;
}

/// A handler as a tower service; what a layer is put around.
#[derive(Clone)]
pub struct HandlerService {
    run: Arc<dyn Run>,
}

impl HandlerService {
    pub(crate) fn new(run: Arc<dyn Run>) -> Self {
        Self { run }
    }

    pub(crate) fn run(&self, attempt: Attempt) -> HandlerFuture {
        self.run.run(attempt)
    }

    /// Any tower service of attempts as a handler again.
    pub(crate) fn of<L>(service: L) -> Self
    where
        L: Service<Attempt, Response = Outcome> + Clone + Send + Sync + 'static,
        L::Error: Into<Box<dyn StdError + Send + Sync>>,
        L::Future: Send,
    {
        Self { run: Arc::new(Layered(service)) }
    }
}

impl Service<Attempt> for HandlerService {
    type Response = Outcome;
    type Error = JobError;
    type Future = HandlerFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), JobError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, attempt: Attempt) -> HandlerFuture {
        self.run.run(attempt)
    }
}

pub(crate) struct Plain<F, S> {
    pub(crate) call: F,
    pub(crate) state: S,
}

impl<F, S> Run for Plain<F, S>
where
    F: Fn(Attempt, &S) -> HandlerFuture + Send + Sync,
    S: Send + Sync,
{
    fn run(&self, attempt: Attempt) -> HandlerFuture {
        (self.call)(attempt, &self.state)
    }
}

struct Layered<L>(L);

impl<L> Run for Layered<L>
where
    L: Service<Attempt, Response = Outcome> + Clone + Send + Sync + 'static,
    L::Error: Into<Box<dyn StdError + Send + Sync>>,
    L::Future: Send,
{
    fn run(&self, attempt: Attempt) -> HandlerFuture {
        let mut service = self.0.clone();
        Box::pin(async move {
            let fault = |error: L::Error| JobError::from_boxed(error.into());
            poll_fn(|cx| service.poll_ready(cx)).await.map_err(fault)?;
            service.call(attempt).await.map_err(fault)
        })
    }
}

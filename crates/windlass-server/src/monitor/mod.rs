//! The monitor: rules over what the store keeps count of, and notices before customers notice.
//!
//! The story of one finding: a look at the store (`sight`) is held against the rules (`rules`, `checks`). What is so and
//! was not becomes an incident, pending until it has been so for as long as its rule says, then firing, and recovered
//! once it is no longer so (`course`, which is pure). Each change gathers at the channels that the rule names; what has
//! gathered goes out as one notice (`post`, `notice`, `channel`).
//!
//! No look scans: it reads counts, ages, series and modes that the store keeps, and only those that some rule asks for.
//! A look comes a second after the event log has moved, at the earliest, and otherwise every [`LOOK`].
//!
//! All of it is kept by the store (`record`), so a restart forgets nothing. Servers on the same store look each for
//! itself, write what they found by compare-and-set, and whoever is first has found it; a notice belongs to the server
//! that took it until it has gone out.

mod channel;
mod checks;
mod config;
mod course;
mod modes;
mod notice;
mod post;
mod record;
mod rules;
mod sight;
mod silent;
#[cfg(test)]
mod tests;
mod verbs;

use std::sync::Weak;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use windlass_core::Time;
use windlass_core::event::Cursor;
use windlass_core::store::From;

use crate::answer::Fault;
use crate::app::{App, Inner};

use channel::Channels;

pub(crate) use verbs::{
    acknowledge, channel, channels, channels_shown, incidents, incidents_shown, remove_channel, remove_rule,
    rule, rules, set_channel, set_rule, silence, test,
};

/// The shortest time between two looks.
const SOONEST: Duration = Duration::from_secs(1);
/// How often it looks though nothing happens: ages grow by themselves.
const LOOK: Duration = Duration::from_secs(10);
/// How many times as long as a look took passes before the next one: the rest of the store's time is others'.
const GENTLY: u32 = 20;

/// What a server knows of its own monitor.
#[derive(Default)]
pub(crate) struct Monitor {
    /// Rung when a rule or a channel was changed.
    rung: Notify,
    /// Who this server is among those on the store.
    me: Me,
    /// What is done while the store does not answer.
    silent: silent::Silent,
    /// The ways out.
    channels: Channels,
}

/// A name for this server that no other has, made at random.
struct Me(String);

impl Default for Me {
    fn default() -> Self {
        let hash = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0u8);
        Self(format!("{hash:016x}"))
    }
}

impl Monitor {
    /// A monitor whose notices go where that guard lets them.
    pub(crate) fn reaching(guard: windlass_webhook::Guard) -> Self {
        Self { channels: Channels::by(guard), ..Self::default() }
    }

    /// Lets the next look come at once.
    fn ring(&self) {
        self.rung.notify_one();
    }
}

/// One look: what it found is written down, and what is due is on its way when this returns.
pub(crate) async fn look(app: &App, now: Time) -> Result<Vec<tokio::task::JoinHandle<()>>, Fault> {
    let config = config::read(app).await?;
    app.monitor().silent.remember(&config);
    let sight = sight::Sight::of(app, &config, now).await?;
    let me = &app.monitor().me.0;
    let due = record::change(app, |record| {
        course::go_on(record, &config, &sight, || app.client().new_id().to_string());
        Ok(post::take_due(record, &config, me, now))
    })
    .await?;
    Ok(due.into_iter().map(|due| tokio::spawn(post::deliver(app.clone(), due, now))).collect())
}

/// Looks again and again, for as long as the server is there.
pub(crate) async fn keep(app: Weak<Inner>) {
    let mut log = None;
    let mut looked: Option<Instant> = None;
    loop {
        let Some(app) = app.upgrade().map(App::of) else { return };
        let (drain, monitor) = (app.drain().clone(), app.shared_monitor());
        let began = Instant::now();
        if moved(&app, &mut log).await || looked.is_none_or(|at| at.elapsed() >= LOOK) {
            looked = Some(began);
            let now = app.client().now();
            let answer = look(&app, now).await;
            if let Err(fault) = &answer {
                tracing::debug!(why = fault.0.detail, "the monitor sees nothing");
            }
            silent::go_on(&app, answer.err(), now).await;
        }
        drop(app);
        let pause = (began.elapsed() * GENTLY).max(SOONEST);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = monitor.rung.notified() => looked = None,
            () = drain.begun() => return,
        }
    }
}

/// Whether something has happened since the last time. Events are not read: that there are some is enough.
async fn moved(app: &App, log: &mut Option<Cursor>) -> bool {
    let newer = match *log {
        None => true,
        Some(at) => match app.store().events(From::After(at), 1, 0).await {
            Ok(Ok(page)) => !page.events.is_empty() || page.gap,
            // A place that is no longer kept has been passed as well; a store that is silent is looked at.
            _ => true,
        },
    };
    if newer {
        *log = match app.store().events(From::Latest, 1, 0).await {
            Ok(Ok(page)) => Some(page.next),
            _ => None,
        };
    }
    newer
}

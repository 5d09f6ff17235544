//! The named limits of the queue that stand for senders, providers and recipients' domains.
//!
//! They hold over all workers and queues at once. A job that sends a message takes one of its sender's, one of its
//! provider's, and one of its recipient's domain where that has a limit. Where all campaigns stand in one line, each of a
//! campaign's jobs takes one of its campaign's besides: there is such a limit while it is paused, and it admits nothing
//! ([`super::share`]).

use windlass::core::{Rejection, limit::LimitSettings, rate::Rate};

use super::paces;
use crate::{
    app::{App, AppError},
    channel::pace::Pace,
    model::{CampaignId, ProviderId, SenderId, provider::Provider, sender::Sender},
    store::{
        providers::{self, DomainLimit},
        senders,
    },
};

/// The limit of a sender.
pub fn of_sender(id: SenderId) -> String {
    format!("sender-{id}")
}

/// The limit of a provider.
pub fn of_provider(id: ProviderId) -> String {
    format!("provider-{id}")
}

/// The limit of a recipient's domain; none when the domain cannot name one.
pub fn of_domain(domain: &str) -> Option<String> {
    let is_name = domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    (is_name && domain.len() <= 100).then(|| format!("domain-{}", domain.to_ascii_lowercase()))
}

/// What the limit of a campaign begins with.
pub(super) const CAMPAIGN: &str = "campaign-";

/// The limit of a campaign, where all of them stand in one line.
pub fn of_campaign(id: CampaignId) -> String {
    format!("{CAMPAIGN}{id}")
}

/// Sets the limits of everything that has one.
///
/// # Errors
/// The database's, or the queue's.
pub async fn set_all(app: &App) -> Result<(), AppError> {
    let (providers, senders, domains) = app
        .db()
        .read(|tx| Ok::<_, AppError>((providers::all(tx)?, senders::all(tx)?, providers::domain_limits(tx)?)))
        .await?;
    for provider in &providers {
        set_provider(app, provider).await?;
    }
    for sender in &senders {
        set_sender(app, sender).await?;
    }
    for domain in &domains {
        set_domain(app, domain).await?;
    }
    Ok(())
}

/// Sets the limit of a provider.
///
/// # Errors
/// The queue's.
pub async fn set_provider(app: &App, provider: &Provider) -> Result<(), AppError> {
    let full = provider.per_second.map(|count| pace(app, count, 1_000));
    let rate = slowed(app, &provider.pace, provider.per_second.map(|count| u64::from(count) * 60)).or(full);
    set(app, of_provider(provider.id), LimitSettings { concurrency: provider.concurrency, rate }).await
}

/// Sets the limit of a provider as its row stands when this answers, and takes back what holds it beyond that: a limit that is
/// set anew is held by nothing.
///
/// # Errors
/// A provider that is none; the database's, or the queue's.
pub(super) async fn open_again(app: &App, id: ProviderId) -> Result<(), AppError> {
    let stored =
        || app.db().read(move |tx| providers::get(tx, id)?.ok_or_else(|| AppError::unknown("provider", id)));
    let mut provider = stored().await?;
    loop {
        set_provider(app, &provider).await?;
        let now = stored().await?;
        if (now.revision, &now.pace) == (provider.revision, &provider.pace) {
            return Ok(());
        }
        provider = now;
    }
}

/// Sets the limit of a sender; one that is paused admits nothing, and its jobs keep their places.
///
/// # Errors
/// The queue's.
pub async fn set_sender(app: &App, sender: &Sender) -> Result<(), AppError> {
    let rate = sender.per_minute.map(|count| pace(app, count, 60_000));
    set(app, of_sender(sender.id), LimitSettings { concurrency: sender.paused.then_some(0), rate }).await
}

/// Sets the limit of a sender as its row stands when this answers, whoever changes it meanwhile.
///
/// # Errors
/// A sender that is none; the database's, or the queue's.
pub(super) async fn set_as_stored(app: &App, id: SenderId) -> Result<(), AppError> {
    let stored =
        || app.db().read(move |tx| senders::get(tx, id)?.ok_or_else(|| AppError::unknown("sender", id)));
    let mut sender = stored().await?;
    loop {
        set_sender(app, &sender).await?;
        let now = stored().await?;
        if now.revision == sender.revision {
            return Ok(());
        }
        sender = now;
    }
}

/// Sets the limit of a recipients' domain.
///
/// # Errors
/// The queue's.
pub async fn set_domain(app: &App, domain: &DomainLimit) -> Result<(), AppError> {
    let Some(name) = of_domain(&domain.domain) else { return Ok(()) };
    let full = domain.per_minute.map(|count| pace(app, count, 60_000));
    let rate = slowed(app, &domain.pace, domain.per_minute.map(u64::from)).or(full);
    set(app, name, LimitSettings { concurrency: domain.concurrency, rate }).await
}

/// Sets the limit of a recipients' domain as its row stands, or takes it away with the row.
///
/// # Errors
/// The database's, or the queue's.
pub(super) async fn set_domain_as_stored(app: &App, domain: &str) -> Result<(), AppError> {
    let stored = || {
        let domain = domain.to_owned();
        app.db().read(move |tx| Ok::<_, AppError>(providers::domain_limit(tx, &domain)?))
    };
    let mut limit = stored().await?;
    loop {
        match &limit {
            Some(limit) => set_domain(app, limit).await?,
            None => forget_domain(app, domain).await?,
        }
        let now = stored().await?;
        if now == limit {
            return Ok(());
        }
        limit = now;
    }
}

/// The pace of what is slowed down, below what somebody has set.
fn slowed(app: &App, slowed: &Pace, set_per_minute: Option<u64>) -> Option<Rate> {
    let per_minute = paces::slowdown(app, slowed)?.per_minute.min(set_per_minute.unwrap_or(u64::MAX));
    Some(pace(app, u32::try_from(per_minute).unwrap_or(u32::MAX), 60_000))
}

/// Takes the limit of a recipients' domain away; mails that wait for it go on.
///
/// # Errors
/// The queue's.
pub async fn forget_domain(app: &App, domain: &str) -> Result<(), AppError> {
    let Some(name) = of_domain(domain) else { return Ok(()) };
    match app.client().set_limit(name, None).await {
        // Somebody else has removed it.
        Ok(()) | Err(windlass::Error::Rejected(Rejection::NotFound { .. })) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn set(app: &App, name: String, settings: LimitSettings) -> Result<(), AppError> {
    Ok(app.client().set_limit(name, Some(settings)).await?)
}

/// How late a job may be taken up without the pace suffering: a worker claims when a limit lets it, and its claim stands
/// when it is on the disk. What was missed meanwhile is caught up, so that 60 a second are 60.
const LATE_MS: u64 = 50;

/// So many in so many milliseconds of the application's clock, spread evenly: one after a rest, not all at once.
fn pace(app: &App, count: u32, period_ms: u64) -> Rate {
    rate(count, period_ms, u64::from(app.clock().speed()))
}

fn rate(count: u32, period_ms: u64, speed: u64) -> Rate {
    let count = u64::from(count.max(1));
    let bounded = |number: u64| u32::try_from(number).unwrap_or(u32::MAX).max(1);
    let burst = bounded(count * LATE_MS / period_ms.max(1));
    // In a rehearsal the period is shorter; below a millisecond there are more in one.
    match period_ms / speed.max(1) {
        0 => Rate { count: bounded(count.saturating_mul(speed) / period_ms.max(1)), period_ms: 1, burst },
        wall_ms => Rate { count: bounded(count), period_ms: wall_ms, burst },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_pace_is_one_at_a_time_and_a_quick_one_catches_up_with_what_was_taken_up_late() {
        assert_eq!(rate(1, 1_000, 1), Rate { count: 1, period_ms: 1_000, burst: 1 });
        assert_eq!(rate(30, 60_000, 1), Rate { count: 30, period_ms: 60_000, burst: 1 });
        assert_eq!(rate(100, 1_000, 1), Rate { count: 100, period_ms: 1_000, burst: 5 });
        assert_eq!(
            rate(1, 1_000, 100),
            Rate { count: 1, period_ms: 10, burst: 1 },
            "a rehearsed second is short"
        );
        assert_eq!(rate(2, 1_000, 5_000), Rate { count: 10, period_ms: 1, burst: 1 });
    }
}

//! What each condition means: a rule is held against what was seen, and says what is so.

use std::collections::HashSet;

use windlass_api::monitor::{Rule, When};
use windlass_core::fingerprint::Fingerprint;
use windlass_core::store::QueueInfo;
use windlass_core::{State, Time};

use super::record::{Mode, Record};
use super::rules::matches;
use super::sight::Sight;
use crate::standing::{Standing, has_worker, is_full_by, waits_ms};
use crate::ui::words;

/// A failure mode is over when none of its jobs is dead and it was not seen for so long: what is retried by itself comes
/// back within this time or less often than is worth an alarm.
const MODE_GONE_MS: u64 = 600_000;
/// Bytes of a failure mode's title in a finding.
const TITLE_BYTES_MOST: usize = 160;

/// Something that is so.
#[derive(Debug, PartialEq)]
pub(super) struct Finding {
    /// The queue, the schedule or `store`.
    pub(super) subject: String,
    pub(super) fingerprint: Option<String>,
    pub(super) text: String,
    /// Since when at the latest, where that is known.
    pub(super) since: Option<Time>,
    /// The page to look at.
    pub(super) page: String,
}

/// What is so by that rule.
pub(super) fn find(name: &str, rule: &Rule, sight: &Sight, record: &Record) -> Vec<Finding> {
    match rule.when {
        When::NewFailureMode => new_modes(name, rule, sight, record),
        When::ScheduleMissed => missed(rule, sight),
        When::SpaceLow => space_low(sight).into_iter().collect(),
        // The store cannot be asked whether it answers: see `silent`.
        When::StoreSilent => Vec::new(),
        _ => {
            let meant = sight.queues.iter().filter(|info| matches(&rule.queue, info.name.as_str()));
            meant.filter_map(|info| of_queue(rule, info, sight, record)).collect()
        }
    }
}

fn of_queue(rule: &Rule, info: &QueueInfo, sight: &Sight, record: &Record) -> Option<Finding> {
    let name = info.name.as_str();
    let above = rule.above.unwrap_or_default();
    let ready = || words::many(info.counts.of(State::Ready), "ready job", "ready jobs");
    let dead = info.counts.of(State::Dead);
    let dead_said = words::many(dead, "dead job", "dead jobs");
    let is = || Standing::of(info, has_worker(info, &sight.workers));
    let so = |text: String| Finding {
        subject: name.to_owned(),
        fingerprint: None,
        text,
        since: None,
        page: format!("/queues/{}", words::part(name)),
    };
    let of_dead = |text: String| Finding { page: jobs(&[("queue", name), ("state", "dead")]), ..so(text) };
    match rule.when {
        When::Dead => (dead > above).then(|| of_dead(format!("has {dead_said}"))),
        When::DeadAge => (dead > 0).then(|| {
            let text = format!("has had dead jobs without a break; {} now", words::count(dead));
            Finding { since: dead_since(info, sight), ..of_dead(text) }
        }),
        When::DeadRate => {
            let within = rule.within.unwrap_or_default().ms;
            let died = died_within(record, info, within, sight.now);
            let told = || {
                format!(
                    "has {} in {}",
                    words::many(died, "new dead job", "new dead jobs"),
                    words::span(within)
                )
            };
            (died > above).then(|| of_dead(told()))
        }
        When::DeadShare => {
            let within = rule.within.unwrap_or_default().ms;
            let died = died_within(record, info, within, sight.now);
            let ended = died + sight.completed_within(name, within)?;
            let is_over = u128::from(died) * 100 > u128::from(ended) * u128::from(above);
            let told = || {
                format!(
                    "lost {} of {} jobs that ended in {}",
                    words::count(died),
                    words::count(ended),
                    words::span(within)
                )
            };
            (died > 0 && is_over).then(|| of_dead(told()))
        }
        When::OldestReady => {
            let waits = waits_ms(info, sight.now);
            let text = || format!("has {}, and the oldest waits for {}", ready(), words::span(waits));
            (waits > rule.longer_than.unwrap_or_default().ms).then(|| so(text()))
        }
        When::NoWorker => (is() == Standing::NoWorker).then(|| so(format!("has {} and no worker", ready()))),
        When::Paused => info.settings.paused.then(|| so(format!("is paused and has {}", ready()))),
        When::NearlyFull => is_full_by(info, above).then(|| {
            let (waiting, most) = (info.counts.waiting(), info.settings.max_waiting.unwrap_or_default());
            so(format!("holds {} of the {} jobs that it may", words::count(waiting), words::count(most)))
        }),
        When::NewFailureMode | When::ScheduleMissed | When::SpaceLow | When::StoreSilent => None,
    }
}

/// Since when a queue has had dead jobs, at the latest: a mode that was not seen since then has dead jobs that are older.
fn dead_since(info: &QueueInfo, sight: &Sight) -> Option<Time> {
    let of_it = sight.modes.iter().filter(|seen| seen.mode.queue == info.name && seen.mode.dead > 0);
    of_it.map(|seen| seen.mode.last_seen).min()
}

/// How many jobs of the queue died within that time, by what was seen of its total.
fn died_within(record: &Record, info: &QueueInfo, within_ms: u64, now: Time) -> u64 {
    let from = now.minus_ms(within_ms);
    let Some(seen) = record.deaths.as_ref().and_then(|deaths| deaths.get(info.name.as_str())) else {
        return 0;
    };
    let before = seen.iter().rev().find(|sample| sample.at <= from).or(seen.first());
    before.map_or(0, |sample| info.totals.died.saturating_sub(sample.died))
}

/// Failure modes that were not seen before, and those that a rule has found already and that are not gone.
fn new_modes(name: &str, rule: &Rule, sight: &Sight, record: &Record) -> Vec<Finding> {
    let Some(known) = &record.modes else { return Vec::new() };
    let known: HashSet<&Mode> = known.iter().collect();
    let meant = sight.modes.iter().filter(|seen| matches(&rule.queue, seen.mode.queue.as_str()));
    let there = meant.filter(|seen| {
        // What is counted under `other` is no mode but all that there was no room for.
        seen.mode.fingerprint != Fingerprint::default()
            && !seen.is_resolved
            && (seen.mode.dead > 0 || sight.now.since(seen.mode.last_seen) < MODE_GONE_MS)
    });
    there
        .filter_map(|seen| {
            let mark = seen.mark();
            let is_found = record.incidents.iter().any(|kept| {
                let of = &kept.incident;
                kept.is_open()
                    && of.rule == name
                    && of.subject == mark.0
                    && of.fingerprint.as_ref() == Some(&mark.1)
            });
            if known.contains(&mark) && !is_found {
                return None;
            }
            let again = if seen.again_since.is_some() { "fails again" } else { "fails in a new way" };
            let title = windlass_core::bounds::cut(&seen.mode.title, TITLE_BYTES_MOST);
            let print = seen.mode.fingerprint.to_string();
            let mut conditions = vec![("queue", mark.0.as_str()), ("fingerprint", print.as_str())];
            if seen.mode.dead > 0 {
                conditions.insert(1, ("state", "dead"));
            }
            Some(Finding {
                text: format!("{again}: {title} ({})", words::many(seen.mode.dead, "dead job", "dead jobs")),
                since: None,
                page: jobs(&conditions),
                fingerprint: Some(mark.1.clone()),
                subject: mark.0.clone(),
            })
        })
        .collect()
}

fn missed(rule: &Rule, sight: &Sight) -> Vec<Finding> {
    let late = rule.longer_than.unwrap_or_default().ms;
    let meant = sight
        .schedules
        .iter()
        .filter(|info| matches(&rule.queue, info.spec.name.as_str()) && !info.spec.paused);
    let missed = meant.filter_map(|info| {
        let tick = info.next_tick.filter(|tick| sight.now.since(*tick) > late)?;
        Some(Finding {
            subject: info.spec.name.to_string(),
            fingerprint: None,
            text: format!("has not run since it was due at {tick}"),
            since: Some(tick),
            page: "/schedules".to_owned(),
        })
    });
    missed.collect()
}

fn space_low(sight: &Sight) -> Option<Finding> {
    sight.store.as_ref().filter(|info| info.space_low).map(|_| Finding {
        subject: "store".to_owned(),
        fingerprint: None,
        text: "runs out of space and takes no new jobs".to_owned(),
        since: None,
        page: "/workers#store".to_owned(),
    })
}

fn jobs(conditions: &[(&str, &str)]) -> String {
    let spelled: Vec<String> = conditions.iter().map(|(name, value)| words::condition(name, value)).collect();
    words::jobs_at("", &spelled.join(" "))
}

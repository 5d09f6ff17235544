//! The course of incidents: pending, firing, recovered, and what of it is to be told. Pure: what was seen goes in, the
//! record is what comes out, so two servers that see the same write the same.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use windlass_api::monitor::{Incident, Rule, Stage, When};

use super::checks::{self, Finding};
use super::config::Config;
use super::record::{Change, Deaths, Kept, Mode, OPEN_MOST, Record};
use super::sight::Sight;

/// How often the text of an incident that goes on is written down again.
const TEXT_EVERY_MS: u64 = 60_000;
/// Samples of a queue's deaths within the time that is looked back over: a death counts at most a twelfth of it too long.
const SAMPLES: u64 = 12;

/// Takes what was seen into the record.
pub(super) fn go_on(record: &mut Record, config: &Config, sight: &Sight, mut new_id: impl FnMut() -> String) {
    let now = sight.now;
    record.silences.retain(|silence| silence.until > now);
    record.posts.retain(|channel, _| config.channels.contains_key(channel));
    follow_deaths(record, config, sight);
    begin_modes(record, sight);
    for (name, rule) in config.watching().filter(|(_, rule)| rule.when != When::StoreSilent) {
        let findings = checks::find(name, rule, sight, record);
        let mut found = Vec::with_capacity(findings.len());
        for finding in findings {
            if let Some(id) = take(record, name, rule, finding, sight, &mut new_id) {
                found.push(id);
            }
        }
        for kept in record.incidents.iter_mut().filter(|kept| kept.is_open() && kept.incident.rule == *name) {
            match found.contains(&kept.incident.id) {
                true => kept.calm_since = None,
                false => _ = kept.calm_since.get_or_insert(now),
            }
        }
        step(record, config, name, rule, sight);
    }
    end_without_rule(record, config, sight);
    know_modes(record, sight);
}

/// Notes a finding at its incident, a new one if there is none. Beyond the bound of open incidents it is noted nowhere.
fn take(
    record: &mut Record,
    name: &str,
    rule: &Rule,
    finding: Finding,
    sight: &Sight,
    new_id: &mut impl FnMut() -> String,
) -> Option<String> {
    let now = sight.now;
    let is_it = |kept: &&mut Kept| {
        let of = &kept.incident;
        kept.is_open()
            && of.rule == name
            && of.subject == finding.subject
            && of.fingerprint == finding.fingerprint
    };
    if let Some(kept) = record.incidents.iter_mut().find(is_it) {
        if kept.incident.text != finding.text && now.since(kept.text_at) >= TEXT_EVERY_MS {
            (kept.incident.text, kept.text_at) = (finding.text, now);
        }
        (kept.incident.severity, kept.incident.when) = (rule.severity, rule.when);
        return Some(kept.incident.id.clone());
    }
    if record.incidents.iter().filter(|kept| kept.is_open()).count() >= OPEN_MOST {
        return None;
    }
    let id = new_id();
    let incident = Incident {
        id: id.clone(),
        rule: name.to_owned(),
        when: rule.when,
        severity: rule.severity,
        subject: finding.subject,
        fingerprint: finding.fingerprint,
        text: finding.text,
        stage: Stage::Pending,
        since: finding.since.unwrap_or(now).min(now),
        fired_at: None,
        recovered_at: None,
        told_at: None,
        acknowledged_until: None,
        silenced_until: None,
        page: finding.page,
    };
    record.incidents.push(Kept { incident, calm_since: None, text_at: now });
    Some(id)
}

/// How long it must be so before it fires. The age of dead jobs is counted from the first of them.
fn hold_ms(rule: &Rule) -> u64 {
    let age = if rule.when == When::DeadAge { rule.longer_than.unwrap_or_default().ms } else { 0 };
    rule.held_for.ms + age
}

/// Moves the open incidents of a rule on.
fn step(record: &mut Record, config: &Config, name: &str, rule: &Rule, sight: &Sight) {
    let now = sight.now;
    let mut told = Vec::new();
    let mut dropped = Vec::new();
    let Record { incidents, silences, .. } = record;
    for kept in incidents.iter_mut().filter(|kept| kept.is_open() && kept.incident.rule == name) {
        let incident = &mut kept.incident;
        let silence =
            silences.iter().find(|silence| silence.rule == name && silence.subject == incident.subject);
        incident.silenced_until = silence.map(|silence| silence.until);
        let is_loud = incident.silenced_until.is_none();
        match (incident.stage, kept.calm_since) {
            (Stage::Pending, Some(_)) => dropped.push(incident.id.clone()),
            (Stage::Pending, None) if now.since(incident.since) >= hold_ms(rule) => {
                (incident.stage, incident.fired_at) = (Stage::Firing, Some(now));
            }
            (Stage::Firing, Some(calm)) if now.since(calm) >= rule.recover_after.ms => {
                (incident.stage, incident.recovered_at) = (Stage::Recovered, Some(now));
                // Who was never told that it began is not told that it is over.
                if is_loud && incident.told_at.is_some() {
                    told.push((incident.id.clone(), Change::Recovered));
                }
            }
            _ => {}
        }
        if incident.stage != Stage::Firing || !is_loud {
            continue;
        }
        incident.acknowledged_until = incident.acknowledged_until.filter(|until| *until > now);
        match incident.told_at {
            None => told.push((incident.id.clone(), Change::Fired)),
            Some(at) => {
                let is_due = rule.remind_every.is_some_and(|every| now.since(at) >= every.ms);
                if !is_due || incident.acknowledged_until.is_some() || kept.calm_since.is_some() {
                    continue;
                }
                told.push((incident.id.clone(), Change::Reminded));
            }
        }
        incident.told_at = Some(now);
    }
    incidents.retain(|kept| !dropped.contains(&kept.incident.id));
    for (id, change) in told {
        for channel in config.channels_of(rule) {
            gather(record, channel, &id, change, sight);
        }
    }
}

/// What is to be told waits at the channel; of an incident the last change is what is told.
fn gather(record: &mut Record, channel: &str, id: &str, change: Change, sight: &Sight) {
    let post = record.posts.entry(channel.to_owned()).or_default();
    match post.waiting.iter_mut().find(|(waiting, _)| waiting == id) {
        // A reminder of what was not told yet is still its first notice.
        Some((_, waiting)) if change == Change::Reminded && *waiting == Change::Fired => {}
        Some((_, waiting)) => *waiting = change,
        None => post.waiting.push((id.to_owned(), change)),
    }
    post.waiting_since.get_or_insert(sight.now);
}

/// What a rule found that is no longer there is over, and nobody is told: whoever removed it knows.
fn end_without_rule(record: &mut Record, config: &Config, sight: &Sight) {
    let watches = |name: &str| config.rules.get(name).is_some_and(|rule| rule.enabled);
    record.incidents.retain(|kept| kept.incident.stage != Stage::Pending || watches(&kept.incident.rule));
    for kept in record.incidents.iter_mut().filter(|kept| kept.is_open() && !watches(&kept.incident.rule)) {
        (kept.incident.stage, kept.incident.recovered_at) = (Stage::Recovered, Some(sight.now));
    }
}

/// Writes down how many jobs of each queue have died, whenever that has changed.
fn follow_deaths(record: &mut Record, config: &Config, sight: &Sight) {
    let within = |rule: &Rule| rule.within.unwrap_or_default().ms;
    let Some(longest) =
        config.watching().filter(|(_, rule)| rule.when.takes_within()).map(|(_, rule)| within(rule)).max()
    else {
        record.deaths = None;
        return;
    };
    let shortest =
        config.watching().filter(|(_, rule)| rule.when.takes_within()).map(|(_, rule)| within(rule)).min();
    let slot = shortest.unwrap_or(longest) / SAMPLES;
    let now = sight.now;
    let is_first_look = record.deaths.is_none();
    let deaths = record.deaths.get_or_insert_with(BTreeMap::new);
    for info in sight.queues.iter().filter(|info| info.totals.died > 0) {
        let died = info.totals.died;
        let samples = deaths.entry(info.name.to_string()).or_default();
        match samples.last() {
            // At the last look none had died.
            None if !is_first_look => samples.push(Deaths { at: now, died: 0 }),
            None => samples.push(Deaths { at: now, died }),
            // The queue was made anew.
            Some(last) if last.died > died => *samples = vec![Deaths { at: now, died: 0 }],
            Some(last) if last.died < died && now.since(last.at) >= slot => {
                samples.push(Deaths { at: now, died })
            }
            Some(_) => {}
        }
        let past = samples.iter().filter(|sample| sample.at <= now.minus_ms(longest)).count();
        samples.drain(..past.saturating_sub(1));
    }
}

/// At the first look every mode is known: what failed before anybody watched is no news.
fn begin_modes(record: &mut Record, sight: &Sight) {
    if !sight.looked_for.contains(&When::NewFailureMode) {
        record.modes = None;
    } else if record.modes.is_none() {
        record.modes = Some(sight.modes.iter().map(super::modes::Seen::mark).collect());
    }
}

/// What was seen is known; of what was not seen for longest the record forgets first.
fn know_modes(record: &mut Record, sight: &Sight) {
    let Some(known) = &mut record.modes else { return };
    let seen: BTreeSet<Mode> = sight.modes.iter().map(super::modes::Seen::mark).collect();
    let before: HashSet<&Mode> = known.iter().collect();
    if seen.iter().all(|mark| before.contains(mark)) {
        return;
    }
    known.retain(|mark| !seen.contains(mark));
    known.extend(seen);
}

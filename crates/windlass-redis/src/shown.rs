//! What people are shown, read from the functions' replies: queues, groups, limits, failure modes, events, reasons, jobs.

use redis::Value;
use windlass_core::event::{Cause, Cursor, Event, EventType};
use windlass_core::fingerprint::Fingerprint;
use windlass_core::histogram::Histogram;
use windlass_core::job::JobView;
use windlass_core::limit::LimitSettings;
use windlass_core::name::{GroupKey, Kind, LimitName, QueueName};
use windlass_core::store::{
    Counts, EventPage, FailureMode, Filter, GroupInfo, LimitInfo, QueueInfo, Series, Totals,
};
use windlass_core::why::{Full, Reason, Why};
use windlass_core::{JobId, Rejection, Time, WorkerId};

use crate::record::Record;
use crate::wire::{self, Misread, Read, Unpack};

pub(crate) fn name<T>(made: Result<T, Rejection>) -> Read<T> {
    made.map_err(|_| Misread("name"))
}

pub(crate) fn counts(value: Value) -> Read<Counts> {
    Ok(Counts(wire::numbers(value)?.try_into().map_err(|_| Misread("counts"))?))
}

pub(crate) fn totals(value: Value) -> Read<Totals> {
    let all: [u64; 10] = wire::numbers(value)?.try_into().map_err(|_| Misread("totals"))?;
    let [enqueued, claimed, completed, failed, died, lost, snoozed, released, no_handler, cancelled] = all;
    Ok(Totals { enqueued, claimed, completed, failed, died, lost, snoozed, released, no_handler, cancelled })
}

/// The histogram of one letter from the fields of a queue's hash.
pub(crate) fn histogram(pairs: &[(Vec<u8>, Vec<u8>)], letter: u8) -> Read<Histogram> {
    let (mut sum, mut max, mut buckets) = (0, 0, Vec::new());
    for (field, value) in pairs.iter().filter(|(field, _)| field.first() == Some(&letter)) {
        let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<u64>().ok());
        let value = number(value).ok_or(Misread("histogram"))?;
        match &field[1..] {
            b"s" => sum = value,
            b"m" => max = value,
            bucket => buckets.extend([number(bucket).ok_or(Misread("histogram"))?, value]),
        }
    }
    let list = [vec![sum, max], buckets].concat();
    Histogram::try_from(list).map_err(|_| Misread("histogram"))
}

pub(crate) fn queue_info(value: Value) -> Read<QueueInfo> {
    let [queue, settings, states, sums, oldest, groups, waits, minute] = wire::fields(value)?;
    let waits = wire::pairs(waits)?;
    Ok(QueueInfo {
        name: name(QueueName::new(wire::text(queue)?))?,
        settings: serde_json::from_slice(&wire::bytes(settings)?).map_err(|_| Misread("settings"))?,
        counts: counts(states)?,
        totals: totals(sums)?,
        oldest_ready: wire::time(oldest)?,
        groups: wire::number(groups)?,
        wait_ms: histogram(&waits, b'w')?,
        run_ms: histogram(&waits, b'r')?,
        completed_last_minute: wire::number(minute)?,
    })
}

/// One ring of a chart: slots by letter of chart and width.
pub(crate) fn series(pairs: &[(Vec<u8>, Vec<u8>)], current: &[u64], chart: u8, now: Time) -> Vec<Series> {
    let widths = [(b'S', 1_000, 300), (b'M', 60_000, 1_440), (b'H', 3_600_000, 168u64)];
    let of = |(i, (letter, slot_ms, slots)): (usize, (u8, u64, u64))| {
        let last = now.0 / slot_ms;
        let first = (last + 1).saturating_sub(slots);
        let mut points: Vec<(u64, u64)> = pairs
            .iter()
            .filter(|(field, _)| field.starts_with(&[chart, letter]))
            .filter_map(|(_, value)| {
                let (slot, n) = std::str::from_utf8(value).ok()?.split_once(':')?;
                Some((slot.parse().ok()?, n.parse().ok()?))
            })
            .collect();
        points.push((current[2 * i], current[2 * i + 1]));
        points.retain(|(slot, n)| (first..=last).contains(slot) && *n > 0);
        points.sort_unstable();
        Series { slot_ms, points: points.into_iter().map(|(slot, n)| (Time(slot * slot_ms), n)).collect() }
    };
    widths.into_iter().enumerate().map(of).collect()
}

pub(crate) fn group_info(value: Value) -> Read<GroupInfo> {
    let [key, settings, own, states, claimed, held_until, shut_by] = wire::fields(value)?;
    let shut_by = wire::bytes(shut_by)?;
    Ok(GroupInfo {
        key: GroupKey::new(wire::text(key)?).ok(),
        settings: serde_json::from_slice(&wire::bytes(settings)?).map_err(|_| Misread("settings"))?,
        own_settings: wire::number(own)? == 1,
        counts: counts(states)?,
        claimed: wire::number(claimed)?,
        held_until: wire::time(held_until)?,
        shut_by: if shut_by.is_empty() { None } else { Some(wire::id(&shut_by)?) },
    })
}

pub(crate) fn limit_info(value: Value) -> Read<LimitInfo> {
    let [limit, settings, in_use, waiting_lanes, closed_until] = wire::fields(value)?;
    let settings = wire::bytes(settings)?;
    Ok(LimitInfo {
        name: name(LimitName::new(wire::text(limit)?))?,
        settings: if settings.is_empty() {
            LimitSettings::default()
        } else {
            serde_json::from_slice(&settings).map_err(|_| Misread("settings"))?
        },
        in_use: wire::number(in_use)?,
        waiting_lanes: wire::number(waiting_lanes)?,
        closed_until: wire::time(closed_until)?,
    })
}

pub(crate) fn failure_mode(queue: &QueueName, value: Value) -> Read<FailureMode> {
    let [print, title, kind, dead, failures, first_seen, last_seen, sample] = wire::fields(value)?;
    Ok(FailureMode {
        fingerprint: Fingerprint(Unpack(&wire::bytes(print)?).int(8)?),
        title: wire::text(title)?,
        queue: queue.clone(),
        kind: name(Kind::new(wire::text(kind)?))?,
        dead: wire::number(dead)?,
        failures: wire::number(failures)?,
        first_seen: Time(wire::number(first_seen)?),
        last_seen: Time(wire::number(last_seen)?),
        sample: wire::id(&wire::bytes(sample)?)?,
    })
}

/// The events of one entry, those before `skip` left out.
pub(crate) fn read_entry(
    place: u64,
    packed: &[u8],
    skip: u32,
    events: &mut Vec<Event>,
    limit: usize,
) -> Read<()> {
    let mut from = Unpack(packed);
    let (at, count) = (Time(from.int(6)?), from.u32(4)?);
    for index in 1..=count {
        let event = EventType::ALL.get(from.int(1)? as usize).copied().ok_or(Misread("event"))?;
        let cause = Cause::from_number(from.int(1)? as u8);
        let flags = from.int(1)?;
        let attempt = from.u32(4)?;
        let job = from.id()?;
        let queue = name(QueueName::new(from.text(1)?))?;
        let kind = name(Kind::new(from.text(1)?))?;
        let group = GroupKey::new(from.text(1)?).ok();
        let worker = if flags & 1 != 0 { Some(WorkerId(from.int(8)?)) } else { None };
        let text = if flags & 2 != 0 { Some(from.text(4)?.to_owned()) } else { None };
        let result = if flags & 4 != 0 {
            let bytes = from.u32(4)? as usize;
            Some(from.take(bytes)?.to_vec())
        } else {
            None
        };
        if index > skip && events.len() < limit {
            let cursor = Cursor { place, index };
            events.push(Event {
                cursor,
                at,
                event,
                job,
                queue,
                kind,
                group,
                attempt,
                cause,
                worker,
                text,
                result,
            });
        }
    }
    Ok(())
}

pub(crate) fn events_page(value: Value, limit: usize) -> Read<Option<EventPage>> {
    if value == Value::Nil {
        return Ok(None);
    }
    let [place, index, gap, end, entries] = wire::fields(value)?;
    let (mut place, mut skip) = (wire::number(place)?, wire::number(index)? as u32);
    let end = wire::number(end)?;
    let mut page = EventPage { gap: wire::number(gap)? == 1, ..EventPage::default() };
    page.next = Cursor { place, index: skip };
    for entry in wire::items(entries)? {
        let [number, packed] = wire::fields(entry)?;
        let number = wire::number(number)?;
        skip = if number == place { skip } else { 0 };
        place = number;
        read_entry(number, &wire::bytes(packed)?, skip, &mut page.events, limit)?;
        if page.events.len() >= limit {
            break;
        }
    }
    if let Some(last) = page.events.last() {
        page.next = last.cursor;
    } else if place > end {
        return Ok(None);
    }
    Ok(Some(page))
}

pub(crate) fn why_of(value: Value) -> Read<Option<Why>> {
    if value == Value::Nil {
        return Ok(None);
    }
    let mut parts = wire::items(value)?.into_iter();
    let reason = wire::text(parts.next().ok_or(Misread("reason"))?)?;
    let parts = parts.map(wire::bytes).collect::<Read<Vec<_>>>()?;
    let text =
        |i: usize| parts.get(i).map_or_else(String::new, |bytes| String::from_utf8_lossy(bytes).into_owned());
    let time = |i: usize| text(i).parse().ok().map(Time);
    let number = |i: usize| text(i).parse::<u64>().map_err(|_| Misread("reason"));
    let most = || text(1).parse::<u32>().map_err(|_| Misread("reason"));
    let shown = |i: usize| time(i).map_or_else(String::new, |at| at.to_string());
    let ids = || parts.iter().filter_map(|bytes| wire::id(bytes).ok()).map(|id| id.to_string());
    let why = |reason, detail: String, eta| Why { reason, detail, eta, ahead: None };
    Ok(Some(match reason.as_str() {
        "running" => why(Reason::Running, format!("attempt {} since {}", text(0), shown(1)), None),
        "ended" => why(Reason::Ended, format!("{} at {}", text(0), shown(1)), None),
        "retry_backoff" => {
            let detail =
                format!("failed {} and was lost {} times; last error: {}", text(0), text(1), text(2));
            why(Reason::RetryBackoff, detail, time(3))
        }
        "no_handler" => {
            let detail = format!(
                "given back {} times: no worker that claimed it knows kind {}, or its payload does not decode, and then \
                 the attempt's log says why",
                text(0),
                text(1)
            );
            why(Reason::NoHandler, detail, time(2))
        }
        "snoozed" => why(Reason::Snoozed, text(0), time(1)),
        "scheduled" => why(Reason::Scheduled, format!("due at {}", shown(0)), time(0)),
        "waiting_on_parents" => {
            let detail = format!("waits for {}", ids().collect::<Vec<_>>().join(", "));
            why(Reason::WaitingOnParents, detail, None)
        }
        "queue_paused" => why(Reason::QueuePaused, format!("queue {} is paused", text(0)), None),
        "ordered_behind" => {
            let head = ids().next().unwrap_or_else(|| "nobody".into());
            let detail = format!("its group goes in order; {head} is before it ({})", text(1));
            why(Reason::OrderedBehind, detail, None)
        }
        "queue_concurrency" => Full::Queue { queue: text(0), most: most()? }.into(),
        "group_concurrency" => Full::Group { queue: text(0), most: most()?, running: number(2)? }.into(),
        "rate_limited" => why(Reason::RateLimited, text(0), time(1)),
        "limit" => Full::Limit { limit: text(0), most: most()?, in_use: number(2)?, cost: number(3)? }.into(),
        "no_worker" => why(Reason::NoWorker, format!("no worker asks for queue {}", text(0)), None),
        "fair_share" => {
            let detail = format!(
                "its turn comes: weight {} among {} groups that can run, priority {}",
                text(0),
                text(1),
                text(2)
            );
            Why { reason: Reason::FairShare, detail, eta: None, ahead: text(3).parse().ok() }
        }
        _ => return Err(Misread("reason")),
    }))
}

/// A job of a list: its number in the index, its record, its last error.
pub(crate) fn listed(value: Value) -> Read<(JobId, Vec<u8>, Option<String>)> {
    let [_number, id, record, error] = wire::fields(value)?;
    let error = wire::text(error)?;
    Ok((wire::id(&wire::bytes(id)?)?, wire::bytes(record)?, Some(error).filter(|error| !error.is_empty())))
}

/// The job's view if it passes the filter.
pub(crate) fn matches(
    id: JobId,
    record: &[u8],
    error: Option<String>,
    filter: &Filter,
) -> Read<Option<JobView>> {
    let record = Record::read(id, record)?;
    let view = record.view(error);
    let says = |text: &String| view.last_error.as_deref().is_some_and(|error| error.contains(text.as_str()));
    let holds = |text: &String| {
        let needle = text.as_bytes();
        needle.is_empty() || record.payload().windows(needle.len()).any(|window| window == needle)
    };
    let passes = (filter.states.is_empty() || filter.states.contains(&view.state))
        && filter.queue.as_ref().is_none_or(|queue| *queue == view.queue)
        && filter.group.as_ref().is_none_or(|group| Some(group) == view.group.as_ref())
        && filter.kind.as_ref().is_none_or(|kind| *kind == view.kind)
        && filter.fingerprint.is_none_or(|print| Some(print) == view.fingerprint)
        && filter.tag.as_ref().is_none_or(|tag| view.tags.contains(tag))
        && filter.after.is_none_or(|after| view.enqueued_at >= after)
        && filter.before.is_none_or(|before| view.enqueued_at < before)
        && filter.error_contains.as_ref().is_none_or(says)
        && filter.payload_contains.as_ref().is_none_or(holds);
    Ok(passes.then_some(view))
}

//! Lists of jobs: pages of bounded cost.
//!
//! Ended jobs of one queue and state come newest first from the queue's own list; anything else
//! comes in the order of the slots, skipping chunks that hold nothing in the wanted states or of the wanted queue. What
//! only the journal knows (tags, payload) is read for the jobs that pass everything else.

use super::Core;
use crate::fact::JobFact;
use crate::machine::extra::Options;
use crate::machine::slots::NONE;
use windlass_core::bounds::PAGE_MAX;
use windlass_core::event::Cause;
use windlass_core::job::JobView;
use windlass_core::store::{Filter, Page};
use windlass_core::{JobId, Rejection, State, Time};

/// Jobs of other queues in the same chunks that are passed over at the price of one that is examined: two words of
/// memory against a record of the journal.
const PASSED_PER_EXAMINED: usize = 16;

impl Core {
    pub(crate) fn list(
        &mut self,
        filter: &Filter,
        cursor: Option<&str>,
        limit: usize,
        budget: usize,
    ) -> Result<Page<JobView>, Rejection> {
        let limit = limit.clamp(1, PAGE_MAX);
        if !filter.ids.is_empty() {
            let mut page = Page::default();
            let from = cursor.map(parse_cursor).transpose()?.map_or(0, |(at, _)| at as usize);
            for (i, id) in filter.ids.iter().enumerate().skip(from) {
                if page.items.len() >= limit || page.examined >= budget.max(1) {
                    page.next = Some(format!("{i:x}.0"));
                    break;
                }
                page.examined += 1;
                if let Some(at) = self.machine.find(*id)
                    && let Some(view) = self.matches(at, filter)?
                {
                    page.items.push(view);
                }
            }
            return Ok(page);
        }
        let queue = match &filter.queue {
            Some(name) => match self.machine.queue_number(name) {
                Some(number) => Some(number),
                None => return Ok(Page::default()),
            },
            None => None,
        };
        match (queue, filter.states.as_slice()) {
            (Some(queue), [state @ (State::Completed | State::Cancelled)]) => {
                self.list_ended(queue, *state, filter, cursor, limit, budget)
            }
            _ => self.list_slots(queue, filter, cursor, limit, budget),
        }
    }

    fn list_ended(
        &mut self,
        queue: u16,
        state: State,
        filter: &Filter,
        cursor: Option<&str>,
        limit: usize,
        budget: usize,
    ) -> Result<Page<JobView>, Rejection> {
        let list =
            self.machine.queues[usize::from(queue)].ended[if state == State::Completed { 0 } else { 2 }];
        let mut at = list.tail;
        if let Some(cursor) = cursor {
            let (slot, seq) = parse_cursor(cursor)?;
            let stands = |at: u32| {
                let s = self.machine.slots.at(at);
                s.id != 0 && s.seq == seq && s.state() == state
            };
            // The place may have gone with its job: then the list is walked from the newest end.
            at = if self.machine.slots.holds(slot) && stands(slot) {
                slot
            } else {
                let mut walk = list.tail;
                while walk != NONE && self.machine.slots.at(walk).seq > seq {
                    walk = self.machine.slots.at(walk).prev;
                }
                walk
            };
        }
        let mut page = Page::default();
        while at != NONE {
            if page.items.len() >= limit || page.examined >= budget.max(1) {
                page.next = Some(format!("{at:x}.{:x}", self.machine.slots.at(at).seq));
                break;
            }
            page.examined += 1;
            if let Some(view) = self.matches(at, filter)? {
                page.items.push(view);
            }
            at = self.machine.slots.at(at).prev;
        }
        Ok(page)
    }

    fn list_slots(
        &mut self,
        queue: Option<u16>,
        filter: &Filter,
        cursor: Option<&str>,
        limit: usize,
        budget: usize,
    ) -> Result<Page<JobView>, Rejection> {
        let mut wanted = [filter.states.is_empty(); 8];
        for state in &filter.states {
            wanted[*state as usize] = true;
        }
        let mut from = cursor.map(parse_cursor).transpose()?.map_or(0, |(slot, _)| slot);
        let (mut page, mut passed) = (Page::default(), 0);
        let pass = budget.max(1).saturating_mul(PASSED_PER_EXAMINED);
        while let Some(at) = self.machine.slots.next_near(from, &wanted, queue) {
            if page.items.len() >= limit || page.examined >= budget.max(1) || passed >= pass {
                page.next = Some(format!("{at:x}.0"));
                break;
            }
            from = at + 1;
            if queue.is_some_and(|queue| self.machine.queue_of(at) != queue) {
                passed += 1;
                continue;
            }
            page.examined += 1;
            if let Some(view) = self.matches(at, filter)? {
                page.items.push(view);
            }
        }
        Ok(page)
    }

    /// The job's view if it passes the filter; the cheap questions first.
    fn matches(&mut self, at: u32, filter: &Filter) -> Result<Option<JobView>, Rejection> {
        let machine = &self.machine;
        let slot = machine.slots.at(at);
        if !filter.states.is_empty() && !filter.states.contains(&slot.state()) {
            return Ok(None);
        }
        let queue = &machine.queues[usize::from(machine.queue_of(at))];
        if filter.queue.as_ref().is_some_and(|name| *name != queue.name) {
            return Ok(None);
        }
        let group = &machine.groups[machine.group_of(at)].key;
        if filter.group.as_ref().is_some_and(|key| key.as_str() != &**group) {
            return Ok(None);
        }
        if filter.kind.as_ref().is_some_and(|kind| *kind != machine.kinds[usize::from(slot.kind)]) {
            return Ok(None);
        }
        let extra = machine.extra(at);
        if filter.fingerprint.is_some() && extra.and_then(|e| e.fingerprint) != filter.fingerprint {
            return Ok(None);
        }
        if let Some(text) = &filter.error_contains
            && !extra.and_then(|e| e.last_error.as_deref()).is_some_and(|error| error.contains(text.as_str()))
        {
            return Ok(None);
        }
        let record = self.record(at)?;
        let fact = record.fact()?;
        let enqueued_at = Time(fact.enqueued_at);
        if filter.after.is_some_and(|after| enqueued_at < after)
            || filter.before.is_some_and(|before| enqueued_at >= before)
        {
            return Ok(None);
        }
        if let Some(text) = &filter.payload_contains
            && !contains(fact.payload, text.as_bytes())
        {
            return Ok(None);
        }
        let options = options_of(&fact);
        if filter.tag.as_ref().is_some_and(|tag| !options.tags.contains(tag)) {
            return Ok(None);
        }
        Ok(Some(self.view(at, &fact, options)))
    }

    /// What a list shows of a job.
    pub(crate) fn view(&self, at: u32, fact: &JobFact<'_>, options: Options) -> JobView {
        let machine = &self.machine;
        let slot = machine.slots.at(at);
        let extra = machine.extra(at);
        let group = &machine.groups[machine.group_of(at)].key;
        let cause = extra.map(|e| e.cause).filter(|c| *c != Cause::None);
        // That somebody asked for it is the common case, which costs no memory.
        let cause = cause.or((slot.state() == State::Cancelled).then_some(Cause::Requested));
        JobView {
            id: JobId(slot.id),
            state: slot.state(),
            queue: machine.queues[usize::from(machine.queue_of(at))].name.clone(),
            kind: machine.kinds[usize::from(slot.kind)].clone(),
            group: windlass_core::GroupKey::new(&**group).ok(),
            priority: machine.lane_of(at).priority,
            tags: options.tags,
            attempt: machine.attempt(at),
            failures: extra.map_or(0, |e| e.failures),
            losses: extra.map_or(0, |e| e.losses),
            snoozes: extra.map_or(0, |e| e.snoozes),
            enqueued_at: Time(fact.enqueued_at),
            since: Time(if slot.state() == State::Running {
                self.machine.held(at).started_at
            } else {
                slot.when
            }),
            last_error: extra.and_then(|e| e.last_error.as_deref()).map(Into::into),
            fingerprint: extra.and_then(|e| e.fingerprint),
            cause,
        }
    }
}

/// The options in a record.
pub(crate) fn options_of(fact: &JobFact<'_>) -> Options {
    if fact.options.is_empty() {
        return Options::default();
    }
    serde_json::from_slice(fact.options).unwrap_or_default()
}

fn contains(hay: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || hay.windows(needle.len()).any(|window| window == needle)
}

fn parse_cursor(text: &str) -> Result<(u32, u64), Rejection> {
    let parse = || {
        let (slot, seq) = text.split_once('.')?;
        Some((u32::from_str_radix(slot, 16).ok()?, u64::from_str_radix(seq, 16).ok()?))
    };
    parse().ok_or(Rejection::BadCursor)
}

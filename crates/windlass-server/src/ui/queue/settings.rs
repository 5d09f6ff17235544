//! The settings of a queue as a form.
//!
//! A form says beside what it holds what it held at first. Only what somebody changed is applied, to the settings as
//! they are when it comes in: two people who change two things do not undo each other.

use axum::extract::Path;
use axum::http::StatusCode;
use windlass_api::spell::rate::or_none;
use windlass_api::spell::retention::{self, Keep};
use windlass_api::spell::{retry, span};
use windlass_core::QueueName;
use windlass_core::queue::QueueSettings;
use windlass_look::Flash;

use super::super::form::{Fields, back, spelled};
use super::super::page::Reply;
use super::super::visit::Visit;
use super::field::{Field, GroupForm, faults, limits, number, spell_concurrency, spell_rate};
use super::{Shown, draw, find};

/// Settings of a queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct QueueForm {
    pub(crate) concurrency: Field,
    pub(crate) rate: Field,
    pub(crate) lease: Field,
    pub(crate) retry: Field,
    pub(crate) max_waiting: Field,
    pub(crate) completed: Field,
    pub(crate) cancelled: Field,
    pub(crate) dead: Field,
    pub(crate) group: GroupForm,
    /// What the form held at first, in one text.
    pub(crate) was: String,
    /// What is wrong with all of it together.
    pub(crate) fault: Option<String>,
}

impl QueueForm {
    pub(crate) fn of(settings: &QueueSettings) -> Self {
        let keep = &settings.retention;
        let mut form = Self {
            concurrency: Field::of(spell_concurrency(&settings.limits)),
            rate: Field::of(spell_rate(&settings.limits)),
            lease: Field::of(span::exact(settings.lease_ms)),
            retry: Field::of(retry::spell(&settings.retry)),
            max_waiting: Field::of(or_none(settings.max_waiting, |n| n.to_string())),
            completed: Field::of(retention::spell(keep.completed_ms, keep.completed_count)),
            cancelled: Field::of(retention::spell(keep.cancelled_ms, keep.cancelled_count)),
            dead: Field::of(retention::spell(keep.dead_ms, keep.dead_count)),
            group: GroupForm::of(&settings.groups),
            was: String::new(),
            fault: None,
        };
        form.was = spelled(form.pairs().iter().map(|(name, text)| (*name, text.as_str())));
        form
    }

    pub(crate) fn from_fields(fields: &Fields) -> Self {
        let field = |name: &str| Field::of(fields.word(name));
        Self {
            concurrency: field("concurrency"),
            rate: field("rate"),
            lease: field("lease"),
            retry: field("retry"),
            max_waiting: field("max_waiting"),
            completed: field("completed"),
            cancelled: field("cancelled"),
            dead: field("dead"),
            group: GroupForm::from_fields(fields, "group_"),
            was: fields.text("was").to_owned(),
            fault: None,
        }
    }

    /// What is wrong, a line for each field.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut all = faults([
            ("Concurrency", &self.concurrency),
            ("Rate", &self.rate),
            ("Waiting at most", &self.max_waiting),
            ("Lease", &self.lease),
            ("Retry policy", &self.retry),
            ("Completed jobs", &self.completed),
            ("Cancelled jobs", &self.cancelled),
            ("Dead jobs", &self.dead),
        ]);
        all.extend(self.group.faults().into_iter().map(|fault| format!("Groups: {fault}")));
        all.extend(self.fault.clone());
        all
    }

    /// Each value under its name, in the order of the form.
    fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![
            ("concurrency", self.concurrency.text.clone()),
            ("rate", self.rate.text.clone()),
            ("lease", self.lease.text.clone()),
            ("retry", self.retry.text.clone()),
            ("max_waiting", self.max_waiting.text.clone()),
            ("completed", self.completed.text.clone()),
            ("cancelled", self.cancelled.text.clone()),
            ("dead", self.dead.text.clone()),
        ];
        all.extend(self.group.pairs());
        all
    }

    /// Puts what nobody touched back to what stands now.
    fn rebase(&mut self, now: &Self) {
        let was = Self::from_fields(&Fields::parse(&self.was));
        let keep = |mine: &mut Field, was: &Field, now: &Field| {
            if mine.text == was.text {
                mine.text.clone_from(&now.text);
            }
        };
        keep(&mut self.concurrency, &was.concurrency, &now.concurrency);
        keep(&mut self.rate, &was.rate, &now.rate);
        keep(&mut self.lease, &was.lease, &now.lease);
        keep(&mut self.retry, &was.retry, &now.retry);
        keep(&mut self.max_waiting, &was.max_waiting, &now.max_waiting);
        keep(&mut self.completed, &was.completed, &now.completed);
        keep(&mut self.cancelled, &was.cancelled, &now.cancelled);
        keep(&mut self.dead, &was.dead, &now.dead);
        keep(&mut self.group.weight, &was.group.weight, &now.group.weight);
        keep(&mut self.group.concurrency, &was.group.concurrency, &now.group.concurrency);
        keep(&mut self.group.rate, &was.group.rate, &now.group.rate);
        keep(&mut self.group.on_head_death, &was.group.on_head_death, &now.group.on_head_death);
        if self.group.ordered == was.group.ordered {
            self.group.ordered = now.group.ordered;
        }
    }

    /// The settings that are meant; what is wrong stands with its field.
    fn settings(&mut self, now: &QueueSettings) -> Option<QueueSettings> {
        let limits = limits(&mut self.concurrency, &mut self.rate);
        let lease_ms = self.lease.read(span::parse);
        let retry = self.retry.read(retry::parse);
        let max_waiting = self.max_waiting.read(number::<u64>);
        let completed = self.completed.read(str::parse::<Keep>);
        let cancelled = self.cancelled.read(str::parse::<Keep>);
        let dead = self.dead.read(str::parse::<Keep>);
        let groups = self.group.settings();
        let mut keep = now.retention;
        (keep.completed_ms, keep.completed_count) = bounds(completed?);
        (keep.cancelled_ms, keep.cancelled_count) = bounds(cancelled?);
        (keep.dead_ms, keep.dead_count) = bounds(dead?);
        Some(QueueSettings {
            paused: now.paused,
            limits: limits?,
            lease_ms: lease_ms?,
            retry: retry?,
            retention: keep,
            max_waiting: max_waiting?,
            groups: groups?,
        })
    }

    /// What changes from `then` to this, a line each.
    fn changes(&self, then: &Self) -> Vec<String> {
        let said = |text: &str| if text.is_empty() { "no".to_owned() } else { text.to_owned() };
        let pairs = then.pairs().into_iter().zip(self.pairs());
        pairs
            .filter(|((_, old), (_, new))| old != new)
            .map(|((name, old), (_, new))| {
                format!("{}: {} → {}", name.replace('_', " "), said(&old), said(&new))
            })
            .collect()
    }
}

/// Age and count that a form means: what it says of retention is all there is to it, so a half that it does not say has
/// no bound.
fn bounds(keep: Keep) -> (u64, u64) {
    (keep.age_ms.unwrap_or(u64::MAX), keep.count.unwrap_or(u64::MAX))
}

/// `POST /queues/{queue}/settings`: in force for every claim that begins after the answer.
pub(crate) async fn set(visit: Visit, Path(queue): Path<String>, fields: Fields) -> Reply {
    let queue = QueueName::new(queue)?;
    let info = find(&visit, &queue).await?;
    let now = QueueForm::of(&info.settings);
    let mut form = QueueForm::from_fields(&fields);
    form.rebase(&now);
    if let Some(settings) = form.settings(&info.settings) {
        let changes = QueueForm::of(&settings).changes(&now);
        let home = visit.frame("").queue(&queue);
        if changes.is_empty() {
            return Ok(back(&visit, &fields, &home, Flash::good("Nothing was changed.")));
        }
        match visit.store().set_queue(queue.clone(), settings, None).await? {
            Ok(()) => {
                let text = format!("Settings of queue {queue} are in force:\n{}", changes.join("\n"));
                return Ok(back(&visit, &fields, &home, Flash::good(text)));
            }
            Err(refused) => form.fault = Some(refused.to_string()),
        }
    }
    let shown = Shown { form: Some(form), status: StatusCode::UNPROCESSABLE_ENTITY, ..Shown::default() };
    draw(&visit, &queue, shown).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(settings: &QueueSettings, changes: &[(&str, &str)]) -> QueueForm {
        let at_first = QueueForm::of(settings);
        let mut pairs = at_first.pairs();
        for (name, text) in changes {
            let place = pairs.iter_mut().find(|(other, _)| other == name).expect("a field");
            place.1 = (*text).to_owned();
        }
        pairs.push(("was", at_first.was));
        QueueForm::from_fields(&Fields::parse(&spelled(
            pairs.iter().map(|(name, text)| (*name, text.as_str())),
        )))
    }

    #[test]
    fn a_form_that_nobody_touched_means_the_settings_that_it_was_made_of() {
        let settings = QueueSettings::default();
        let mut form = form(&settings, &[]);
        form.rebase(&QueueForm::of(&settings));
        assert_eq!(form.settings(&settings), Some(settings));
    }

    #[test]
    fn what_another_person_changed_meanwhile_stays() {
        let seen = QueueSettings::default();
        let mut form = form(&seen, &[("concurrency", "7"), ("completed", "1h"), ("group_ordered", "yes")]);
        let now = QueueSettings { lease_ms: 90_000, paused: true, ..seen };
        form.rebase(&QueueForm::of(&now));
        let settings = form.settings(&now).expect("settings");
        assert_eq!(
            (settings.lease_ms, settings.paused, settings.limits.concurrency),
            (90_000, true, Some(7))
        );
        assert_eq!(
            (settings.retention.completed_ms, settings.retention.completed_count),
            (3_600_000, u64::MAX)
        );
        assert!(settings.groups.ordered);
        let changes = QueueForm::of(&settings).changes(&QueueForm::of(&now));
        assert_eq!(
            changes,
            ["concurrency: none → 7", "completed: 1d,1000000 → 1h", "group ordered: no → yes"]
        );
    }

    #[test]
    fn every_field_that_makes_no_sense_says_why() {
        let settings = QueueSettings::default();
        let mut form =
            form(&settings, &[("rate", "fast"), ("lease", "soon"), ("group_weight", "heavy"), ("dead", "x")]);
        assert_eq!(form.settings(&settings), None);
        for (field, word) in [
            (&form.rate, "100/1m"),
            (&form.lease, "10m"),
            (&form.group.weight, "1,000"),
            (&form.dead, "forever"),
        ] {
            assert!(field.fault.as_ref().is_some_and(|fault| fault.contains(word)), "{field:?}");
        }
        assert_eq!(form.concurrency.fault, None);
    }
}

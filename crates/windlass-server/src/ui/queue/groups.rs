//! The groups that share a queue: who gets how much of it, and the settings of one of them at a time.

use axum::extract::Path;
use axum::http::StatusCode;
use windlass_core::store::{GroupInfo, QueueInfo};
use windlass_core::{GroupKey, QueueName, State, StoreError};
use windlass_look::Frame;

use super::super::form::{Fields, back, said, spelled};
use super::super::page::Reply;
use super::super::visit::Visit;
use super::super::words::{self, When};
use super::field::{GroupForm, spell_concurrency, spell_rate};
use super::{Shown, draw, find};
use crate::answer::Fault;

/// Groups of a page.
const GROUPS_SHOWN: usize = 50;
/// How the group of the jobs without one is named in an address; a key stands behind a `~` there.
const UNGROUPED: &str = "ungrouped";

/// One group in the table.
pub(crate) struct GroupRow {
    /// Its key; none is the group of jobs without one.
    pub(crate) key: Option<String>,
    pub(crate) jobs: String,
    pub(crate) share: String,
    pub(crate) waiting: u64,
    pub(crate) waiting_said: String,
    pub(crate) running: u64,
    pub(crate) running_said: String,
    pub(crate) dead: u64,
    pub(crate) dead_said: String,
    pub(crate) weight: u16,
    pub(crate) own_settings: bool,
    pub(crate) ordered: bool,
    /// Concurrency and rate, where there are any.
    pub(crate) limits: Vec<String>,
    pub(crate) held_until: Option<When>,
    pub(crate) shut_by: Option<String>,
    pub(crate) edit: String,
    /// How the form names it.
    pub(crate) name: String,
    pub(crate) form: Option<GroupForm>,
}

/// A page of the groups.
pub(crate) struct GroupsView {
    pub(crate) rows: Vec<GroupRow>,
    pub(crate) all: String,
    pub(crate) first: Option<String>,
    pub(crate) next: Option<String>,
    /// The key after which the page begins; empty at the first one.
    pub(crate) after: String,
}

fn name_of(key: Option<&GroupKey>) -> String {
    key.map_or_else(|| UNGROUPED.to_owned(), |key| format!("~{key}"))
}

/// The key that a form or an address names.
fn key_of(name: &str) -> Result<Option<GroupKey>, Fault> {
    match name.strip_prefix('~') {
        Some(key) => Ok(Some(GroupKey::new(key)?)),
        None if name == UNGROUPED => Ok(None),
        None => Err(Fault::bad_request(format!("{name:?} names no group: write ~KEY, or {UNGROUPED}"))),
    }
}

impl GroupsView {
    pub(super) async fn load(visit: &Visit, info: &QueueInfo, shown: &Shown) -> Result<Self, StoreError> {
        let page = visit.store().groups(info.name.clone(), shown.after.clone(), GROUPS_SHOWN).await?;
        let f = visit.frame("queues");
        let claimed: u64 = page.items.iter().map(|group| group.claimed).sum();
        let rows = page.items.iter().map(|group| row(&f, info, group, claimed, shown, visit.now)).collect();
        let at = |rest: &str| format!("{}{rest}#groups", f.queue(&info.name));
        let last = page.items.last().and_then(|group| group.key.as_ref());
        let next = last
            .filter(|_| page.next.is_some())
            .map(|key| at(&format!("?after={}", words::part(key.as_str()))));
        Ok(Self {
            rows,
            all: words::many(info.groups, "group with live jobs", "groups with live jobs"),
            after: shown.after.as_ref().map(ToString::to_string).unwrap_or_default(),
            first: shown.after.is_some().then(|| at("")),
            next,
        })
    }
}

fn row(
    f: &Frame,
    info: &QueueInfo,
    group: &GroupInfo,
    claimed: u64,
    shown: &Shown,
    now: windlass_core::Time,
) -> GroupRow {
    let name = name_of(group.key.as_ref());
    let limits = &group.settings.limits;
    let mut told = Vec::new();
    if limits.concurrency.is_some() {
        told.push(format!("{} at once", spell_concurrency(limits)));
    }
    if limits.rate.is_some() {
        told.push(spell_rate(limits));
    }
    let (waiting, running, dead) =
        (group.counts.waiting(), group.counts.of(State::Running), group.counts.of(State::Dead));
    let mut conditions = vec![("queue", info.name.as_str())];
    conditions.extend(group.key.as_ref().map(|key| ("group", key.as_str())));
    let is_edited = shown.edit.as_deref() == Some(name.as_str());
    GroupRow {
        key: group.key.as_ref().map(ToString::to_string),
        jobs: f.jobs(&conditions),
        share: share(group.claimed, claimed),
        waiting,
        waiting_said: words::count(waiting),
        running,
        running_said: words::count(running),
        dead,
        dead_said: words::count(dead),
        weight: group.settings.weight,
        own_settings: group.own_settings,
        ordered: group.settings.ordered,
        limits: told,
        held_until: words::some_when(group.held_until.filter(|at| *at > now), now),
        shut_by: group.shut_by.map(|id| f.job(id)),
        edit: edit_at(f, info, shown, &name),
        form: is_edited.then(|| shown.group_form.clone().unwrap_or_else(|| GroupForm::of(&group.settings))),
        name,
    }
}

/// The page that is shown, with the form of that group.
fn edit_at(f: &Frame, info: &QueueInfo, shown: &Shown, name: &str) -> String {
    let mut fields = vec![("edit", name)];
    fields.extend(shown.after.as_ref().map(|after| ("after", after.as_str())));
    format!("{}?{}#groups", f.queue(&info.name), spelled(fields))
}

/// A part of the claims of the groups shown.
fn share(part: u64, whole: u64) -> String {
    match whole {
        0 => words::NOTHING.to_owned(),
        _ => format!("{:.1} %", part as f64 * 100.0 / whole as f64),
    }
}

/// `POST /queues/{queue}/groups`: settings of its own for one group.
pub(crate) async fn set_group(visit: Visit, Path(queue): Path<String>, fields: Fields) -> Reply {
    let queue = QueueName::new(queue)?;
    find(&visit, &queue).await?;
    let name = fields.text("group").to_owned();
    let key = key_of(&name)?;
    let mut form = GroupForm::from_fields(&fields, "");
    if let Some(settings) = form.settings() {
        let text = format!(
            "{} of queue {queue} has weight {}, concurrency {}, rate {}.",
            called(key.as_ref()),
            settings.weight,
            spell_concurrency(&settings.limits),
            spell_rate(&settings.limits)
        );
        match visit.store().set_group(queue.clone(), key, Some(settings), None).await? {
            Ok(()) => {
                let home = format!("{}#groups", visit.frame("").queue(&queue));
                return Ok(back(&visit, &fields, &home, said(Ok(()), text)));
            }
            Err(refused) => form.fault = Some(refused.to_string()),
        }
    }
    let shown = Shown {
        after: fields.filled("after").map(GroupKey::new).transpose()?,
        edit: Some(name),
        group_form: Some(form),
        status: StatusCode::UNPROCESSABLE_ENTITY,
        ..Shown::default()
    };
    draw(&visit, &queue, shown).await
}

/// `POST /queues/{queue}/groups/reset`: the queue's defaults again.
pub(crate) async fn reset_group(visit: Visit, Path(queue): Path<String>, fields: Fields) -> Reply {
    let queue = QueueName::new(queue)?;
    let key = key_of(fields.text("group"))?;
    let text = format!("{} of queue {queue} has the queue's defaults again.", called(key.as_ref()));
    let answer = visit.store().set_group(queue.clone(), key, None, None).await?;
    let home = format!("{}#groups", visit.frame("").queue(&queue));
    Ok(back(&visit, &fields, &home, said(answer, text)))
}

fn called(key: Option<&GroupKey>) -> String {
    key.map_or_else(|| "The group of jobs without one".to_owned(), |key| format!("Group {key}"))
}

//! What became known of messages and contacts, once each.

use windlass::Time;

use crate::{
    channel::Channel,
    db::{DbError, Tx},
    model::{
        CampaignId, ContactId, TouchId,
        touch::{EventKind, Touch},
        variant::Variant,
    },
};

/// Something that became known.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Event {
    /// When.
    pub at: Time,
    /// What.
    pub kind: EventKind,
    /// Who said so: `worker`, a provider's name, a person.
    pub source: String,
    /// In their words.
    pub detail: String,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, Default)]
pub struct About {
    /// A message.
    pub touch: Option<TouchId>,
    /// Its campaign.
    pub campaign: Option<CampaignId>,
    /// A contact.
    pub contact: Option<ContactId>,
}

impl From<&Touch> for About {
    fn from(touch: &Touch) -> Self {
        Self { touch: Some(touch.id), campaign: Some(touch.campaign), contact: Some(touch.contact) }
    }
}

/// Writes an event down; false when its source has told of it before, by that key.
///
/// # Errors
/// The database's.
pub fn note(
    tx: &mut Tx<'_>,
    about: impl Into<About>,
    kind: EventKind,
    source: &str,
    detail: &str,
    key: Option<&str>,
    at: Time,
) -> Result<bool, DbError> {
    let about = about.into();
    let sql = "INSERT INTO events (at, kind, touch_id, campaign_id, contact_id, source, detail, key)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (key) DO NOTHING";
    let values = [
        at.into(),
        kind.into(),
        about.touch.into(),
        about.campaign.into(),
        about.contact.into(),
        source.into(),
        detail.into(),
        key.into(),
    ];
    Ok(tx.run(sql, &values)? > 0)
}

/// The message of the event of that key, if its source has told of one: none is an event of no message.
///
/// # Errors
/// The database's.
pub fn of_key(tx: &mut Tx<'_>, key: &str) -> Result<Option<Option<TouchId>>, DbError> {
    let row = tx.row("SELECT touch_id FROM events WHERE key = $1", &[key.into()])?;
    row.map(|mut row| Ok(row.maybe_int()?.map(TouchId))).transpose()
}

/// The events of a message, in their order.
///
/// # Errors
/// The database's.
pub fn of_touch(tx: &mut Tx<'_>, touch: TouchId) -> Result<Vec<Event>, DbError> {
    let rows = tx.rows(
        "SELECT at, kind, source, detail FROM events WHERE touch_id = $1 ORDER BY id",
        &[touch.into()],
    )?;
    rows.into_iter()
        .map(|mut row| {
            Ok(Event { at: row.time()?, kind: row.word()?, source: row.text()?, detail: row.text()? })
        })
        .collect()
}

/// Whether something of that kind is known of a contact in a campaign.
///
/// # Errors
/// The database's.
pub fn is_known(
    tx: &mut Tx<'_>,
    campaign: CampaignId,
    contact: ContactId,
    kind: EventKind,
) -> Result<bool, DbError> {
    let sql = "SELECT 1 FROM events WHERE contact_id = $1 AND campaign_id = $2 AND kind = $3 LIMIT 1";
    tx.is_there(sql, &[contact.into(), campaign.into(), kind.into()])
}

/// How many messages of a step were answered how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// The key of the step.
    pub step_key: u32,
    /// The channel.
    pub channel: Channel,
    /// The version of the sequence by which they go.
    pub version: u32,
    /// Which variant of the step they are.
    pub variant: Option<Variant>,
    /// Whether their provider has taken them, as far as is known.
    pub are_sent: bool,
    /// How; a complaint is an opt-out.
    pub kind: EventKind,
    /// How many, each once.
    pub count: i64,
}

/// How many messages of a campaign were answered how.
///
/// # Errors
/// The database's.
pub fn answers(tx: &mut Tx<'_>, campaign: CampaignId) -> Result<Vec<Answers>, DbError> {
    // The kinds are those of the index `events_answers`, word by word.
    let sql = "SELECT t.step_key, t.channel, t.version, t.variant,
               CASE WHEN t.status IN ('sent', 'delivered', 'bounced') THEN 1 ELSE 0 END AS are_sent,
               CASE WHEN e.kind = 'complained' THEN 'opted_out' ELSE e.kind END AS said, count(DISTINCT t.id)
               FROM events AS e JOIN touches AS t ON t.id = e.touch_id
               WHERE e.campaign_id = $1 AND e.kind IN ('opened', 'clicked', 'replied', 'opted_out', 'complained')
               GROUP BY t.step_key, t.channel, t.version, t.variant, are_sent, said
               ORDER BY t.step_key, t.channel, t.version, t.variant, are_sent, said";
    let rows = tx.rows(sql, &[campaign.into()])?;
    rows.into_iter()
        .map(|mut row| {
            Ok(Answers {
                step_key: row.small()?,
                channel: row.word()?,
                version: row.small()?,
                variant: Variant::named(&row.text()?),
                are_sent: row.bool()?,
                kind: row.word()?,
                count: row.int()?,
            })
        })
        .collect()
}

/// The newest events that are looked at for failures: events have no order by their source.
const RECENT: i64 = 20_000;

/// How often that source said no, or nothing, since then, among the newest events.
///
/// # Errors
/// The database's.
pub fn failures_since(tx: &mut Tx<'_>, source: &str, since: Time) -> Result<i64, DbError> {
    let sql = "SELECT count(*) FROM events WHERE id > (SELECT COALESCE(max(id), 0) FROM events) - $3
               AND source = $1 AND at >= $2 AND kind IN ('failed', 'deferred')";
    tx.count(sql, &[source.into(), since.into(), RECENT.into()])
}

/// What that source said then, newest first, among the newest events.
///
/// # Errors
/// The database's.
pub fn failures_of(tx: &mut Tx<'_>, source: &str, limit: u32) -> Result<Vec<(Time, String)>, DbError> {
    let sql = "SELECT at, detail FROM events WHERE id > (SELECT COALESCE(max(id), 0) FROM events) - $3
               AND source = $1 AND kind IN ('failed', 'deferred') ORDER BY id DESC LIMIT $2";
    let rows = tx.rows(sql, &[source.into(), limit.into(), RECENT.into()])?;
    rows.into_iter().map(|mut row| Ok((row.time()?, row.text()?))).collect()
}

/// The events of a contact, in their order.
///
/// # Errors
/// The database's.
pub fn of_contact(tx: &mut Tx<'_>, contact: ContactId) -> Result<Vec<(Option<TouchId>, Event)>, DbError> {
    let sql = "SELECT touch_id, at, kind, source, detail FROM events WHERE contact_id = $1 ORDER BY id";
    let rows = tx.rows(sql, &[contact.into()])?;
    rows.into_iter()
        .map(|mut row| {
            let touch = row.maybe_int()?.map(TouchId);
            Ok((
                touch,
                Event { at: row.time()?, kind: row.word()?, source: row.text()?, detail: row.text()? },
            ))
        })
        .collect()
}

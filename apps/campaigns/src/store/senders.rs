//! Senders.

use std::collections::BTreeSet;

use windlass::Time;

use super::select;
use crate::{
    channel::{Channel, breaker::Breaker},
    db::{DbError, Row, Tx, Value},
    model::{
        CampaignId, ProviderId, SenderId, UserId,
        sender::{Health, Sender, WarmUp},
    },
};

macro_rules! columns {
    () => {
        "id, user_id, channel, name, address, provider_id, time_zone, daily_cap, per_minute, warm_up, cap_today, paused, pause_reason, revision, paused_until"
    };
}

fn read(mut row: Row) -> Result<Sender, DbError> {
    Ok(Sender {
        id: SenderId(row.int()?),
        user: row.maybe_int()?.map(UserId),
        channel: row.word()?,
        name: row.text()?,
        address: row.text()?,
        provider: ProviderId(row.int()?),
        time_zone: row.text()?,
        daily_cap: row.small()?,
        per_minute: row.maybe_int()?.and_then(|value| u32::try_from(value).ok()),
        warm_up: row.json()?,
        cap_today: row.small()?,
        paused: row.bool()?,
        pause_reason: row.text()?,
        revision: row.int()?,
        paused_until: row.maybe_time()?,
    })
}

/// Makes a sender, or changes the one of that address; its number and revision are the database's.
///
/// # Errors
/// The database's.
pub fn set(tx: &mut Tx<'_>, sender: &Sender, now: Time) -> Result<SenderId, DbError> {
    let sql = "INSERT INTO senders (user_id, channel, name, address, provider_id, time_zone, daily_cap, per_minute, warm_up, cap_today, created_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
               ON CONFLICT (channel, address) DO UPDATE SET user_id = excluded.user_id, name = excluded.name,
               provider_id = excluded.provider_id, time_zone = excluded.time_zone, daily_cap = excluded.daily_cap,
               per_minute = excluded.per_minute, warm_up = excluded.warm_up, cap_today = excluded.cap_today,
               revision = senders.revision + 1
               RETURNING id";
    let values = [
        sender.user.into(),
        sender.channel.into(),
        sender.name.as_str().into(),
        sender.address.as_str().into(),
        sender.provider.into(),
        sender.time_zone.as_str().into(),
        sender.daily_cap.into(),
        sender.per_minute.into(),
        Value::json(&sender.warm_up),
        sender.cap_today.into(),
        now.into(),
    ];
    tx.count(sql, &values).map(SenderId)
}

/// One sender.
///
/// # Errors
/// The database's.
pub fn get(tx: &mut Tx<'_>, id: SenderId) -> Result<Option<Sender>, DbError> {
    tx.row(select!(columns, "FROM senders WHERE id = $1"), &[id.into()])?.map(read).transpose()
}

/// The sender with that address.
///
/// # Errors
/// The database's.
pub fn by_address(tx: &mut Tx<'_>, channel: Channel, address: &str) -> Result<Option<Sender>, DbError> {
    let sql = select!(columns, "FROM senders WHERE channel = $1 AND address = $2");
    tx.row(sql, &[channel.into(), address.into()])?.map(read).transpose()
}

/// All senders.
///
/// # Errors
/// The database's.
pub fn all(tx: &mut Tx<'_>) -> Result<Vec<Sender>, DbError> {
    tx.rows(select!(columns, "FROM senders ORDER BY channel, address"), &[])?.into_iter().map(read).collect()
}

/// The senders of a campaign for one channel, in a stable order.
///
/// # Errors
/// The database's.
pub fn of_campaign(tx: &mut Tx<'_>, campaign: CampaignId, channel: Channel) -> Result<Vec<Sender>, DbError> {
    let sql = select!(
        columns,
        "FROM senders WHERE channel = $2 AND id IN (SELECT sender_id FROM campaign_senders WHERE campaign_id = $1) ORDER BY id"
    );
    tx.rows(sql, &[campaign.into(), channel.into()])?.into_iter().map(read).collect()
}

/// Chooses the senders of a campaign; whether they are others than before.
///
/// # Errors
/// The database's.
pub fn choose(tx: &mut Tx<'_>, campaign: CampaignId, senders: &[SenderId]) -> Result<bool, DbError> {
    let chosen = "SELECT sender_id FROM campaign_senders WHERE campaign_id = $1";
    let before = tx.rows(chosen, &[campaign.into()])?.into_iter().map(|mut row| row.int().map(SenderId));
    let before: BTreeSet<SenderId> = before.collect::<Result<_, _>>()?;
    tx.run("DELETE FROM campaign_senders WHERE campaign_id = $1", &[campaign.into()])?;
    let rows: Vec<_> = senders.iter().map(|sender| vec![campaign.into(), (*sender).into()]).collect();
    let sql = "INSERT INTO campaign_senders (campaign_id, sender_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    tx.run_each(sql, &rows)?;
    Ok(before != senders.iter().copied().collect())
}

/// Pauses a sender until a person lets it go on, or lets it go on.
///
/// # Errors
/// The database's.
pub fn pause(tx: &mut Tx<'_>, id: SenderId, paused: bool, why: &str) -> Result<bool, DbError> {
    let sql =
        "UPDATE senders SET paused = $2, pause_reason = $3, paused_until = NULL, revision = revision + 1
               WHERE id = $1";
    Ok(tx.run(sql, &[id.into(), paused.into(), why.into()])? > 0)
}

/// Pauses a sender until then.
///
/// # Errors
/// The database's.
pub fn pause_until(tx: &mut Tx<'_>, id: SenderId, why: &str, until: Time) -> Result<bool, DbError> {
    let sql = "UPDATE senders SET paused = 1, pause_reason = $2, paused_until = $3, revision = revision + 1
               WHERE id = $1";
    Ok(tx.run(sql, &[id.into(), why.into(), until.into()])? > 0)
}

/// Lets a sender go on whose pause is over by then; false when it is not.
///
/// # Errors
/// The database's.
pub fn end_pause(tx: &mut Tx<'_>, id: SenderId, now: Time) -> Result<bool, DbError> {
    let sql = "UPDATE senders SET paused = 0, pause_reason = '', paused_until = NULL, revision = revision + 1
               WHERE id = $1 AND paused = 1 AND paused_until <= $2";
    Ok(tx.run(sql, &[id.into(), now.into()])? > 0)
}

/// The senders whose pauses are over by then.
///
/// # Errors
/// The database's.
pub fn pauses_over(tx: &mut Tx<'_>, now: Time) -> Result<Vec<SenderId>, DbError> {
    let sql = "SELECT id FROM senders WHERE paused = 1 AND paused_until <= $1 ORDER BY id";
    tx.rows(sql, &[now.into()])?.into_iter().map(|mut row| row.int().map(SenderId)).collect()
}

/// Pauses a sender for what became of its messages; false when it was paused. One that would go on by itself does not any
/// more.
///
/// # Errors
/// The database's.
pub fn brake(tx: &mut Tx<'_>, id: SenderId, why: &str) -> Result<bool, DbError> {
    let sql = "UPDATE senders SET paused = 1, pause_reason = $2, paused_until = NULL, revision = revision + 1
               WHERE id = $1 AND (paused = 0 OR paused_until IS NOT NULL)";
    Ok(tx.run(sql, &[id.into(), why.into()])? > 0)
}

/// Has the brake judge a sender by what it sends from then on.
///
/// # Errors
/// The database's.
pub fn judge_from(tx: &mut Tx<'_>, id: SenderId, from: Time) -> Result<(), DbError> {
    tx.run("UPDATE senders SET judged_from = $2 WHERE id = $1", &[id.into(), from.into()]).map(drop)
}

/// Bounces of a sender that were known at once: no provider has them, and they have no moment at which one took them. The
/// words are those of the index `touches_bounced`.
macro_rules! bounced_at_once {
    () => {
        "FROM touches WHERE sender_id = $1 AND status = 'bounced' AND sent_at IS NULL"
    };
}

/// How many of a sender's last messages have bounced, as far as it is judged by them: among at most so many that were taken,
/// and of those that were offered meanwhile. Complaints are not counted.
///
/// # Errors
/// The database's.
pub fn bounces_of_late(tx: &mut Tx<'_>, id: SenderId, last: u32) -> Result<Health, DbError> {
    let sql = concat!(
        "WITH late AS (
           SELECT status, sent_at FROM touches WHERE sender_id = $1
           AND sent_at >= (SELECT judged_from FROM senders WHERE id = $1) ORDER BY sent_at DESC LIMIT $2),
         at_once AS (
           SELECT id ",
        bounced_at_once!(),
        " AND ended_at >= (SELECT judged_from FROM senders WHERE id = $1)
           AND ended_at >= (SELECT CASE WHEN count(*) < $2 THEN 0 ELSE min(sent_at) END FROM late) LIMIT $2)
         SELECT (SELECT count(*) FROM late), (SELECT count(*) FROM late WHERE status = 'bounced'),
         (SELECT count(*) FROM at_once)"
    );
    bounces(tx.row(sql, &[id.into(), last.into()])?)
}

/// What was taken, what of it has bounced, and what has bounced at once besides.
fn bounces(row: Option<Row>) -> Result<Health, DbError> {
    let Some(mut row) = row else { return Ok(Health::default()) };
    let mut count = || row.int().map(|value| u64::try_from(value).unwrap_or(0));
    let (taken, later, at_once) = (count()?, count()?, count()?);
    Ok(Health { sent: taken + at_once, bounced: later + at_once, complained: 0 })
}

/// How often a sender's last messages were reported as spam, as far as it is judged by them: at most so many. Bounces are not
/// counted.
///
/// # Errors
/// The database's.
pub fn complaints_of_late(tx: &mut Tx<'_>, id: SenderId, last: u32) -> Result<Health, DbError> {
    let sql = "WITH late AS (
                 SELECT id FROM touches WHERE sender_id = $1
                 AND sent_at >= (SELECT judged_from FROM senders WHERE id = $1) ORDER BY sent_at DESC LIMIT $2)
               SELECT (SELECT count(*) FROM late), (SELECT count(*) FROM late WHERE EXISTS (
                 SELECT 1 FROM events WHERE events.touch_id = late.id AND events.kind = 'complained'))";
    let Some(mut row) = tx.row(sql, &[id.into(), last.into()])? else { return Ok(Health::default()) };
    let mut count = || row.int().map(|value| u64::try_from(value).unwrap_or(0));
    Ok(Health { sent: count()?, bounced: 0, complained: count()? })
}

/// The next day of a sender's warm-up.
///
/// # Errors
/// The database's.
pub fn grow(tx: &mut Tx<'_>, id: SenderId, warm_up: WarmUp, cap_today: u32) -> Result<(), DbError> {
    let sql = "UPDATE senders SET warm_up = $2, cap_today = $3 WHERE id = $1";
    tx.run(sql, &[id.into(), Value::json(&warm_up), cap_today.into()]).map(drop)
}

/// How a sender's messages fared that went out in that time.
///
/// # Errors
/// The database's.
pub fn health(tx: &mut Tx<'_>, id: SenderId, from: Time, to: Time) -> Result<Health, DbError> {
    let sql = concat!(
        "SELECT count(*), COALESCE(sum(CASE WHEN status = 'bounced' THEN 1 ELSE 0 END), 0), (SELECT count(*) ",
        bounced_at_once!(),
        " AND ended_at >= $2 AND ended_at < $3)
         FROM touches WHERE sender_id = $1 AND sent_at >= $2 AND sent_at < $3"
    );
    let within = [id.into(), from.into(), to.into()];
    let health = bounces(tx.row(sql, &within)?)?;
    let sql = "SELECT count(*) FROM events WHERE kind = 'complained' AND at >= $2 AND at < $3
               AND touch_id IN (SELECT id FROM touches WHERE sender_id = $1)";
    let complained = u64::try_from(tx.count(sql, &within)?).unwrap_or(0);
    Ok(Health { complained, ..health })
}

/// The breaker of a sender.
///
/// # Errors
/// The database's.
pub fn breaker(tx: &mut Tx<'_>, id: SenderId) -> Result<Breaker, DbError> {
    super::providers::kept(tx.row("SELECT breaker FROM senders WHERE id = $1", &[id.into()])?)
}

/// Keeps it, if it is still as it was; false when it is not.
///
/// # Errors
/// The database's.
pub fn keep_breaker(
    tx: &mut Tx<'_>,
    id: SenderId,
    before: &Breaker,
    after: &Breaker,
) -> Result<bool, DbError> {
    let sql =
        "UPDATE senders SET breaker = $3 WHERE id = $1 AND (breaker = $2 OR (breaker = '' AND $2 = $4))";
    let values = [id.into(), Value::json(before), Value::json(after), Value::json(&Breaker::default())];
    Ok(tx.run(sql, &values)? > 0)
}

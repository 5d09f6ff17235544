//! Campaigns and their sequences.

use windlass::Time;

use super::{lists, select};
use crate::{
    db::{DbError, Row, Tx, Value},
    model::{
        CampaignId, ListId, SenderId, UserId,
        campaign::{Campaign, CampaignStatus, Step},
        sequence,
    },
};

macro_rules! columns {
    () => {
        "id, user_id, name, status, list_id, version, weight, daily_cap, policy, stop_rules, postal_address, starts_at, launched_at, paged_at, ended_at, contacts, revision, created_at, new_per_day, paused_until"
    };
}

fn read(mut row: Row) -> Result<Campaign, DbError> {
    Ok(Campaign {
        id: CampaignId(row.int()?),
        user: UserId(row.int()?),
        name: row.text()?,
        status: row.word()?,
        list: row.maybe_int()?.map(ListId),
        version: row.small()?,
        weight: row.small()?,
        daily_cap: row.maybe_int()?.and_then(|value| u32::try_from(value).ok()),
        policy: row.json()?,
        stop_rules: row.json()?,
        postal_address: row.text()?,
        starts_at: row.maybe_time()?,
        launched_at: row.maybe_time()?,
        paged_at: row.maybe_time()?,
        ended_at: row.maybe_time()?,
        contacts: row.small()?,
        revision: row.int()?,
        created_at: row.time()?,
        new_per_day: row.maybe_int()?.and_then(|value| u32::try_from(value).ok()),
        paused_until: row.maybe_time()?,
    })
}

/// Makes a draft; its number is the database's. Its sequence is version 1, and gives its steps their keys.
///
/// # Errors
/// The database's.
pub fn create(tx: &mut Tx<'_>, draft: &Campaign, steps: &[Step], now: Time) -> Result<CampaignId, DbError> {
    let sql = "INSERT INTO campaigns (user_id, name, status, list_id, version, weight, daily_cap, policy, stop_rules,
               postal_address, starts_at, created_at, new_per_day)
               VALUES ($1, $2, 'draft', $3, 1, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id";
    let values = [
        draft.user.into(),
        draft.name.as_str().into(),
        draft.list.into(),
        draft.weight.into(),
        draft.daily_cap.into(),
        Value::json(&draft.policy),
        Value::json(&draft.stop_rules),
        draft.postal_address.as_str().into(),
        draft.starts_at.into(),
        now.into(),
        draft.new_per_day.into(),
    ];
    let id = CampaignId(tx.count(sql, &values)?);
    write_steps(tx, id, 1, &sequence::first(steps), now)?;
    Ok(id)
}

/// Writes the settings of a campaign if nobody has changed it since; false when somebody has.
///
/// # Errors
/// The database's.
pub fn edit(tx: &mut Tx<'_>, campaign: &Campaign) -> Result<bool, DbError> {
    let sql = "UPDATE campaigns SET name = $3, list_id = $4, weight = $5, daily_cap = $6, policy = $7, stop_rules = $8,
               postal_address = $9, starts_at = $10, version = $11, new_per_day = $12, revision = revision + 1
               WHERE id = $1 AND revision = $2";
    let values = [
        campaign.id.into(),
        campaign.revision.into(),
        campaign.name.as_str().into(),
        campaign.list.into(),
        campaign.weight.into(),
        campaign.daily_cap.into(),
        Value::json(&campaign.policy),
        Value::json(&campaign.stop_rules),
        campaign.postal_address.as_str().into(),
        campaign.starts_at.into(),
        campaign.version.into(),
        campaign.new_per_day.into(),
    ];
    Ok(tx.run(sql, &values)? > 0)
}

/// Writes the steps of a version; those of a version that was launched are never written again.
///
/// # Errors
/// The database's.
pub fn write_steps(
    tx: &mut Tx<'_>,
    id: CampaignId,
    version: u32,
    steps: &[Step],
    now: Time,
) -> Result<(), DbError> {
    let sql = "INSERT INTO sequences (campaign_id, version, steps, created_at) VALUES ($1, $2, $3, $4)
               ON CONFLICT (campaign_id, version) DO UPDATE SET steps = excluded.steps
               WHERE NOT EXISTS (SELECT 1 FROM enrolments WHERE campaign_id = $1 AND version = $2)";
    tx.run(sql, &[id.into(), version.into(), Value::json(steps), now.into()]).map(drop)
}

/// Each version of a campaign's sequence with its steps, in their order.
///
/// # Errors
/// The database's.
pub fn versions(tx: &mut Tx<'_>, id: CampaignId) -> Result<Vec<(u32, Vec<Step>)>, DbError> {
    let sql = "SELECT version, steps FROM sequences WHERE campaign_id = $1 ORDER BY version";
    let rows = tx.rows(sql, &[id.into()])?;
    rows.into_iter().map(|mut row| Ok((row.small()?, row.json()?))).collect()
}

/// The steps of a version.
///
/// # Errors
/// The database's; that there is none.
pub fn steps(tx: &mut Tx<'_>, id: CampaignId, version: u32) -> Result<Vec<Step>, DbError> {
    let sql = "SELECT steps FROM sequences WHERE campaign_id = $1 AND version = $2";
    tx.row(sql, &[id.into(), version.into()])?
        .ok_or_else(|| DbError::Row(format!("campaign {id} has no version {version}")))?
        .json()
}

/// The steps of that version of its sequence that has most.
///
/// # Errors
/// The database's.
pub fn most_steps(tx: &mut Tx<'_>, id: CampaignId) -> Result<usize, DbError> {
    let rows = tx.rows("SELECT steps FROM sequences WHERE campaign_id = $1", &[id.into()])?;
    let mut most = 0;
    for mut row in rows {
        most = most.max(row.json::<Vec<Step>>()?.len());
    }
    Ok(most)
}

/// One campaign.
///
/// # Errors
/// The database's.
pub fn get(tx: &mut Tx<'_>, id: CampaignId) -> Result<Option<Campaign>, DbError> {
    tx.row(select!(columns, "FROM campaigns WHERE id = $1"), &[id.into()])?.map(read).transpose()
}

/// How many contacts a campaign reaches: those who were on its list at the launch; of a draft, those who are on it now.
///
/// # Errors
/// The database's.
pub fn reaches(tx: &mut Tx<'_>, campaign: &Campaign) -> Result<u32, DbError> {
    match campaign.list.filter(|_| campaign.status == CampaignStatus::Draft) {
        Some(list) => Ok(u32::try_from(lists::size(tx, list)?).unwrap_or(u32::MAX)),
        None => Ok(campaign.contacts),
    }
}

/// Campaigns before that number, newest first.
///
/// # Errors
/// The database's.
pub fn page(tx: &mut Tx<'_>, before: CampaignId, limit: u32) -> Result<Vec<Campaign>, DbError> {
    let sql = select!(columns, "FROM campaigns WHERE id < $1 ORDER BY id DESC LIMIT $2");
    tx.rows(sql, &[before.into(), limit.into()])?.into_iter().map(read).collect()
}

/// The campaigns of a user that have touches to send.
///
/// # Errors
/// The database's.
pub fn live_of(tx: &mut Tx<'_>, user: UserId) -> Result<Vec<Campaign>, DbError> {
    let sql = select!(
        columns,
        "FROM campaigns WHERE user_id = $1 AND status IN ('scheduled', 'running', 'paused') ORDER BY id"
    );
    tx.rows(sql, &[user.into()])?.into_iter().map(read).collect()
}

/// The campaigns that have touches to send, of one user or of all.
///
/// # Errors
/// The database's.
pub fn live(tx: &mut Tx<'_>, user: Option<UserId>) -> Result<Vec<CampaignId>, DbError> {
    let sql = "SELECT id FROM campaigns WHERE status IN ('scheduled', 'running', 'paused')
               AND ($1 = 0 OR user_id = $1) ORDER BY id";
    tx.rows(sql, &[user.map_or(0, |user| user.0).into()])?
        .into_iter()
        .map(|mut row| row.int().map(CampaignId))
        .collect()
}

/// The campaigns that have touches to send, and this sender among theirs.
///
/// # Errors
/// The database's.
pub fn live_with(tx: &mut Tx<'_>, sender: SenderId) -> Result<Vec<CampaignId>, DbError> {
    let sql = "SELECT id FROM campaigns WHERE status IN ('scheduled', 'running', 'paused')
               AND id IN (SELECT campaign_id FROM campaign_senders WHERE sender_id = $1) ORDER BY id";
    tx.rows(sql, &[sender.into()])?.into_iter().map(|mut row| row.int().map(CampaignId)).collect()
}

/// Moves a campaign from one status to another; false when it is not where it was thought to be.
///
/// # Errors
/// The database's.
pub fn change(
    tx: &mut Tx<'_>,
    id: CampaignId,
    from: CampaignStatus,
    to: CampaignStatus,
    now: Time,
) -> Result<bool, DbError> {
    let ended = matches!(to, CampaignStatus::Done | CampaignStatus::Cancelled).then_some(now);
    let sql = "UPDATE campaigns SET status = $3, ended_at = $4, paused_until = NULL, revision = revision + 1
               WHERE id = $1 AND status = $2";
    Ok(tx.run(sql, &[id.into(), from.into(), to.into(), ended.into()])? > 0)
}

/// Notes when a paused campaign goes on by itself.
///
/// # Errors
/// The database's.
pub fn pause_until(tx: &mut Tx<'_>, id: CampaignId, until: Option<Time>) -> Result<(), DbError> {
    let sql = "UPDATE campaigns SET paused_until = $2 WHERE id = $1 AND status = 'paused'";
    tx.run(sql, &[id.into(), until.into()]).map(drop)
}

/// The campaigns whose pauses are over by then.
///
/// # Errors
/// The database's.
pub fn pauses_over(tx: &mut Tx<'_>, now: Time) -> Result<Vec<CampaignId>, DbError> {
    let sql = "SELECT id FROM campaigns WHERE status = 'paused' AND paused_until <= $1 ORDER BY id";
    tx.rows(sql, &[now.into()])?.into_iter().map(|mut row| row.int().map(CampaignId)).collect()
}

/// Launches a draft: enrols everybody who is on its list now, by the version that it has now.
///
/// # Errors
/// The database's.
pub fn enrol_all(tx: &mut Tx<'_>, campaign: &Campaign, now: Time) -> Result<u64, DbError> {
    let enrol = "INSERT INTO enrolments (campaign_id, contact_id, version, step, status, updated_at)
                 SELECT CAST($1 AS BIGINT), contact_id, CAST($3 AS BIGINT), 1, 'active', CAST($4 AS BIGINT)
                 FROM list_members WHERE list_id = $2
                 ON CONFLICT (campaign_id, contact_id) DO NOTHING";
    let list = campaign.list.map_or(Value::Null, Value::from);
    let values = [campaign.id.into(), list, campaign.version.into(), now.into()];
    let enrolled = tx.run(enrol, &values)?;
    let sql = "UPDATE campaigns SET contacts = $2, launched_at = $3 WHERE id = $1";
    tx.run(sql, &[campaign.id.into(), i64::try_from(enrolled).unwrap_or(i64::MAX).into(), now.into()])?;
    Ok(enrolled)
}

/// Notes that every contact has their first step in the queue.
///
/// # Errors
/// The database's.
pub fn paged(tx: &mut Tx<'_>, id: CampaignId, now: Time) -> Result<(), DbError> {
    let sql = "UPDATE campaigns SET paged_at = $2 WHERE id = $1 AND paged_at IS NULL";
    tx.run(sql, &[id.into(), now.into()]).map(drop)
}

/// Ends a campaign whose contacts have all come to their end; whether it did just now.
///
/// # Errors
/// The database's.
pub fn end_if_over(tx: &mut Tx<'_>, id: CampaignId, now: Time) -> Result<bool, DbError> {
    let sql = "UPDATE campaigns SET status = 'done', ended_at = $2, revision = revision + 1
               WHERE id = $1 AND status IN ('running', 'paused') AND paged_at IS NOT NULL
               AND NOT EXISTS (SELECT 1 FROM enrolments WHERE campaign_id = $1 AND status = 'active')";
    Ok(tx.run(sql, &[id.into(), now.into()])? > 0)
}

/// Lets one that was over not before that moment go on; false when it is not, or longer.
///
/// # Errors
/// The database's.
pub fn reopen(tx: &mut Tx<'_>, id: CampaignId, since: Time) -> Result<bool, DbError> {
    let sql = "UPDATE campaigns SET status = 'running', ended_at = NULL, revision = revision + 1
               WHERE id = $1 AND status = 'done' AND ended_at >= $2";
    Ok(tx.run(sql, &[id.into(), since.into()])? > 0)
}

/// The sequences by which live campaigns enrol.
///
/// # Errors
/// The database's.
pub fn live_sequences(tx: &mut Tx<'_>) -> Result<Vec<Vec<Step>>, DbError> {
    let sql = "SELECT s.steps FROM campaigns AS c JOIN sequences AS s ON s.campaign_id = c.id AND s.version = c.version
               WHERE c.status IN ('scheduled', 'running', 'paused')";
    tx.rows(sql, &[])?.into_iter().map(|mut row| row.json()).collect()
}

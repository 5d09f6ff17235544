//! Where each contact stands in each campaign.

use windlass::Time;

use crate::{
    db::{DbError, Row, Tx, Value},
    model::{
        CampaignId, ContactId,
        campaign::{EnrolmentStatus, StopReason},
    },
};

/// A contact in a campaign.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Enrolment {
    /// The campaign.
    pub campaign: CampaignId,
    /// The contact.
    pub contact: ContactId,
    /// The version of the sequence by which they go.
    pub version: u32,
    /// The step that is before them, from 1.
    pub step: u32,
    /// Where they stand.
    pub status: EnrolmentStatus,
    /// Why they were stopped: the word of a [`StopReason`], or nothing.
    pub reason: String,
    /// When the step is due.
    pub next_at: Option<Time>,
}

fn read(mut row: Row) -> Result<Enrolment, DbError> {
    Ok(Enrolment {
        campaign: CampaignId(row.int()?),
        contact: ContactId(row.int()?),
        version: row.small()?,
        step: row.small()?,
        status: row.word()?,
        reason: row.text()?,
        next_at: row.maybe_time()?,
    })
}

/// One enrolment.
///
/// # Errors
/// The database's.
pub fn get(tx: &mut Tx<'_>, campaign: CampaignId, contact: ContactId) -> Result<Option<Enrolment>, DbError> {
    let sql = "SELECT campaign_id, contact_id, version, step, status, reason, next_at FROM enrolments
               WHERE campaign_id = $1 AND contact_id = $2";
    tx.row(sql, &[campaign.into(), contact.into()])?.map(read).transpose()
}

/// The contacts of a campaign after that one, in their order, who have steps before them.
///
/// # Errors
/// The database's.
pub fn page(
    tx: &mut Tx<'_>,
    campaign: CampaignId,
    after: ContactId,
    limit: u32,
) -> Result<Vec<Enrolment>, DbError> {
    let sql = "SELECT campaign_id, contact_id, version, step, status, reason, next_at FROM enrolments
               WHERE campaign_id = $1 AND contact_id > $2 ORDER BY contact_id LIMIT $3";
    tx.rows(sql, &[campaign.into(), after.into(), limit.into()])?.into_iter().map(read).collect()
}

/// Which contacts of a campaign are meant.
#[derive(Clone, Debug, Default)]
pub struct Which {
    /// Who stand so.
    pub status: Option<EnrolmentStatus>,
    /// Whose sequence was stopped for that reason.
    pub reason: Option<StopReason>,
    /// Who go by that version.
    pub version: Option<u32>,
    /// Before whom that step is, from 1.
    pub step: Option<u32>,
}

/// Contacts of a campaign after that one, in their order.
///
/// # Errors
/// The database's.
pub fn list(
    tx: &mut Tx<'_>,
    campaign: CampaignId,
    which: &Which,
    after: ContactId,
    limit: u32,
) -> Result<Vec<Enrolment>, DbError> {
    let sql = "SELECT campaign_id, contact_id, version, step, status, reason, next_at FROM enrolments
               WHERE campaign_id = $1 AND contact_id > $2 AND ($3 = '' OR status = $3) AND ($4 = '' OR reason = $4)
               AND ($5 = 0 OR version = $5) AND ($6 = 0 OR step = $6) ORDER BY contact_id LIMIT $7";
    let values = [
        campaign.into(),
        after.into(),
        which.status.map_or(Value::Text(String::new()), Value::from),
        which.reason.map_or(Value::Text(String::new()), Value::from),
        which.version.unwrap_or(0).into(),
        which.step.unwrap_or(0).into(),
        limit.into(),
    ];
    tx.rows(sql, &values)?.into_iter().map(read).collect()
}

/// The enrolments of a contact.
///
/// # Errors
/// The database's.
pub fn of_contact(tx: &mut Tx<'_>, contact: ContactId) -> Result<Vec<Enrolment>, DbError> {
    let sql = "SELECT campaign_id, contact_id, version, step, status, reason, next_at FROM enrolments
               WHERE contact_id = $1 ORDER BY campaign_id";
    tx.rows(sql, &[contact.into()])?.into_iter().map(read).collect()
}

/// Moves a contact on to a step of their version that is due then; false when they are not before it any more, or go by
/// another version.
///
/// # Errors
/// The database's.
pub fn advance(
    tx: &mut Tx<'_>,
    campaign: CampaignId,
    contact: ContactId,
    (version, step): (u32, u32),
    due: Time,
    now: Time,
) -> Result<bool, DbError> {
    let sql = "UPDATE enrolments SET step = $3, next_at = $4, updated_at = $5
               WHERE campaign_id = $1 AND contact_id = $2 AND status = 'active' AND step < $3 AND version = $6";
    let values = [campaign.into(), contact.into(), step.into(), due.into(), now.into(), version.into()];
    Ok(tx.run(sql, &values)? > 0)
}

/// Contacts of a campaign after that one, in their order, whose next step has no message yet.
///
/// # Errors
/// The database's.
pub fn before_step(
    tx: &mut Tx<'_>,
    campaign: CampaignId,
    after: ContactId,
    limit: u32,
) -> Result<Vec<Enrolment>, DbError> {
    let sql = "SELECT campaign_id, contact_id, version, step, status, reason, next_at FROM enrolments AS e
               WHERE campaign_id = $1 AND contact_id > $2 AND status = 'active' AND NOT EXISTS (
                 SELECT 1 FROM touches AS t WHERE t.campaign_id = e.campaign_id AND t.contact_id = e.contact_id
                 AND t.step = e.step AND t.version = e.version)
               ORDER BY contact_id LIMIT $3";
    tx.rows(sql, &[campaign.into(), after.into(), limit.into()])?.into_iter().map(read).collect()
}

/// Writes down when the step is due that is before a contact; false when they are not at it any more.
///
/// # Errors
/// The database's.
pub fn set_due(
    tx: &mut Tx<'_>,
    campaign: CampaignId,
    contact: ContactId,
    step: u32,
    due: Time,
) -> Result<bool, DbError> {
    let sql = "UPDATE enrolments SET next_at = $4
               WHERE campaign_id = $1 AND contact_id = $2 AND step = $3 AND status = 'active'";
    Ok(tx.run(sql, &[campaign.into(), contact.into(), step.into(), due.into()])? > 0)
}

/// Ends the sequence for a contact, stopped for that reason or without one at its end; false when it had ended.
///
/// # Errors
/// The database's.
pub fn end(
    tx: &mut Tx<'_>,
    campaign: CampaignId,
    contact: ContactId,
    stopped: Option<StopReason>,
    now: Time,
) -> Result<bool, DbError> {
    let status = if stopped.is_some() { EnrolmentStatus::Stopped } else { EnrolmentStatus::Done };
    let reason = stopped.map_or_else(|| String::new().into(), Value::from);
    let sql = "UPDATE enrolments SET status = $3, reason = $4, next_at = NULL, updated_at = $5
               WHERE campaign_id = $1 AND contact_id = $2 AND status = 'active'";
    let values = [campaign.into(), contact.into(), status.into(), reason, now.into()];
    Ok(tx.run(sql, &values)? > 0)
}

/// Lets one who has come to the end be under way again, at the step where they are; false when they have not.
///
/// # Errors
/// The database's.
pub fn reopen(tx: &mut Tx<'_>, campaign: CampaignId, contact: ContactId, now: Time) -> Result<bool, DbError> {
    let sql = "UPDATE enrolments SET status = 'active', reason = '', updated_at = $3
               WHERE campaign_id = $1 AND contact_id = $2 AND status = 'done'";
    Ok(tx.run(sql, &[campaign.into(), contact.into(), now.into()])? > 0)
}

/// Ends every sequence of a contact that goes on; the campaigns.
///
/// # Errors
/// The database's.
pub fn stop_all(
    tx: &mut Tx<'_>,
    contact: ContactId,
    reason: StopReason,
    now: Time,
) -> Result<Vec<CampaignId>, DbError> {
    let sql = "UPDATE enrolments SET status = 'stopped', reason = $2, next_at = NULL, updated_at = $3
               WHERE contact_id = $1 AND status = 'active' RETURNING campaign_id";
    let rows = tx.rows(sql, &[contact.into(), reason.into(), now.into()])?;
    rows.into_iter().map(|mut row| row.int().map(CampaignId)).collect()
}

/// Ends every sequence of a campaign that goes on.
///
/// # Errors
/// The database's.
pub fn stop_campaign(
    tx: &mut Tx<'_>,
    campaign: CampaignId,
    reason: StopReason,
    now: Time,
) -> Result<u64, DbError> {
    let sql = "UPDATE enrolments SET status = 'stopped', reason = $2, next_at = NULL, updated_at = $3
               WHERE campaign_id = $1 AND status = 'active'";
    tx.run(sql, &[campaign.into(), reason.into(), now.into()])
}

/// Contacts of a campaign after that one, in their order, who have steps before them and go by a version before that one.
/// Of those who stand at the first step only, if that is wanted.
///
/// # Errors
/// The database's.
pub fn behind(
    tx: &mut Tx<'_>,
    campaign: CampaignId,
    version: u32,
    at_first: bool,
    after: ContactId,
    limit: u32,
) -> Result<Vec<Enrolment>, DbError> {
    let sql = "SELECT campaign_id, contact_id, version, step, status, reason, next_at FROM enrolments
               WHERE campaign_id = $1 AND contact_id > $2 AND status = 'active' AND version < $3
               AND ($4 = 0 OR step = 1) ORDER BY contact_id LIMIT $5";
    let values = [campaign.into(), after.into(), version.into(), at_first.into(), limit.into()];
    tx.rows(sql, &values)?.into_iter().map(read).collect()
}

/// Has a contact go on by another version, at that step of it, which is due then; false when their sequence has ended.
///
/// # Errors
/// The database's.
pub fn move_to(
    tx: &mut Tx<'_>,
    campaign: CampaignId,
    contact: ContactId,
    (version, step): (u32, u32),
    due: Option<Time>,
    now: Time,
) -> Result<bool, DbError> {
    let sql = "UPDATE enrolments SET version = $3, step = $4, next_at = $5, updated_at = $6
               WHERE campaign_id = $1 AND contact_id = $2 AND status = 'active'";
    let values = [campaign.into(), contact.into(), version.into(), step.into(), due.into(), now.into()];
    Ok(tx.run(sql, &values)? > 0)
}

/// How many contacts of a campaign come before that one, and not before the other.
///
/// # Errors
/// The database's.
pub fn between(
    tx: &mut Tx<'_>,
    campaign: CampaignId,
    from: ContactId,
    to: ContactId,
) -> Result<u32, DbError> {
    let sql =
        "SELECT count(*) FROM enrolments WHERE campaign_id = $1 AND contact_id >= $2 AND contact_id < $3";
    let count = tx.count(sql, &[campaign.into(), from.into(), to.into()])?;
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Contacts who stand at the same step of the same version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// The version by which they go.
    pub version: u32,
    /// The step of it that is before them.
    pub step: u32,
    /// Whether its message is made, and not sent yet.
    pub waits: bool,
    /// How many.
    pub count: i64,
}

/// Where the contacts of a campaign stand who have steps before them.
///
/// # Errors
/// The database's.
pub fn under_way(tx: &mut Tx<'_>, campaign: CampaignId) -> Result<Vec<UnderWay>, DbError> {
    let sql = "SELECT version, step, waits, count(*) FROM (
                 SELECT e.version AS version, e.step AS step, CASE WHEN EXISTS (
                   SELECT 1 FROM touches AS t WHERE t.campaign_id = e.campaign_id AND t.contact_id = e.contact_id
                   AND t.version = e.version AND t.step = e.step AND t.status IN ('queued', 'deferred', 'sending')
                 ) THEN 1 ELSE 0 END AS waits
                 FROM enrolments AS e WHERE e.campaign_id = $1 AND e.status = 'active'
               ) AS stands GROUP BY version, step, waits ORDER BY version, step, waits";
    let rows = tx.rows(sql, &[campaign.into()])?;
    let read = |mut row: Row| {
        Ok(UnderWay { version: row.small()?, step: row.small()?, waits: row.bool()?, count: row.int()? })
    };
    rows.into_iter().map(read).collect()
}

/// How many contacts of a campaign stand where.
///
/// # Errors
/// The database's.
pub fn counts(tx: &mut Tx<'_>, campaign: CampaignId) -> Result<Vec<(EnrolmentStatus, i64)>, DbError> {
    let sql = "SELECT status, count(*) FROM enrolments WHERE campaign_id = $1 GROUP BY status";
    let rows = tx.rows(sql, &[campaign.into()])?;
    rows.into_iter().map(|mut row| Ok((row.word()?, row.int()?))).collect()
}

/// Why how many of a campaign's sequences were stopped.
///
/// # Errors
/// The database's.
pub fn stops(tx: &mut Tx<'_>, campaign: CampaignId) -> Result<Vec<(StopReason, i64)>, DbError> {
    let sql = "SELECT reason, count(*) FROM enrolments WHERE campaign_id = $1 AND status = 'stopped' GROUP BY reason";
    let rows = tx.rows(sql, &[campaign.into()])?;
    rows.into_iter().map(|mut row| Ok((row.word()?, row.int()?))).collect()
}

/// Contacts of a campaign who stand at the same step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How.
    pub status: EnrolmentStatus,
    /// The step that is before them, or was when it ended, from 1.
    pub step: u32,
    /// How many.
    pub count: i64,
    /// When the step is due for the last of them, where that is known.
    pub last_due: Option<Time>,
}

/// Some of the contacts who have steps before them: of every so many numbers one, and at most that many.
///
/// # Errors
/// The database's.
pub fn some_active(
    tx: &mut Tx<'_>,
    campaign: CampaignId,
    every: u32,
    most: u32,
) -> Result<Vec<ContactId>, DbError> {
    let sql = "SELECT contact_id FROM enrolments WHERE campaign_id = $1 AND status = 'active' AND contact_id % $2 = 0
               LIMIT $3";
    let rows = tx.rows(sql, &[campaign.into(), every.max(1).into(), most.into()])?;
    rows.into_iter().map(|mut row| Ok(ContactId(row.int()?))).collect()
}

/// How many contacts of a campaign stand where.
///
/// # Errors
/// The database's.
pub fn standing(tx: &mut Tx<'_>, campaign: CampaignId) -> Result<Vec<Standing>, DbError> {
    let sql = "SELECT status, step, count(*), max(next_at) FROM enrolments WHERE campaign_id = $1
               GROUP BY status, step ORDER BY status, step";
    let rows = tx.rows(sql, &[campaign.into()])?;
    rows.into_iter()
        .map(|mut row| {
            Ok(Standing {
                status: row.word()?,
                step: row.small()?,
                count: row.int()?,
                last_due: row.maybe_time()?,
            })
        })
        .collect()
}

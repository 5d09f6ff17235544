//! Contacts of one account in one campaign, and who of them has answered.
//!
//! [`stop`] ends as many sequences as one transaction bears; whoever is left is found by [`hold`], right before a message
//! of theirs is sent.

use windlass::Time;

use crate::{
    db::{DbError, Tx},
    model::{CampaignId, ContactId, campaign::StopReason, touch::Reason},
};

/// Writes down that somebody of an account has answered; the first who did stays written.
///
/// # Errors
/// The database's.
pub fn answered(
    tx: &mut Tx<'_>,
    campaign: CampaignId,
    account: &str,
    contact: ContactId,
    now: Time,
) -> Result<(), DbError> {
    let sql = "INSERT INTO campaign_accounts (account, campaign_id, contact_id, answered_at) VALUES ($1, $2, $3, $4)
               ON CONFLICT (account, campaign_id) DO UPDATE SET
               contact_id = COALESCE(campaign_accounts.contact_id, excluded.contact_id),
               answered_at = COALESCE(campaign_accounts.answered_at, excluded.answered_at)";
    tx.run(sql, &[account.into(), campaign.into(), contact.into(), now.into()]).map(drop)
}

/// Who of an account has answered, as far as that is committed.
///
/// # Errors
/// The database's.
pub fn who_answered(
    tx: &mut Tx<'_>,
    campaign: CampaignId,
    account: &str,
) -> Result<Option<ContactId>, DbError> {
    let sql = "SELECT contact_id FROM campaign_accounts WHERE account = $1 AND campaign_id = $2";
    let row = tx.row(sql, &[account.into(), campaign.into()])?;
    Ok(row.map_or(Ok(None), |mut row| row.maybe_int())?.map(ContactId))
}

/// The same, and nobody's answer is taken in before this transaction has ended: an answer is either seen here, or comes
/// after whatever this transaction decides.
///
/// # Errors
/// The database's.
pub fn hold(tx: &mut Tx<'_>, campaign: CampaignId, account: &str) -> Result<Option<ContactId>, DbError> {
    if let Some(contact) = who_answered(tx, campaign, account)? {
        return Ok(Some(contact));
    }
    // A row that is written is locked in either database, and what comes back is what it says then.
    let sql = "INSERT INTO campaign_accounts (account, campaign_id) VALUES ($1, $2)
               ON CONFLICT (account, campaign_id) DO UPDATE SET account = excluded.account RETURNING contact_id";
    let row = tx.row(sql, &[account.into(), campaign.into()])?;
    Ok(row.map_or(Ok(None), |mut row| row.maybe_int())?.map(ContactId))
}

/// Ends the sequences of a campaign for contacts of that account, and skips what waits for them: of at most so many
/// contacts, by their numbers. How many sequences have ended.
///
/// # Errors
/// The database's.
pub fn stop(
    tx: &mut Tx<'_>,
    campaign: CampaignId,
    account: &str,
    answered: ContactId,
    most: u32,
    now: Time,
) -> Result<u64, DbError> {
    let sql = "SELECT COALESCE(max(id), 0) FROM (
                 SELECT c.id FROM contacts AS c JOIN enrolments AS e ON e.campaign_id = $2 AND e.contact_id = c.id
                 WHERE c.account_key = $1 AND e.status = 'active' ORDER BY c.id LIMIT $3) AS page";
    let last = tx.count(sql, &[account.into(), campaign.into(), most.into()])?;
    let reason = Reason::ColleagueAnswered;
    let skip =
        "UPDATE touches SET status = 'skipped', reason = $4, detail = $5, until_at = NULL, ended_at = $6
                WHERE campaign_id = $2 AND status IN ('queued', 'deferred')
                AND contact_id IN (SELECT id FROM contacts WHERE account_key = $1 AND id <= $3)";
    let detail = format!("contact {answered} answered");
    tx.run(skip, &[account.into(), campaign.into(), last.into(), reason.into(), detail.into(), now.into()])?;
    let end = "UPDATE enrolments SET status = 'stopped', reason = $4, next_at = NULL, updated_at = $5
               WHERE campaign_id = $2 AND status = 'active'
               AND contact_id IN (SELECT id FROM contacts WHERE account_key = $1 AND id <= $3)";
    let reason = StopReason::ColleagueAnswered;
    tx.run(end, &[account.into(), campaign.into(), last.into(), reason.into(), now.into()])
}

/// Removes what is kept of an account that nobody belongs to any more: it may be somebody's own name.
///
/// # Errors
/// The database's.
pub fn forget(tx: &mut Tx<'_>, account: &str) -> Result<(), DbError> {
    let sql = "DELETE FROM campaign_accounts WHERE account = $1
               AND NOT EXISTS (SELECT 1 FROM contacts WHERE account_key = $1)";
    tx.run(sql, &[account.into()]).map(drop)
}

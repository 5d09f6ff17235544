//! Pauses of contacts, and what else holds back whatever is to be sent to one.

use windlass::Time;

use crate::{
    db::{DbError, Row, Tx},
    model::{
        CampaignId, ContactId, ReviewId,
        pause::{Hold, Pause},
    },
};

fn read(mut row: Row) -> Result<Pause, DbError> {
    let campaign = row.int()?;
    read_of(campaign, row)
}

fn read_of(campaign: i64, mut row: Row) -> Result<Pause, DbError> {
    Ok(Pause {
        campaign: Some(campaign).filter(|id| *id != EVERYTHING).map(CampaignId),
        until: row.maybe_time()?,
        why: row.text()?,
        who: row.text()?,
        at: row.time()?,
    })
}

/// The number that no campaign has: all of them.
const EVERYTHING: i64 = 0;

fn number(campaign: Option<CampaignId>) -> i64 {
    campaign.map_or(EVERYTHING, |campaign| campaign.0)
}

/// Pauses a contact, in the place of the pause that they have there.
///
/// # Errors
/// The database's.
pub fn set(tx: &mut Tx<'_>, contact: ContactId, pause: &Pause) -> Result<(), DbError> {
    let sql = "INSERT INTO contact_pauses (contact_id, campaign_id, until_at, why, who, at)
               VALUES ($1, $2, $3, $4, $5, $6)
               ON CONFLICT (contact_id, campaign_id) DO UPDATE SET until_at = excluded.until_at, why = excluded.why,
               who = excluded.who, at = excluded.at";
    let values = [
        contact.into(),
        number(pause.campaign).into(),
        pause.until.into(),
        pause.why.as_str().into(),
        pause.who.as_str().into(),
        pause.at.into(),
    ];
    tx.run(sql, &values).map(drop)
}

/// Ends a pause of a contact, if it is not over by itself by then; whether it was not.
///
/// # Errors
/// The database's.
pub fn remove(
    tx: &mut Tx<'_>,
    contact: ContactId,
    campaign: Option<CampaignId>,
    now: Time,
) -> Result<bool, DbError> {
    let sql = "DELETE FROM contact_pauses WHERE contact_id = $1 AND campaign_id = $2
               AND (until_at IS NULL OR until_at > $3)";
    Ok(tx.run(sql, &[contact.into(), number(campaign).into(), now.into()])? > 0)
}

/// The pauses of a contact that are not over by then: of everything first.
///
/// # Errors
/// The database's.
pub fn of_contact(tx: &mut Tx<'_>, contact: ContactId, now: Time) -> Result<Vec<Pause>, DbError> {
    let sql = "SELECT campaign_id, until_at, why, who, at FROM contact_pauses WHERE contact_id = $1
               AND (until_at IS NULL OR until_at > $2) ORDER BY campaign_id";
    tx.rows(sql, &[contact.into(), now.into()])?.into_iter().map(read).collect()
}

/// What a contact wrote that may be an opt-out, and that nobody has decided: the first of it.
///
/// # Errors
/// The database's.
pub fn review_of(tx: &mut Tx<'_>, contact: ContactId) -> Result<Option<ReviewId>, DbError> {
    let sql =
        "SELECT id FROM reviews WHERE contact_id = $1 AND decision IS NULL AND kind = 'possible_opt_out'
               ORDER BY id LIMIT 1";
    tx.row(sql, &[contact.into()])?.map(|mut row| row.int().map(ReviewId)).transpose()
}

/// Why nothing of that campaign is sent to that contact at that moment: a review before any pause, else the pause that lasts
/// longest.
///
/// # Errors
/// The database's.
pub fn hold(
    tx: &mut Tx<'_>,
    contact: ContactId,
    campaign: CampaignId,
    now: Time,
) -> Result<Option<Hold>, DbError> {
    // It is asked twice for each message, so it is one statement.
    let sql = "SELECT min(id), NULL, NULL, '', '', 0 FROM reviews
               WHERE contact_id = $1 AND decision IS NULL AND kind = 'possible_opt_out'
               UNION ALL SELECT NULL, campaign_id, until_at, why, who, at FROM contact_pauses
               WHERE contact_id = $1 AND campaign_id IN (0, $2) AND (until_at IS NULL OR until_at > $3)";
    let rows = tx.rows(sql, &[contact.into(), campaign.into(), now.into()])?;
    let mut longest: Option<Pause> = None;
    for mut row in rows {
        if let Some(review) = row.maybe_int()? {
            return Ok(Some(Hold::Review(ReviewId(review))));
        }
        let Some(campaign) = row.maybe_int()? else { continue };
        let pause = read_of(campaign, row)?;
        let lasts = |pause: &Pause| pause.until.unwrap_or(Time(u64::MAX));
        if longest.as_ref().is_none_or(|known| lasts(known) < lasts(&pause)) {
            longest = Some(pause);
        }
    }
    Ok(longest.map(Hold::Pause))
}

/// The campaigns whose messages to a contact wait.
///
/// # Errors
/// The database's.
pub fn campaigns_waiting(tx: &mut Tx<'_>, contact: ContactId) -> Result<Vec<CampaignId>, DbError> {
    let sql =
        "SELECT DISTINCT campaign_id FROM touches WHERE contact_id = $1 AND status IN ('queued', 'deferred')
               ORDER BY campaign_id";
    tx.rows(sql, &[contact.into()])?.into_iter().map(|mut row| row.int().map(CampaignId)).collect()
}

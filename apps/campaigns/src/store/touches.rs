//! Touches: the messages that campaigns owe contacts.
//!
//! Every change of a status names the status that it changes from, so that of two workers which both believe to hold a
//! message one finds out. All statements about the one table stand in this file, so that whoever adds a status finds each
//! that names one.

use windlass::Time;

use super::select;
use crate::{
    channel::Channel,
    db::{DbError, Row, Tx, Value},
    model::{
        CampaignId, ContactId, ProviderId, SenderId, TemplateId, TouchId,
        touch::{Evidence, Reason, Touch, TouchStatus},
        variant::Variant,
    },
};

macro_rules! columns {
    () => {
        "id, campaign_id, contact_id, step, channel, version, template_id, variant, status, reason, detail, until_at, address, sender_id, job, provider_ref, provider_status, sends, content_hash, evidence, counted_day, created_at, sending_at, sent_at, ended_at, step_key"
    };
}

fn read(mut row: Row) -> Result<Touch, DbError> {
    /// A word, or nothing for an empty text.
    fn maybe<T: serde::de::DeserializeOwned>(text: String, quoted: bool) -> Result<Option<T>, DbError> {
        if text.is_empty() {
            return Ok(None);
        }
        let json = if quoted { format!("{text:?}") } else { text };
        serde_json::from_str(&json).map(Some).map_err(|error| DbError::Row(error.to_string()))
    }
    Ok(Touch {
        id: TouchId(row.int()?),
        campaign: CampaignId(row.int()?),
        contact: ContactId(row.int()?),
        step: row.small()?,
        channel: row.word()?,
        version: row.small()?,
        template: row.maybe_int()?.map(TemplateId),
        variant: maybe::<Variant>(row.text()?, true)?,
        status: row.word()?,
        reason: maybe::<Reason>(row.text()?, true)?,
        detail: row.text()?,
        until: row.maybe_time()?,
        address: row.text()?,
        sender: row.maybe_int()?.map(SenderId),
        job: row.text()?,
        provider_ref: row.maybe_text()?,
        provider_status: row.text()?,
        sends: row.small()?,
        content_hash: row.text()?,
        evidence: maybe::<Evidence>(row.text()?, false)?,
        counted_day: row.text()?,
        created_at: row.time()?,
        sending_at: row.maybe_time()?,
        sent_at: row.maybe_time()?,
        ended_at: row.maybe_time()?,
        step_key: row.small()?,
    })
}

/// A message to be.
#[derive(Clone, Debug)]
pub struct NewTouch {
    /// Of which campaign.
    pub campaign: CampaignId,
    /// To whom.
    pub contact: ContactId,
    /// Which step: its number in the version.
    pub step: u32,
    /// Which step: its key.
    pub step_key: u32,
    /// By which channel.
    pub channel: Channel,
    /// By which version of the sequence.
    pub version: u32,
    /// What it says.
    pub template: TemplateId,
    /// Which variant of the step that is.
    pub variant: Option<Variant>,
    /// The address.
    pub address: String,
    /// In whose name.
    pub sender: Option<SenderId>,
}

/// A variant as it is kept: its letter, or nothing.
fn letter(variant: Option<Variant>) -> Value {
    variant.map_or(Value::Text(String::new()), Value::from)
}

/// Makes the message of a step and channel, or answers the one that is there.
///
/// # Errors
/// The database's.
pub fn ensure(tx: &mut Tx<'_>, new: &NewTouch, now: Time) -> Result<Touch, DbError> {
    let sql = "INSERT INTO touches (campaign_id, contact_id, step, channel, version, status, address, sender_id, created_at,
               template_id, variant, step_key)
               VALUES ($1, $2, $3, $4, $5, 'queued', $6, $7, $8, $9, $10, $11)
               ON CONFLICT (campaign_id, contact_id, step_key, channel) DO NOTHING";
    let values = [
        new.campaign.into(),
        new.contact.into(),
        new.step.into(),
        new.channel.into(),
        new.version.into(),
        new.address.as_str().into(),
        new.sender.into(),
        now.into(),
        new.template.into(),
        letter(new.variant),
        new.step_key.into(),
    ];
    tx.run(sql, &values)?;
    of_step(tx, new.campaign, new.contact, new.step_key, new.channel)?
        .ok_or_else(|| DbError::Row("a message that was written is gone".to_owned()))
}

/// One message.
///
/// # Errors
/// The database's.
pub fn get(tx: &mut Tx<'_>, id: TouchId) -> Result<Option<Touch>, DbError> {
    tx.row(select!(columns, "FROM touches WHERE id = $1"), &[id.into()])?.map(read).transpose()
}

/// The message of the step of that key by that channel.
///
/// # Errors
/// The database's.
pub fn of_step(
    tx: &mut Tx<'_>,
    campaign: CampaignId,
    contact: ContactId,
    step_key: u32,
    channel: Channel,
) -> Result<Option<Touch>, DbError> {
    let sql = select!(
        columns,
        "FROM touches WHERE campaign_id = $1 AND contact_id = $2 AND step_key = $3 AND channel = $4"
    );
    tx.row(sql, &[campaign.into(), contact.into(), step_key.into(), channel.into()])?.map(read).transpose()
}

/// The messages that a campaign made for a contact, in the order in which it did.
///
/// # Errors
/// The database's.
pub fn of_enrolment(
    tx: &mut Tx<'_>,
    campaign: CampaignId,
    contact: ContactId,
) -> Result<Vec<Touch>, DbError> {
    let sql = select!(columns, "FROM touches WHERE campaign_id = $1 AND contact_id = $2 ORDER BY id");
    tx.rows(sql, &[campaign.into(), contact.into()])?.into_iter().map(read).collect()
}

/// The messages of a contact, newest first.
///
/// # Errors
/// The database's.
pub fn of_contact(tx: &mut Tx<'_>, contact: ContactId, limit: u32) -> Result<Vec<Touch>, DbError> {
    let sql = select!(columns, "FROM touches WHERE contact_id = $1 ORDER BY id DESC LIMIT $2");
    tx.rows(sql, &[contact.into(), limit.into()])?.into_iter().map(read).collect()
}

/// The message that a provider calls so.
///
/// # Errors
/// The database's.
pub fn by_provider(tx: &mut Tx<'_>, provider_ref: &str) -> Result<Option<Touch>, DbError> {
    let sql = select!(columns, "FROM touches WHERE provider_ref = $1");
    tx.row(sql, &[provider_ref.into()])?.map(read).transpose()
}

/// The text or call to that number that was sent last; those that went out from `ours` come before any other.
///
/// # Errors
/// The database's.
pub fn latest_to(tx: &mut Tx<'_>, number: &str, ours: &str) -> Result<Option<Touch>, DbError> {
    let sql = select!(
        columns,
        "FROM touches WHERE address = $1 AND channel IN ('sms', 'voicemail') AND sending_at IS NOT NULL
         ORDER BY CASE WHEN sender_id IN (SELECT id FROM senders WHERE address = $2) THEN 0 ELSE 1 END,
         sending_at DESC, id DESC LIMIT 1"
    );
    tx.row(sql, &[number.into(), ours.into()])?.map(read).transpose()
}

/// The mails to that address that were sent last, the latest first; at most `limit`.
///
/// # Errors
/// The database's.
pub fn latest_mails_to(tx: &mut Tx<'_>, address: &str, limit: u32) -> Result<Vec<Touch>, DbError> {
    let sql = select!(
        columns,
        "FROM touches WHERE address = $1 AND channel = 'email' AND sending_at IS NOT NULL
         ORDER BY sending_at DESC, id DESC LIMIT $2"
    );
    tx.rows(sql, &[address.into(), limit.into()])?.into_iter().map(read).collect()
}

/// What a provider calls the other messages to that address.
///
/// # Errors
/// The database's.
pub fn refs_to(
    tx: &mut Tx<'_>,
    channel: Channel,
    address: &str,
    but: TouchId,
) -> Result<std::collections::HashSet<String>, DbError> {
    let sql = "SELECT provider_ref FROM touches WHERE address = $1 AND channel = $2 AND id <> $3
               AND provider_ref IS NOT NULL";
    let rows = tx.rows(sql, &[address.into(), channel.into(), but.into()])?;
    rows.into_iter().map(|mut row| row.text()).collect()
}

/// What a page of messages is about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Which {
    /// Of one campaign.
    pub campaign: Option<CampaignId>,
    /// In one status.
    pub status: Option<TouchStatus>,
    /// With one reason.
    pub reason: Option<Reason>,
    /// By one channel.
    pub channel: Option<Channel>,
    /// Of the step of that number, from 1, in the version by which the message goes.
    pub step: Option<u32>,
    /// Of the step of that key, in whatever version.
    pub step_key: Option<u32>,
    /// Of one variant of a step.
    pub variant: Option<Variant>,
}

/// Messages before that number, newest first.
///
/// # Errors
/// The database's.
pub fn page(tx: &mut Tx<'_>, which: Which, before: TouchId, limit: u32) -> Result<Vec<Touch>, DbError> {
    let campaign = which.campaign.map_or(0, |campaign| campaign.0);
    let word = |value: Option<Value>| value.unwrap_or(Value::Text(String::new()));
    let values = [
        before.into(),
        limit.into(),
        campaign.into(),
        word(which.status.map(Value::from)),
        word(which.reason.map(Value::from)),
        word(which.channel.map(Value::from)),
        which.step.unwrap_or(0).into(),
        letter(which.variant),
        which.step_key.unwrap_or(0).into(),
    ];
    let sql = select!(
        columns,
        "FROM touches WHERE id < $1 AND ($3 = 0 OR campaign_id = $3) AND ($4 = '' OR status = $4)
         AND ($5 = '' OR reason = $5) AND ($6 = '' OR channel = $6)
         AND ($7 = 0 OR step = $7) AND ($8 = '' OR variant = $8)
         AND ($9 = 0 OR step_key = $9) ORDER BY id DESC LIMIT $2"
    );
    tx.rows(sql, &values)?.into_iter().map(read).collect()
}

/// How many messages of a campaign stand where, by step and channel.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    /// The key of the step.
    pub step_key: u32,
    /// The channel.
    pub channel: Channel,
    /// The status.
    pub status: TouchStatus,
    /// Why, where that has a reason.
    pub reason: String,
    /// How many.
    pub count: i64,
}

/// The tallies of a campaign.
///
/// # Errors
/// The database's.
pub fn tallies(tx: &mut Tx<'_>, campaign: CampaignId) -> Result<Vec<Tally>, DbError> {
    let sql = "SELECT step_key, channel, status, reason, count(*) FROM touches WHERE campaign_id = $1
               GROUP BY step_key, channel, status, reason ORDER BY step_key, channel, status, reason";
    let rows = tx.rows(sql, &[campaign.into()])?;
    rows.into_iter()
        .map(|mut row| {
            Ok(Tally {
                step_key: row.small()?,
                channel: row.word()?,
                status: row.word()?,
                reason: row.text()?,
                count: row.int()?,
            })
        })
        .collect()
}

/// What was sent by a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The channel.
    pub channel: Channel,
    /// How many messages.
    pub count: i64,
    /// When the first of them was.
    pub first_at: Time,
}

/// How many messages of a campaign were sent since then, by channel.
///
/// # Errors
/// The database's.
pub fn sent_since(tx: &mut Tx<'_>, campaign: CampaignId, since: Time) -> Result<Vec<Sent>, DbError> {
    let sql = "SELECT channel, count(*), min(sent_at) FROM touches WHERE campaign_id = $1 AND sent_at >= $2
               GROUP BY channel";
    let rows = tx.rows(sql, &[campaign.into(), since.into()])?;
    let read = |mut row: Row| Ok(Sent { channel: row.word()?, count: row.int()?, first_at: row.time()? });
    rows.into_iter().map(read).collect()
}

/// The messages of a campaign after that contact's of the step of that key by that channel: by contact, key and channel.
///
/// # Errors
/// The database's.
pub fn of_campaign(
    tx: &mut Tx<'_>,
    campaign: CampaignId,
    after: (ContactId, u32, &str),
    limit: u32,
) -> Result<Vec<Touch>, DbError> {
    let sql = select!(
        columns,
        "FROM touches WHERE campaign_id = $1 AND (contact_id, step_key, channel) > ($2, $3, $4)
         ORDER BY contact_id, step_key, channel LIMIT $5"
    );
    let (contact, step_key, channel) = after;
    let values = [campaign.into(), contact.into(), step_key.into(), channel.into(), limit.into()];
    tx.rows(sql, &values)?.into_iter().map(read).collect()
}

/// Notes the job that sends it.
///
/// # Errors
/// The database's.
pub fn set_job(tx: &mut Tx<'_>, id: TouchId, job: &str) -> Result<(), DbError> {
    tx.run("UPDATE touches SET job = $2 WHERE id = $1", &[id.into(), job.into()]).map(drop)
}

/// A message that waits for a time, or for its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The message.
    pub touch: TouchId,
    /// The job that sends it.
    pub job: String,
    /// Whether it waits for a time.
    pub is_deferred: bool,
    /// Whether its sender is paused, or not among the campaign's any more.
    pub is_without_sender: bool,
}

/// The messages of a campaign after that one that wait, in their order. Those that wait for a provider are none of them:
/// nothing that is changed of a campaign makes it readier.
///
/// # Errors
/// The database's.
pub fn waiting(
    tx: &mut Tx<'_>,
    campaign: CampaignId,
    after: TouchId,
    limit: u32,
) -> Result<Vec<Waiting>, DbError> {
    let sql = "SELECT id, job, CASE WHEN status = 'deferred' THEN 1 ELSE 0 END,
               CASE WHEN sender_id IN (SELECT c.sender_id FROM campaign_senders AS c JOIN senders AS s ON s.id = c.sender_id
                 WHERE c.campaign_id = $1 AND s.paused = 0) THEN 0 ELSE 1 END
               FROM touches WHERE campaign_id = $1 AND status IN ('queued', 'deferred')
               AND reason NOT IN ('provider_busy', 'breaker_open', 'tried_again') AND id > $2 ORDER BY id LIMIT $3";
    let read = |mut row: Row| {
        Ok(Waiting {
            touch: TouchId(row.int()?),
            job: row.text()?,
            is_deferred: row.bool()?,
            is_without_sender: row.bool()?,
        })
    };
    tx.rows(sql, &[campaign.into(), after.into(), limit.into()])?.into_iter().map(read).collect()
}

/// The jobs of a contact's messages that wait until they may be sent something again.
///
/// # Errors
/// The database's.
pub fn jobs_of_held(tx: &mut Tx<'_>, contact: ContactId) -> Result<Vec<String>, DbError> {
    let sql = "SELECT job FROM touches WHERE contact_id = $1 AND status = 'deferred'
               AND reason IN ('contact_paused', 'review_open') ORDER BY id";
    tx.rows(sql, &[contact.into()])?.into_iter().map(|mut row| row.text()).collect()
}

/// Lets everything that waits for a contact, of one campaign or of all, wait until then, or until somebody says so.
///
/// # Errors
/// The database's.
pub fn hold_contact(
    tx: &mut Tx<'_>,
    contact: ContactId,
    campaign: Option<CampaignId>,
    reason: Reason,
    detail: &str,
    until: Option<Time>,
) -> Result<u64, DbError> {
    let sql = "UPDATE touches SET status = 'deferred', reason = $3, detail = $4, until_at = $5
               WHERE contact_id = $1 AND status IN ('queued', 'deferred') AND ($2 = 0 OR campaign_id = $2)";
    let campaign = campaign.map_or(0, |campaign| campaign.0);
    tx.run(sql, &[contact.into(), campaign.into(), reason.into(), detail.into(), until.into()])
}

/// Lets it wait until then, or until somebody says so; false when it does not wait.
///
/// # Errors
/// The database's.
pub fn defer(
    tx: &mut Tx<'_>,
    id: TouchId,
    reason: Reason,
    detail: &str,
    until: impl Into<Option<Time>>,
) -> Result<bool, DbError> {
    let until: Option<Time> = until.into();
    let sql = "UPDATE touches SET status = 'deferred', reason = $2, detail = $3, until_at = $4
               WHERE id = $1 AND status IN ('queued', 'deferred', 'sending')";
    Ok(tx.run(sql, &[id.into(), reason.into(), detail.into(), until.into()])? > 0)
}

/// Gives it to another sender, and notes the job that sends it from now on; false when it does not wait any more.
///
/// # Errors
/// The database's.
pub fn hand_over(tx: &mut Tx<'_>, id: TouchId, sender: SenderId, job: &str) -> Result<bool, DbError> {
    let sql = "UPDATE touches SET sender_id = $2, job = $3, status = 'queued', reason = '', detail = '', until_at = NULL
               WHERE id = $1 AND status IN ('queued', 'deferred')";
    Ok(tx.run(sql, &[id.into(), sender.into(), job.into()])? > 0)
}

/// Addresses it to somewhere else.
///
/// # Errors
/// The database's.
pub fn readdress(tx: &mut Tx<'_>, id: TouchId, address: &str) -> Result<(), DbError> {
    let sql = "UPDATE touches SET address = $2 WHERE id = $1 AND status IN ('queued', 'deferred')";
    tx.run(sql, &[id.into(), address.into()]).map(drop)
}

/// Decides not to send it; false when it was decided otherwise.
///
/// # Errors
/// The database's.
pub fn skip(tx: &mut Tx<'_>, id: TouchId, reason: Reason, detail: &str, now: Time) -> Result<bool, DbError> {
    let sql =
        "UPDATE touches SET status = 'skipped', reason = $2, detail = $3, until_at = NULL, ended_at = $4
               WHERE id = $1 AND status IN ('queued', 'deferred')";
    Ok(tx.run(sql, &[id.into(), reason.into(), detail.into(), now.into()])? > 0)
}

/// Decides not to send whatever a contact still waits for, of one campaign or of all.
///
/// # Errors
/// The database's.
pub fn skip_all(
    tx: &mut Tx<'_>,
    contact: ContactId,
    campaign: Option<CampaignId>,
    channel: Option<Channel>,
    reason: Reason,
    now: Time,
) -> Result<u64, DbError> {
    let sql = "UPDATE touches SET status = 'skipped', reason = $4, until_at = NULL, ended_at = $5
               WHERE contact_id = $1 AND status IN ('queued', 'deferred') AND ($2 = 0 OR campaign_id = $2)
               AND ($3 = '' OR channel = $3)";
    let channel = channel.map_or("", Channel::name);
    let campaign = campaign.map_or(0, |campaign| campaign.0);
    tx.run(sql, &[contact.into(), campaign.into(), channel.into(), reason.into(), now.into()])
}

/// Decides not to send whatever a campaign still has waiting.
///
/// # Errors
/// The database's.
pub fn skip_campaign(
    tx: &mut Tx<'_>,
    campaign: CampaignId,
    reason: Reason,
    now: Time,
) -> Result<u64, DbError> {
    let sql = "UPDATE touches SET status = 'skipped', reason = $2, until_at = NULL, ended_at = $3
               WHERE campaign_id = $1 AND status IN ('queued', 'deferred')";
    tx.run(sql, &[campaign.into(), reason.into(), now.into()])
}

/// Has a message that waits go by another version, as the step of that number there, and say that; false when it does not wait
/// any more.
///
/// # Errors
/// The database's.
pub fn rewrite(
    tx: &mut Tx<'_>,
    id: TouchId,
    place: (u32, u32),
    says: (TemplateId, Option<Variant>),
) -> Result<bool, DbError> {
    let ((version, step), (template, variant)) = (place, says);
    let sql = "UPDATE touches SET version = $2, step = $3, template_id = $4, variant = $5
               WHERE id = $1 AND status IN ('queued', 'deferred')";
    let values = [id.into(), version.into(), step.into(), template.into(), letter(variant)];
    Ok(tx.run(sql, &values)? > 0)
}

/// What is written before the provider is asked.
#[derive(Clone, Debug)]
pub struct Sending {
    /// In whose name.
    pub sender: SenderId,
    /// What it says.
    pub template: TemplateId,
    /// Which variant of the step that is.
    pub variant: Option<Variant>,
    /// The content's hash.
    pub content_hash: String,
    /// What was checked.
    pub evidence: Evidence,
    /// The day of the caps it counts against.
    pub day: String,
}

/// Notes that the provider is about to be asked; false when the message does not wait any more.
///
/// # Errors
/// The database's.
pub fn begin(tx: &mut Tx<'_>, id: TouchId, sending: &Sending, now: Time) -> Result<bool, DbError> {
    let sql = "UPDATE touches SET status = 'sending', reason = '', detail = '', until_at = NULL, sender_id = $2,
               content_hash = $3, evidence = $4, counted_day = $5, sending_at = COALESCE(sending_at, $6), sends = sends + 1,
               template_id = $7, variant = $8 WHERE id = $1 AND status IN ('queued', 'deferred')";
    let values = [
        id.into(),
        sending.sender.into(),
        sending.content_hash.as_str().into(),
        Value::json(&sending.evidence),
        sending.day.as_str().into(),
        now.into(),
        sending.template.into(),
        letter(sending.variant),
    ];
    Ok(tx.run(sql, &values)? > 0)
}

/// Notes that the provider is asked once more for a message that was left in the middle.
///
/// # Errors
/// The database's.
pub fn begin_again(tx: &mut Tx<'_>, id: TouchId, sends: u32) -> Result<bool, DbError> {
    let sql = "UPDATE touches SET sends = sends + 1 WHERE id = $1 AND status = 'sending' AND sends = $2";
    Ok(tx.run(sql, &[id.into(), sends.into()])? > 0)
}

/// Notes that the provider has taken it; false when that is known, or more.
///
/// # Errors
/// The database's.
pub fn sent(
    tx: &mut Tx<'_>,
    id: TouchId,
    provider_ref: &str,
    status: &str,
    now: Time,
) -> Result<bool, DbError> {
    let sql = "UPDATE touches SET status = 'sent', reason = '', detail = '', provider_ref = $2, provider_status = $3,
               sent_at = $4 WHERE id = $1 AND status IN ('sending', 'unknown')";
    if tx.run(sql, &[id.into(), provider_ref.into(), status.into(), now.into()])? > 0 {
        return Ok(true);
    }
    // The provider's own word may be quicker than its answer: what it calls the message is known only now.
    let sql = "UPDATE touches SET provider_ref = COALESCE(provider_ref, $2), sent_at = COALESCE(sent_at, $3)
               WHERE id = $1 AND status IN ('sent', 'delivered', 'bounced', 'failed')";
    tx.run(sql, &[id.into(), provider_ref.into(), now.into()])?;
    Ok(false)
}

/// Notes that the provider has taken it, by the word of somebody who does not know what the provider calls it; false when
/// that is known, or more.
///
/// # Errors
/// The database's.
pub fn seen(tx: &mut Tx<'_>, id: TouchId, now: Time) -> Result<bool, DbError> {
    let sql = "UPDATE touches SET status = 'sent', reason = '', detail = '', sent_at = $2
               WHERE id = $1 AND status IN ('sending', 'unknown')";
    Ok(tx.run(sql, &[id.into(), now.into()])? > 0)
}

/// Ends a message that was not sent, or of which nobody knows; false when its end was known.
///
/// # Errors
/// The database's.
pub fn fail(
    tx: &mut Tx<'_>,
    id: TouchId,
    status: TouchStatus,
    reason: Option<Reason>,
    detail: &str,
    now: Time,
) -> Result<bool, DbError> {
    let sql = "UPDATE touches SET status = $2, reason = $3, detail = $4, until_at = NULL, ended_at = $5
               WHERE id = $1 AND status IN ('queued', 'deferred', 'sending')";
    let reason = reason.map_or(Value::Text(String::new()), Value::from);
    Ok(tx.run(sql, &[id.into(), status.into(), reason, detail.into(), now.into()])? > 0)
}

/// Whether a message of that contact in that campaign has bounced, and none by another channel has taken its place.
///
/// # Errors
/// The database's.
pub fn has_bounced(tx: &mut Tx<'_>, campaign: CampaignId, contact: ContactId) -> Result<bool, DbError> {
    let sql = "SELECT 1 FROM touches AS one WHERE one.contact_id = $2 AND one.status = 'bounced' AND one.campaign_id = $1
               AND NOT EXISTS (SELECT 1 FROM touches AS other WHERE other.campaign_id = $1 AND other.contact_id = $2
               AND other.step = one.step AND other.status NOT IN ('bounced', 'failed', 'skipped')) LIMIT 1";
    tx.is_there(sql, &[campaign.into(), contact.into()])
}

/// Notes what the provider says of a message that it took. What it says late does not take back what it said: an arrival
/// stays one, save that it may bounce after all.
///
/// # Errors
/// The database's.
pub fn told(
    tx: &mut Tx<'_>,
    id: TouchId,
    status: TouchStatus,
    provider_status: &str,
    detail: &str,
    now: Time,
) -> Result<bool, DbError> {
    let sql = match status {
        TouchStatus::Delivered | TouchStatus::Failed => {
            "UPDATE touches SET status = $2, provider_status = $3, detail = $4, ended_at = $5
             WHERE id = $1 AND status IN ('sending', 'sent', 'unknown')"
        }
        TouchStatus::Bounced => {
            "UPDATE touches SET status = $2, provider_status = $3, detail = $4, ended_at = $5
             WHERE id = $1 AND status IN ('sending', 'sent', 'unknown', 'delivered')"
        }
        _ => {
            let sql = "UPDATE touches SET provider_status = $3, detail = $4 WHERE id = $1 AND status = $2";
            let values = [id.into(), status.into(), provider_status.into(), detail.into()];
            return Ok(tx.run(sql, &values)? > 0);
        }
    };
    let values = [id.into(), status.into(), provider_status.into(), detail.into(), now.into()];
    Ok(tx.run(sql, &values)? > 0)
}

/// Plans another try of a message that has failed, or come back.
///
/// # Errors
/// The database's.
pub fn try_again(
    tx: &mut Tx<'_>,
    id: TouchId,
    reason: Reason,
    detail: &str,
    until: Time,
) -> Result<(), DbError> {
    let sql =
        "UPDATE touches SET status = 'deferred', reason = $2, detail = $3, until_at = $4, ended_at = NULL
               WHERE id = $1 AND status IN ('failed', 'bounced')";
    tx.run(sql, &[id.into(), reason.into(), detail.into(), until.into()]).map(drop)
}

/// Until when the messages of a sender wait that wait for its cap.
///
/// # Errors
/// The database's.
pub fn waits_for_cap_of(tx: &mut Tx<'_>, sender: SenderId) -> Result<Vec<Time>, DbError> {
    let sql = "SELECT until_at FROM touches WHERE sender_id = $1 AND sent_at IS NULL AND status = 'deferred'
               AND reason = 'sender_cap' AND until_at IS NOT NULL";
    tx.rows(sql, &[sender.into()])?.into_iter().map(|mut row| row.time()).collect()
}

/// Messages of a campaign that wait for the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The reason's word.
    pub reason: String,
    /// When the first of them goes on.
    pub first: Option<Time>,
    /// When the last of them does.
    pub last: Option<Time>,
    /// Whether one of them waits until a person has said something.
    pub is_endless: bool,
}

/// Until when a campaign's messages wait, by reason.
///
/// # Errors
/// The database's.
pub fn waits(tx: &mut Tx<'_>, campaign: CampaignId) -> Result<Vec<Wait>, DbError> {
    let sql = "SELECT reason, min(until_at), max(until_at),
               CASE WHEN count(until_at) < count(*) THEN 1 ELSE 0 END FROM touches
               WHERE campaign_id = $1 AND status = 'deferred' GROUP BY reason";
    let rows = tx.rows(sql, &[campaign.into()])?;
    rows.into_iter()
        .map(|mut row| {
            let (reason, first, last) = (row.text()?, row.maybe_time()?, row.maybe_time()?);
            Ok(Wait { reason, first, last, is_endless: row.bool()? })
        })
        .collect()
}

/// How many mails to that domain providers have taken since then.
///
/// # Errors
/// The database's.
pub fn sent_to_domain(tx: &mut Tx<'_>, domain: &str, since: Time) -> Result<i64, DbError> {
    let sql = "SELECT count(*) FROM touches WHERE sent_at >= $2 AND lower(address) LIKE $1 ESCAPE '!'
               AND sender_id IN (SELECT id FROM senders WHERE channel = 'email')";
    let like = format!("%@{}", domain.replace('!', "!!").replace('%', "!%").replace('_', "!_"));
    tx.count(sql, &[like.into(), since.into()])
}

/// How many messages an account has taken since then.
///
/// # Errors
/// The database's.
pub fn sent_through(tx: &mut Tx<'_>, provider: ProviderId, since: Time) -> Result<i64, DbError> {
    let sql = "SELECT count(*) FROM touches WHERE sent_at >= $2
               AND sender_id IN (SELECT id FROM senders WHERE provider_id = $1)";
    tx.count(sql, &[provider.into(), since.into()])
}

//! Accounts at providers, their breakers and paces, the table of errors, and what recipients' domains bear.

use windlass::Time;

use super::select;
use crate::{
    channel::{
        breaker::Breaker,
        pace::Pace,
        rules::{ErrorRule, ProviderKind},
    },
    db::{DbError, Row, Tx, Value},
    model::{ProviderId, provider::Provider},
};

macro_rules! columns {
    () => {
        "id, name, kind, url, account, secret, callback_key, inbound_key, per_second, concurrency, pace, revision"
    };
}

fn read(mut row: Row) -> Result<Provider, DbError> {
    Ok(Provider {
        id: ProviderId(row.int()?),
        name: row.text()?,
        kind: row.word()?,
        url: row.text()?,
        account: row.text()?,
        secret: row.text()?,
        callback_key: row.text()?,
        inbound_key: row.text()?,
        per_second: row.maybe_int()?.and_then(|value| u32::try_from(value).ok()),
        concurrency: row.maybe_int()?.and_then(|value| u32::try_from(value).ok()),
        pace: pace_of(&row.text()?)?,
        revision: row.int()?,
    })
}

/// Makes an account, or changes the one of that name; its number and revision are the database's, and whoever sets another
/// pace ends a slow-down.
///
/// # Errors
/// The database's.
pub fn set(tx: &mut Tx<'_>, provider: &Provider, now: Time) -> Result<ProviderId, DbError> {
    let sql = "INSERT INTO providers (name, kind, url, account, secret, callback_key, inbound_key, per_second, concurrency, created_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
               ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, url = excluded.url, account = excluded.account,
               secret = excluded.secret, callback_key = excluded.callback_key, inbound_key = excluded.inbound_key,
               per_second = excluded.per_second, concurrency = excluded.concurrency, revision = providers.revision + 1,
               pace = CASE WHEN COALESCE(providers.per_second, 0) = COALESCE(excluded.per_second, 0) THEN providers.pace ELSE '' END
               RETURNING id";
    let values = [
        provider.name.as_str().into(),
        provider.kind.into(),
        provider.url.as_str().into(),
        provider.account.as_str().into(),
        provider.secret.as_str().into(),
        provider.callback_key.as_str().into(),
        provider.inbound_key.as_str().into(),
        provider.per_second.into(),
        provider.concurrency.into(),
        now.into(),
    ];
    tx.count(sql, &values).map(ProviderId)
}

/// One account.
///
/// # Errors
/// The database's.
pub fn get(tx: &mut Tx<'_>, id: ProviderId) -> Result<Option<Provider>, DbError> {
    tx.row(select!(columns, "FROM providers WHERE id = $1"), &[id.into()])?.map(read).transpose()
}

/// All accounts, by name.
///
/// # Errors
/// The database's.
pub fn all(tx: &mut Tx<'_>) -> Result<Vec<Provider>, DbError> {
    tx.rows(select!(columns, "FROM providers ORDER BY name"), &[])?.into_iter().map(read).collect()
}

/// The breaker of an account; a new one where none was kept.
///
/// # Errors
/// The database's.
pub fn breaker(tx: &mut Tx<'_>, id: ProviderId) -> Result<Breaker, DbError> {
    kept(tx.row("SELECT breaker FROM providers WHERE id = $1", &[id.into()])?)
}

/// Keeps it, if it is still as it was; false when it is not.
///
/// # Errors
/// The database's.
pub fn keep_breaker(
    tx: &mut Tx<'_>,
    id: ProviderId,
    before: &Breaker,
    after: &Breaker,
) -> Result<bool, DbError> {
    let sql =
        "UPDATE providers SET breaker = $3 WHERE id = $1 AND (breaker = $2 OR (breaker = '' AND $2 = $4))";
    let values = [id.into(), Value::json(before), Value::json(after), Value::json(&Breaker::default())];
    Ok(tx.run(sql, &values)? > 0)
}

/// A breaker's column.
pub(super) fn kept(row: Option<Row>) -> Result<Breaker, DbError> {
    let text = row.map_or(Ok(String::new()), |mut row| row.text())?;
    if text.is_empty() {
        return Ok(Breaker::default());
    }
    serde_json::from_str(&text).map_err(|error| DbError::Row(error.to_string()))
}

/// A pace's column.
fn pace_of(text: &str) -> Result<Pace, DbError> {
    if text.is_empty() {
        return Ok(Pace::default());
    }
    serde_json::from_str(text).map_err(|error| DbError::Row(error.to_string()))
}

/// Keeps the pace of an account, if it is still as it was; false when it is not.
///
/// # Errors
/// The database's.
pub fn keep_pace(tx: &mut Tx<'_>, id: ProviderId, before: &Pace, after: &Pace) -> Result<bool, DbError> {
    let sql = "UPDATE providers SET pace = $3 WHERE id = $1 AND (pace = $2 OR (pace = '' AND $2 = $4))";
    let values = [id.into(), Value::json(before), Value::json(after), Value::json(&Pace::default())];
    Ok(tx.run(sql, &values)? > 0)
}

/// The rows of the table of errors that somebody has edited.
///
/// # Errors
/// The database's.
pub fn error_rules(tx: &mut Tx<'_>) -> Result<Vec<ErrorRule>, DbError> {
    let sql = "SELECT provider_kind, code, action, note FROM error_rules ORDER BY provider_kind, code";
    let rows = tx.rows(sql, &[])?;
    rows.into_iter()
        .map(|mut row| {
            Ok(ErrorRule {
                provider: row.word()?,
                code: row.text()?,
                action: row.word()?,
                note: row.text()?,
                source: String::new(),
            })
        })
        .collect()
}

/// Edits one row.
///
/// # Errors
/// The database's.
pub fn set_error_rule(tx: &mut Tx<'_>, rule: &ErrorRule) -> Result<(), DbError> {
    let sql = "INSERT INTO error_rules (provider_kind, code, action, note) VALUES ($1, $2, $3, $4)
               ON CONFLICT (provider_kind, code) DO UPDATE SET action = excluded.action, note = excluded.note";
    let values =
        [rule.provider.into(), rule.code.as_str().into(), rule.action.into(), rule.note.as_str().into()];
    tx.run(sql, &values).map(drop)
}

/// Takes an edit back: the row of the program holds again.
///
/// # Errors
/// The database's.
pub fn delete_error_rule(tx: &mut Tx<'_>, kind: ProviderKind, code: &str) -> Result<bool, DbError> {
    let sql = "DELETE FROM error_rules WHERE provider_kind = $1 AND code = $2";
    Ok(tx.run(sql, &[kind.into(), code.into()])? > 0)
}

/// What a recipients' domain bears.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DomainLimit {
    /// The domain, in lower case.
    pub domain: String,
    /// Mails a minute.
    pub per_minute: Option<u32>,
    /// Mails at once.
    pub concurrency: Option<u32>,
    /// Mails a day, from midnight to midnight in the campaign's zone.
    #[serde(default)]
    pub per_day: Option<u32>,
    /// How it gives way when the domain says that it is too much.
    #[serde(skip)]
    pub pace: Pace,
}

impl DomainLimit {
    /// Whether somebody has set it; otherwise it is there because the domain is slowed down.
    pub fn is_set(&self) -> bool {
        self.per_minute.is_some() || self.concurrency.is_some() || self.per_day.is_some()
    }
}

fn read_domain(mut row: Row) -> Result<DomainLimit, DbError> {
    let small = |value: Option<i64>| value.and_then(|value| u32::try_from(value).ok());
    Ok(DomainLimit {
        domain: row.text()?,
        per_minute: small(row.maybe_int()?),
        concurrency: small(row.maybe_int()?),
        per_day: small(row.maybe_int()?),
        pace: pace_of(&row.text()?)?,
    })
}

/// All domains that are held back.
///
/// # Errors
/// The database's.
pub fn domain_limits(tx: &mut Tx<'_>) -> Result<Vec<DomainLimit>, DbError> {
    let sql = "SELECT domain, per_minute, concurrency, per_day, pace FROM domain_limits ORDER BY domain";
    tx.rows(sql, &[])?.into_iter().map(read_domain).collect()
}

/// What that domain bears, where it is held back.
///
/// # Errors
/// The database's.
pub fn domain_limit(tx: &mut Tx<'_>, domain: &str) -> Result<Option<DomainLimit>, DbError> {
    let sql = "SELECT domain, per_minute, concurrency, per_day, pace FROM domain_limits WHERE domain = $1";
    tx.row(sql, &[domain.to_ascii_lowercase().into()])?.map(read_domain).transpose()
}

/// Keeps the pace of a domain, if it is still as it was; false when it is not. A domain that nobody has set a limit for has
/// one as long as it is slowed down.
///
/// # Errors
/// The database's.
pub fn keep_domain_pace(tx: &mut Tx<'_>, domain: &str, before: &Pace, after: &Pace) -> Result<bool, DbError> {
    let nothing = Value::json(&Pace::default());
    let values = [domain.into(), Value::json(before), Value::json(after), nothing];
    if !after.was_cut() {
        let sql = "DELETE FROM domain_limits WHERE domain = $1 AND pace = $2 AND per_minute IS NULL AND concurrency IS NULL
                   AND per_day IS NULL";
        if tx.run(sql, &values[..2])? > 0 {
            return Ok(true);
        }
    } else if !before.was_cut() {
        let sql = "INSERT INTO domain_limits (domain) VALUES ($1) ON CONFLICT (domain) DO NOTHING";
        tx.run(sql, &values[..1])?;
    }
    let sql =
        "UPDATE domain_limits SET pace = $3 WHERE domain = $1 AND (pace = $2 OR (pace = '' AND $2 = $4))";
    Ok(tx.run(sql, &values)? > 0)
}

/// A mail's place in the line of a domain that is slowed down: the moment at which it may go, with the next place behind it.
/// None when all places until then are taken.
///
/// # Errors
/// The database's.
pub fn place_in_line(
    tx: &mut Tx<'_>,
    domain: &str,
    now: Time,
    apart_ms: u64,
    until: Time,
) -> Result<Option<Time>, DbError> {
    let sql = "UPDATE domain_limits SET free_at = CASE WHEN free_at > $2 THEN free_at ELSE $2 END + $3
               WHERE domain = $1 AND free_at <= $4 RETURNING free_at - $3";
    let apart = i64::try_from(apart_ms).unwrap_or(i64::MAX);
    let row = tx.row(sql, &[domain.into(), now.into(), apart.into(), until.into()])?;
    row.map(|mut row| row.time()).transpose()
}

/// Whether that domain is held back.
///
/// # Errors
/// The database's.
pub fn has_domain_limit(tx: &mut Tx<'_>, domain: &str) -> Result<bool, DbError> {
    tx.is_there("SELECT 1 FROM domain_limits WHERE domain = $1", &[domain.to_ascii_lowercase().into()])
}

/// Lets a domain bear whatever comes; false when it had no limit.
///
/// # Errors
/// The database's.
pub fn delete_domain_limit(tx: &mut Tx<'_>, domain: &str) -> Result<bool, DbError> {
    Ok(tx.run("DELETE FROM domain_limits WHERE domain = $1", &[domain.to_ascii_lowercase().into()])? > 0)
}

/// Sets what a domain bears, which ends a slow-down.
///
/// # Errors
/// The database's.
pub fn set_domain_limit(tx: &mut Tx<'_>, limit: &DomainLimit) -> Result<(), DbError> {
    let sql = "INSERT INTO domain_limits (domain, per_minute, concurrency, per_day) VALUES ($1, $2, $3, $4)
               ON CONFLICT (domain) DO UPDATE SET per_minute = excluded.per_minute, concurrency = excluded.concurrency,
               per_day = excluded.per_day, pace = ''";
    let DomainLimit { domain, per_minute, concurrency, per_day, .. } = limit;
    tx.run(sql, &[domain.as_str().into(), (*per_minute).into(), (*concurrency).into(), (*per_day).into()])
        .map(drop)
}

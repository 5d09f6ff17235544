//! Messages that are one of several variants of their step.

use crate::{
    db::{DbError, Tx},
    model::{CampaignId, touch::TouchStatus, variant::Variant},
};

/// How many messages of a variant stand where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The key of the step.
    pub step_key: u32,
    /// The version of the sequence by which they go.
    pub version: u32,
    /// The variant.
    pub variant: Variant,
    /// The status.
    pub status: TouchStatus,
    /// How many.
    pub count: i64,
}

/// The tallies of a campaign's variants; of a campaign without any, nothing.
///
/// # Errors
/// The database's.
pub fn tallies(tx: &mut Tx<'_>, campaign: CampaignId) -> Result<Vec<Tally>, DbError> {
    // The condition is that of the index `touches_variants`, word by word.
    let sql = "SELECT step_key, version, variant, status, count(*) FROM touches WHERE campaign_id = $1 AND variant <> ''
               GROUP BY step_key, version, variant, status ORDER BY step_key, version, variant, status";
    let rows = tx.rows(sql, &[campaign.into()])?;
    rows.into_iter()
        .map(|mut row| {
            Ok(Tally {
                step_key: row.small()?,
                version: row.small()?,
                variant: row.word()?,
                status: row.word()?,
                count: row.int()?,
            })
        })
        .collect()
}

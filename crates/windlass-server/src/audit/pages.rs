//! Reading the log, newest first.

use windlass_api::audit::AuditRecord;
use windlass_core::StoreError;
use windlass_core::store::Store;

use super::{CHUNK_RECORDS, CHUNKS_KEPT, Head, chunk, head};

/// Some records, newest first, and the place before which to go on; none at the end.
pub(crate) struct Page {
    pub(crate) items: Vec<AuditRecord>,
    pub(crate) next: Option<u64>,
}

/// The newest records before that place: a place is a chunk's number and a record's in it, counted through.
pub(crate) async fn read(store: &dyn Store, before: Option<u64>, limit: usize) -> Result<Page, StoreError> {
    let size = CHUNK_RECORDS as u64;
    let (Head { newest }, _) = head(store).await?;
    let oldest = (newest + 1).saturating_sub(CHUNKS_KEPT);
    let before = before.unwrap_or(u64::MAX).min((newest + 1) * size);
    let mut items = Vec::new();
    let mut number = before.div_ceil(size);
    while number > oldest {
        number -= 1;
        let (chunk, _) = chunk(store, number).await?;
        for (place, record) in chunk.records.into_iter().enumerate().rev() {
            let place = number * size + place as u64;
            if place >= before {
                continue;
            }
            if items.len() >= limit {
                return Ok(Page { items, next: Some(place + 1) });
            }
            items.push(record);
        }
    }
    Ok(Page { items, next: None })
}

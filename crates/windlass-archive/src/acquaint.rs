//! Store and archive know each other: a mark in each, and a reader that holds the store's log back.

use windlass_core::name::check_name;
use windlass_core::store::Store;

use crate::database::Head;
use crate::error::ArchiveError;
use crate::options::Options;
use crate::target::Target;

/// Lets the store forget an archive: its log is no longer held back. The archive itself stays as it is.
///
/// Answers whether the store knew it.
///
/// # Errors
/// When the store fails.
pub async fn forget(store: &dyn Store, name: &str) -> Result<bool, ArchiveError> {
    check_name("archive name", name)?;
    let reader = reader_name(name);
    let (known, version) = store.meta(reader.clone()).await?;
    let held = store.readers().await?.iter().any(|held| held.name == reader);
    store.delete_reader(reader.clone()).await?;
    if !known.is_empty() {
        store.set_meta(reader, Vec::new(), version).await??;
    }
    Ok(held || !known.is_empty())
}

/// Makes sure that store and archive belong together; answers whether the store had to be adopted.
pub(crate) async fn acquaint(
    store: &dyn Store,
    target: &Target,
    options: &Options,
    head: &Head,
) -> Result<bool, ArchiveError> {
    let key = reader_name(&options.name);
    let (known, version) = store.meta(key.clone()).await?;
    if known == head.id.as_bytes() {
        return Ok(false);
    }
    let is_new = known.is_empty() && head.cursor.is_none();
    if !is_new && !options.adopt {
        return Err(ArchiveError::OtherStore { target: target.to_string(), name: options.name.clone() });
    }
    store.set_meta(key, head.id.clone().into_bytes(), version).await??;
    Ok(!is_new)
}

/// The name of the reader, and of the note that says which archive it is.
pub(crate) fn reader_name(name: &str) -> String {
    format!("archive:{name}")
}

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

/// Refuses an archive that does not belong to the store, before anything is made for it: `head` is what was found where it
/// is to lie.
pub(crate) async fn refuse_stranger(
    store: &dyn Store,
    target: &Target,
    options: &Options,
    head: Option<&Head>,
) -> Result<(), ArchiveError> {
    let (known, _) = store.meta(reader_name(&options.name)).await?;
    match meet(&known, head) {
        Meeting::Strangers if !options.adopt => Err(other_store(target, options)),
        _ => Ok(()),
    }
}

/// Makes sure that store and archive belong together, and has the store note it; answers what they were to each other.
pub(crate) async fn acquaint(
    store: &dyn Store,
    target: &Target,
    options: &Options,
    head: &Head,
) -> Result<Meeting, ArchiveError> {
    let key = reader_name(&options.name);
    let (known, version) = store.meta(key.clone()).await?;
    let meeting = meet(&known, Some(head));
    match meeting {
        Meeting::Known => return Ok(meeting),
        Meeting::Strangers if !options.adopt => return Err(other_store(target, options)),
        Meeting::New | Meeting::Strangers => {}
    }
    store.set_meta(key, head.id.clone().into_bytes(), version).await??;
    Ok(meeting)
}

/// What store and archive are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meeting {
    /// Each has the other's mark.
    Known,
    /// Neither has been used for anything: the store knows no archive of that name, and in the archive there is nothing.
    New,
    /// Anything else.
    Strangers,
}

fn meet(known: &[u8], head: Option<&Head>) -> Meeting {
    match head {
        Some(head) if known == head.id.as_bytes() => Meeting::Known,
        _ if known.is_empty() && head.is_none_or(|head| head.cursor.is_none()) => Meeting::New,
        _ => Meeting::Strangers,
    }
}

fn other_store(target: &Target, options: &Options) -> ArchiveError {
    ArchiveError::OtherStore { target: target.to_string(), name: options.name.clone() }
}

/// The name of the reader, and of the note that says which archive it is.
pub(crate) fn reader_name(name: &str) -> String {
    format!("archive:{name}")
}

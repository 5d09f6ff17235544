//! The list of a campaign day: contacts by number, read or generated, and its snapshot on disk.
//!
//! A campaign works on a snapshot taken at its launch: an edit of the user's file while the day runs must not
//! shift the numbers by which jobs name their contacts.

use std::{
    fs::File,
    io::{BufRead, BufReader, BufWriter, Read, Write},
    path::Path,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Contact, generated};
use crate::plan::ContactId;

/// The most contacts of one list: generated phone numbers have seven digits after +1555, and a read list of this
/// size takes about 2 GiB of memory.
pub const MAX_CONTACTS: u32 = 10_000_000;
/// The longest line of a snapshot; a row of a contact file is bounded to less.
const MAX_SNAPSHOT_LINE_BYTES: u64 = 1024 * 1024;

/// Contacts by number, the same in every process that has the same list; cheap to clone.
#[derive(Clone, Debug)]
pub struct ContactList(Source);

#[derive(Clone, Debug)]
enum Source {
    Generated { contacts: u32, seed: u64 },
    Read(Arc<[Contact]>),
}

/// The first line of a snapshot; a generated list has no other.
#[derive(Serialize, Deserialize)]
struct SnapshotHead {
    contacts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
}

/// A snapshot could not be written or read.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// The file failed.
    #[error("contact list {path}: {error}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file is not a whole snapshot.
    #[error("contact list {path}, line {line}: {why}")]
    Damaged {
        /// The file.
        path: String,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
}

impl ContactList {
    /// A list of `contacts` people made from `seed`, at most [`MAX_CONTACTS`].
    pub fn generated(contacts: u32, seed: u64) -> Self {
        Self(Source::Generated { contacts: contacts.min(MAX_CONTACTS), seed })
    }

    /// The list of these contacts, in this order, cut at [`MAX_CONTACTS`].
    pub fn of(mut contacts: Vec<Contact>) -> Self {
        contacts.truncate(MAX_CONTACTS as usize);
        Self(Source::Read(contacts.into()))
    }

    /// How many contacts there are; their numbers are 0 to this, exclusive.
    pub fn len(&self) -> u32 {
        match &self.0 {
            Source::Generated { contacts, .. } => *contacts,
            Source::Read(contacts) => u32::try_from(contacts.len()).expect("a list is cut at MAX_CONTACTS"),
        }
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The contact with this number.
    pub fn get(&self, id: ContactId) -> Option<Contact> {
        match &self.0 {
            Source::Generated { contacts, seed } => {
                (id.0 < *contacts).then(|| generated::contact(*seed, id.0))
            }
            Source::Read(contacts) => contacts.get(id.0 as usize).cloned(),
        }
    }

    /// Whether the contact with this number has an e-mail address, and whether it has a phone.
    pub fn reach(&self, id: ContactId) -> Option<(bool, bool)> {
        match &self.0 {
            Source::Generated { contacts, .. } => (id.0 < *contacts).then_some((true, true)),
            Source::Read(contacts) => {
                contacts.get(id.0 as usize).map(|contact| (contact.email.is_some(), contact.phone.is_some()))
            }
        }
    }

    /// The first `contacts` of this list, or all when it is shorter.
    pub fn first(&self, contacts: u32) -> Self {
        match &self.0 {
            Source::Generated { contacts: all, seed } => Self::generated(contacts.min(*all), *seed),
            Source::Read(all) => Self(Source::Read(all.iter().take(contacts as usize).cloned().collect())),
        }
    }

    /// Writes the list so that [`ContactList::load`] gives the same one; durable when it returns.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), SnapshotError> {
        let failed = |error| SnapshotError::Io { path: path.display().to_string(), error };
        let mut file = BufWriter::new(File::create(path).map_err(failed)?);
        let (seed, read) = match &self.0 {
            Source::Generated { seed, .. } => (Some(*seed), None),
            Source::Read(contacts) => (None, Some(contacts)),
        };
        write_line(&mut file, &SnapshotHead { contacts: self.len(), seed }).map_err(failed)?;
        for contact in read.into_iter().flat_map(|contacts| contacts.iter()) {
            write_line(&mut file, contact).map_err(failed)?;
        }
        file.into_inner().map_err(|error| failed(error.into_error()))?.sync_all().map_err(failed)
    }

    /// Reads a list that [`ContactList::save`] wrote.
    ///
    /// # Errors
    /// When the file cannot be read, or is not a whole snapshot.
    pub fn load(path: &Path) -> Result<Self, SnapshotError> {
        let failed = |error| SnapshotError::Io { path: path.display().to_string(), error };
        let damaged =
            |line: u64, why: String| SnapshotError::Damaged { path: path.display().to_string(), line, why };
        let mut file = BufReader::new(File::open(path).map_err(failed)?);
        let mut line = Vec::new();
        let mut next = |number: u64| -> Result<Option<Vec<u8>>, SnapshotError> {
            line.clear();
            let read =
                (&mut file).take(MAX_SNAPSHOT_LINE_BYTES).read_until(b'\n', &mut line).map_err(failed)?;
            match line.last() {
                _ if read == 0 => Ok(None),
                Some(b'\n') => Ok(Some(std::mem::take(&mut line))),
                _ => Err(damaged(number, "the line is cut or too long".to_owned())),
            }
        };
        let head = next(1)?.ok_or_else(|| damaged(1, "the file is empty".to_owned()))?;
        let head: SnapshotHead =
            serde_json::from_slice(&head).map_err(|error| damaged(1, error.to_string()))?;
        if head.contacts > MAX_CONTACTS {
            return Err(damaged(1, format!("{} contacts are more than {MAX_CONTACTS}", head.contacts)));
        }
        if let Some(seed) = head.seed {
            return Ok(Self::generated(head.contacts, seed));
        }
        let mut contacts = Vec::new();
        let mut number = 1;
        while let Some(bytes) = next(number + 1)? {
            number += 1;
            contacts
                .push(serde_json::from_slice(&bytes).map_err(|error| damaged(number, error.to_string()))?);
        }
        if contacts.len() != head.contacts as usize {
            let why = format!("{} contacts of {}", contacts.len(), head.contacts);
            return Err(damaged(number, why));
        }
        Ok(Self::of(contacts))
    }
}

fn write_line(file: &mut impl Write, value: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *file, value)?;
    file.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_generated_list_is_the_same_in_every_process_and_has_no_address_twice() {
        let (here, there) = (ContactList::generated(20_000, 7), ContactList::generated(20_000, 7));
        let mut addresses = HashSet::new();
        for number in 0..20_000 {
            let contact = here.get(ContactId(number)).unwrap();
            assert_eq!(Some(&contact), there.get(ContactId(number)).as_ref());
            let email = contact.email.unwrap();
            assert!(email.ends_with("@example.com") && email.parse::<lettre::Address>().is_ok(), "{email}");
            let phone = contact.phone.unwrap();
            assert!(phone.starts_with("+1555") && phone.len() == 12, "{phone}");
            assert!(addresses.insert(email) && addresses.insert(phone));
        }
        assert_eq!(here.get(ContactId(20_000)), None);
        assert_ne!(ContactList::generated(1, 8).get(ContactId(0)), here.get(ContactId(0)));
    }

    #[test]
    fn a_snapshot_gives_the_same_list_and_a_cut_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("contacts.jsonl");
        let read = ContactList::of(vec![
            Contact { name: "Ann".into(), email: Some("ann@example.com".into()), ..Contact::default() },
            Contact { phone: Some("+15550000001".into()), extra: vec!["a\nb".into()], ..Contact::default() },
        ]);
        for list in [ContactList::generated(50, 3), read.clone()] {
            list.save(&path).unwrap();
            let loaded = ContactList::load(&path).unwrap();
            assert_eq!(loaded.len(), list.len());
            assert!((0..list.len()).all(|n| loaded.get(ContactId(n)) == list.get(ContactId(n))));
        }
        read.save(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert!(ContactList::load(&path).is_err(), "cut at {cut}");
        }
    }
}

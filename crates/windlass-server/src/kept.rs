//! Values that the server keeps in its store, each whole under one name: read as they are, changed by compare-and-set, so
//! that every server of a store knows the same ones.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use windlass_core::store::Store;
use windlass_core::{Rejection, StoreError};

use crate::answer::Fault;

/// Writers that were faster, after which something is wrong.
const TRIES: usize = 50;

/// Where a value is kept.
pub(crate) struct Place<T> {
    name: &'static str,
    /// What people call it: "the list of keys".
    what: &'static str,
    holds: PhantomData<fn() -> T>,
}

impl<T: Default + Serialize + DeserializeOwned> Place<T> {
    /// Under that name, which begins with `windlass.` so that nobody else writes it.
    pub(crate) const fn new(name: &'static str, what: &'static str) -> Self {
        Self { name, what, holds: PhantomData }
    }

    /// The value and its version; the default where there is none yet. One that cannot be read is an error, never the
    /// default: a list of keys that was damaged opens no door.
    ///
    /// # Errors
    /// The store's failure.
    pub(crate) async fn read(&self, store: &dyn Store) -> Result<(T, u64), StoreError> {
        let (value, version) = store.meta(self.name.to_owned()).await?;
        Ok((self.parsed(&value)?, version))
    }

    fn parsed(&self, value: &[u8]) -> Result<T, StoreError> {
        if value.is_empty() {
            return Ok(T::default());
        }
        serde_json::from_slice(value)
            .map_err(|error| StoreError::refused("meta", format!("{} is unreadable: {error}", self.what)))
    }

    /// Changes the value, as often as somebody else was faster. One that is as it was is not written.
    ///
    /// # Errors
    /// What `how` says, and the store's failure.
    pub(crate) async fn change<R>(
        &self,
        store: &dyn Store,
        mut how: impl FnMut(&mut T) -> Result<R, Fault>,
    ) -> Result<R, Fault> {
        for _ in 0..TRIES {
            let (was, version) = store.meta(self.name.to_owned()).await?;
            let mut value = self.parsed(&was)?;
            let answer = how(&mut value)?;
            let value =
                serde_json::to_vec(&value).map_err(|error| Fault::new("internal", error.to_string()))?;
            if value == was {
                return Ok(answer);
            }
            match store.set_meta(self.name.to_owned(), value, version).await? {
                Ok(_) => return Ok(answer),
                Err(Rejection::VersionConflict { .. }) => {}
                Err(refused) => return Err(refused.into()),
            }
        }
        Err(Fault::new("too_busy", format!("others change {} all the time", self.what)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERS: Place<Vec<u32>> = Place::new("windlass.numbers", "the list of numbers");

    #[tokio::test]
    async fn writers_at_once_lose_no_change_and_what_stays_is_not_written() {
        let client = windlass::open("memory:").await.expect("memory");
        let store = client.store().clone();
        let writers = (0..20).map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                NUMBERS
                    .change(store.as_ref(), |list| {
                        list.push(n);
                        Ok(list.len())
                    })
                    .await
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.expect("no panic").expect("a change");
        }
        let (mut list, version) = NUMBERS.read(store.as_ref()).await.expect("a value");
        list.sort_unstable();
        assert_eq!(list, (0..20).collect::<Vec<_>>());
        NUMBERS.change(store.as_ref(), |_| Ok(())).await.expect("nothing to do");
        assert_eq!(NUMBERS.read(store.as_ref()).await.expect("a value").1, version);
    }

    #[tokio::test]
    async fn a_value_that_cannot_be_read_is_an_error_and_is_not_written_over() {
        let client = windlass::open("memory:").await.expect("memory");
        let store = client.store().clone();
        store.set_meta("windlass.numbers".to_owned(), b"{".to_vec(), 0).await.expect("a store").expect("new");
        let error = NUMBERS.read(store.as_ref()).await.expect_err("no list");
        assert!(error.to_string().contains("the list of numbers is unreadable"), "{error}");
        assert!(NUMBERS.change(store.as_ref(), |_| Ok(())).await.is_err());
        assert_eq!(store.meta("windlass.numbers".to_owned()).await.expect("a value").0, b"{");
    }
}

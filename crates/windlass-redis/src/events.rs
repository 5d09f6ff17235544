//! Reading the event log, and who reads it.

use std::time::Duration;

use windlass_core::event::Cursor;
use windlass_core::store::{EventPage, From, Reader};
use windlass_core::{Rejection, StoreError, Time};

use crate::RedisStore;
use crate::shown::events_page;
use crate::wire::{self, Misread, Read};

/// Entries of the event log that one call reads.
const ENTRIES_A_CALL: usize = 100;
/// How often a reader that waits for events looks for those whose bell was lost.
const EVENTS_POLL: Duration = Duration::from_millis(1_000);

impl RedisStore {
    pub(crate) async fn read_events(
        &self,
        from: From,
        limit: usize,
        wait_ms: u64,
    ) -> Result<Result<EventPage, Rejection>, StoreError> {
        let limit = limit.max(1);
        let deadline = tokio::time::Instant::now() + Duration::from_millis(wait_ms);
        let mut from = from;
        loop {
            let mut rung = std::pin::pin!(self.0.hub.events.notified());
            // From here on a bell is heard, also while the server is asked.
            rung.as_mut().enable();
            let mut call = self.call("events", None);
            match from {
                From::Earliest => call.text("earliest").number(0u64),
                From::Latest => call.text("latest").number(0u64),
                From::After(cursor) => call.number(cursor.place).number(cursor.index),
            };
            // The first entry may have been read to its end.
            call.count(limit.min(ENTRIES_A_CALL) + 1);
            let page = self.look(&call, "events", |value| events_page(value, limit)).await?;
            let Some(page) = page else { return Ok(Err(Rejection::BadCursor)) };
            if !page.events.is_empty() || page.gap || wait_ms == 0 {
                return Ok(Ok(page));
            }
            from = From::After(page.next);
            let until = deadline.min(tokio::time::Instant::now() + EVENTS_POLL);
            if tokio::time::timeout_at(until, rung).await.is_err() && until == deadline {
                return Ok(Ok(page));
            }
        }
    }

    pub(crate) async fn put_reader(&self, reader: Reader) -> Result<(), StoreError> {
        let mut call = self.call("set_reader", None);
        let name = windlass_core::bounds::cut(&reader.name, 255);
        let mut place = format!("{}-{}", reader.cursor.place, reader.cursor.index);
        if let Some(from) = reader.keeps_from {
            place.push_str(&format!("-{}", from.0));
        }
        call.text(name).text(&place);
        self.done(&call, "set_reader", |_| Ok(())).await
    }

    pub(crate) async fn drop_reader(&self, name: String) -> Result<(), StoreError> {
        let mut call = self.call("delete_reader", None);
        call.text(windlass_core::bounds::cut(&name, 255));
        self.done(&call, "delete_reader", |_| Ok(())).await
    }

    pub(crate) async fn all_readers(&self) -> Result<Vec<Reader>, StoreError> {
        let call = self.call("readers", None);
        let reader = |(name, place): (Vec<u8>, Vec<u8>)| {
            let place = String::from_utf8(place).map_err(|_| Misread("reader"))?;
            let numbers = place.split('-').map(|part| part.parse().map_err(|_| Misread("reader")));
            let (place, index, keeps_from) = match numbers.collect::<Read<Vec<u64>>>()?[..] {
                [place, index] => (place, index, None),
                [place, index, from] => (place, index, Some(Time(from))),
                _ => return Err(Misread("reader")),
            };
            let index = u32::try_from(index).map_err(|_| Misread("reader"))?;
            let name = String::from_utf8_lossy(&name).into_owned();
            Ok(Reader { name, cursor: Cursor { place, index }, keeps_from })
        };
        let read = |value| wire::pairs(value)?.into_iter().map(reader).collect::<Read<Vec<_>>>();
        let mut all = self.look(&call, "readers", read).await?;
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }
}

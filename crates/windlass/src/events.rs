//! Reading along: every transition of every job, in order per job, from any place still kept.

use crate::error::Error;
use std::collections::VecDeque;
use std::sync::Arc;
use windlass_core::event::{Cursor, Event};
use windlass_core::store::{From, Store};

/// Events asked for at once.
const PAGE_EVENTS: usize = 500;
/// How long one call waits for the first event before it is made again.
const WAIT_MS: u64 = 20_000;

/// The event log from some place on. It keeps only its place: a reader made from [`Events::cursor`]
/// goes on there, in another process too.
pub struct Events {
    store: Arc<dyn Store>,
    /// After the last event handed out.
    place: From,
    /// After the last event read ahead.
    ahead: From,
    ready: VecDeque<Event>,
    gap: bool,
}

impl Events {
    pub(crate) fn new(store: Arc<dyn Store>, from: From) -> Self {
        Self { store, place: from, ahead: from, ready: VecDeque::new(), gap: false }
    }

    /// The next event; waits until there is one. Dropping the future loses none.
    ///
    /// # Errors
    /// A cursor that is not valid here, or the store's failure; the next call goes on from the same place.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            if let Some(event) = self.take() {
                return Ok(event);
            }
            self.read(PAGE_EVENTS, WAIT_MS).await?;
        }
    }

    /// What is there now, at most `limit` events; empty when nothing new has happened.
    ///
    /// # Errors
    /// As [`Events::next`].
    pub async fn poll_now(&mut self, limit: usize) -> Result<Vec<Event>, Error> {
        if self.ready.is_empty() {
            self.read(limit.max(1), 0).await?;
        }
        Ok(std::iter::from_fn(|| self.take()).take(limit).collect())
    }

    /// Where a later reader goes on after everything that was handed out; none before the first event
    /// of a reader that did not start at a cursor.
    pub fn cursor(&self) -> Option<Cursor> {
        match self.place {
            From::After(cursor) => Some(cursor),
            From::Earliest | From::Latest => None,
        }
    }

    /// Whether events were trimmed before this reader came to them, since the last time of asking.
    pub fn take_gap(&mut self) -> bool {
        std::mem::take(&mut self.gap)
    }

    fn take(&mut self) -> Option<Event> {
        let event = self.ready.pop_front()?;
        self.place = From::After(event.cursor);
        Some(event)
    }

    async fn read(&mut self, limit: usize, wait_ms: u64) -> Result<(), Error> {
        let page = self.store.events(self.ahead, limit, wait_ms).await??;
        self.ahead = From::After(page.next);
        self.gap |= page.gap;
        if page.events.is_empty() {
            self.place = self.ahead;
        }
        self.ready = page.events.into();
        Ok(())
    }
}

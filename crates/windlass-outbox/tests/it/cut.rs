//! A relay that ends at a chosen step, as by kill -9: just before the step's transaction, or just after it; or whose database
//! is away at that step, and back at the next.

use std::pin::Pin;
use std::time::Duration;
use windlass_core::store::StoreFuture;
use windlass_core::{JobId, StoreError};
use windlass_outbox::outbox::{Aside, Batch, Found, Outbox, Refusal, Standing, Turn};
use windlass_outbox::row::Row;

/// The outbox of a relay whose life ends.
pub(crate) struct Cut {
    inner: Box<dyn Outbox>,
    /// Steps until the end.
    left: usize,
    /// Whether the last step takes place.
    done: bool,
    /// Whether there is a life after it.
    passes: bool,
}

/// What the relay is told when its life ends.
pub(crate) const END: &str = "the relay was killed here";

/// What it is told when its database is away.
pub(crate) const AWAY: &str = "the database is away here";

impl Cut {
    /// Ends at the step of that number, counted from 0: before its transaction, or after.
    pub(crate) fn at(inner: Box<dyn Outbox>, step: usize, done: bool) -> Box<Self> {
        Box::new(Self { inner, left: step, done, passes: false })
    }

    /// Does not take the step of that number, and every other.
    pub(crate) fn away_at(inner: Box<dyn Outbox>, step: usize) -> Box<Self> {
        Box::new(Self { inner, left: step, done: false, passes: true })
    }

    fn step<'a, T: Send + 'a>(
        &'a mut self,
        run: impl FnOnce(&'a mut dyn Outbox) -> StoreFuture<'a, T> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        Box::pin(async move {
            let last = self.left == 0;
            self.left = self.left.saturating_sub(1);
            if last && self.passes {
                self.left = usize::MAX;
                return Err(StoreError { retryable: true, ..StoreError::refused("relay", AWAY) });
            }
            let end = || Err(StoreError::refused("relay", END));
            if last && !self.done {
                return end();
            }
            let answer = run(self.inner.as_mut()).await?;
            if last { end() } else { Ok(answer) }
        })
    }
}

impl Outbox for Cut {
    fn take_over(&mut self) -> StoreFuture<'_, Option<Found>> {
        self.step(|inner| inner.take_over())
    }

    fn turn(&mut self, turn: Turn) -> StoreFuture<'_, Option<(Batch, Vec<Row>)>> {
        self.step(|inner| inner.turn(turn))
    }

    fn amend(
        &mut self,
        batch: Batch,
        refused: Vec<Refusal>,
        left: Vec<i64>,
        fence: JobId,
    ) -> StoreFuture<'_, Option<Batch>> {
        self.step(move |inner| inner.amend(batch, refused, left, fence))
    }

    fn waits(&mut self, ids: Vec<JobId>) -> StoreFuture<'_, bool> {
        self.inner.waits(ids)
    }

    fn trim(&mut self, keep: Duration) -> StoreFuture<'_, ()> {
        self.inner.trim(keep)
    }

    fn doorbell(&mut self, at_most: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.inner.doorbell(at_most)
    }

    fn standing(&mut self) -> StoreFuture<'_, Standing> {
        self.inner.standing()
    }

    fn refused(&mut self, limit: usize) -> StoreFuture<'_, Vec<Aside>> {
        self.inner.refused(limit)
    }

    fn retry(&mut self, seqs: Option<Vec<i64>>) -> StoreFuture<'_, u64> {
        self.inner.retry(seqs)
    }
}

//! Reading the event log, and who reads it.

use crate::admin::worker;
use crate::pool::Param;
use crate::store::PostgresStore;
use crate::wire::{Id, ms, time};
use std::time::Duration;
use tokio_postgres::types::Type;
use windlass_core::event::{Cause, Cursor, Event, EventType};
use windlass_core::store::{EventPage, From, Reader};
use windlass_core::{GroupKey, Kind, QueueName, Rejection, StoreError};

/// How long a read of events waits for older transactions, so that a reader sees what was acknowledged before it asked.
const SETTLE: Duration = Duration::from_secs(1);
/// How often it looks meanwhile.
const SETTLE_STEP: Duration = Duration::from_millis(1);
/// How often a reader that waits looks by itself for what other processes have written.
const READER_LOOK: Duration = Duration::from_millis(500);

/// How far the log reaches.
struct Horizon {
    /// Transactions below it get no more events.
    horizon: i64,
    /// The newest transaction with events.
    written: i64,
    /// No transaction has this number yet.
    newest: i64,
    /// Events up to this transaction were trimmed.
    trimmed: i64,
}

impl PostgresStore {
    /// As far as the log can be read, after what was acknowledged before this call has come within reach. A transaction
    /// that is older and still open holds it back; it is waited for a moment, and then the log is shown up to it.
    async fn horizon(&self) -> Result<Horizon, StoreError> {
        let until = tokio::time::Instant::now() + SETTLE;
        let mut goal = None;
        loop {
            let rows = self.rows("events", "SELECT * FROM windlass.event_horizon()", &[]).await?;
            let row =
                rows.first().ok_or_else(|| StoreError::refused("events", "the function gave no row"))?;
            let found =
                Horizon { horizon: row.get(0), written: row.get(1), newest: row.get(2), trimmed: row.get(3) };
            let goal = *goal.get_or_insert(found.written);
            if goal < found.horizon || tokio::time::Instant::now() >= until {
                return Ok(found);
            }
            tokio::time::sleep(SETTLE_STEP).await;
        }
    }

    pub(crate) async fn read_events(
        &self,
        from: From,
        limit: usize,
        wait_ms: u64,
    ) -> Result<Result<EventPage, Rejection>, StoreError> {
        let deadline = tokio::time::Instant::now() + Duration::from_millis(wait_ms.min(86_400_000));
        let mut from = from;
        loop {
            let written = self.0.hub.written.notified();
            tokio::pin!(written);
            written.as_mut().enable();
            self.take_up("events").await?;
            let reach = self.horizon().await?;
            let cursor = match from {
                From::Earliest => {
                    Cursor { place: u64::try_from(reach.trimmed).unwrap_or(0), index: u32::MAX }
                }
                From::Latest => Cursor { place: u64::try_from(reach.horizon).unwrap_or(0), index: 0 },
                From::After(cursor) => cursor,
            };
            let Ok(place) = i64::try_from(cursor.place) else { return Ok(Err(Rejection::BadCursor)) };
            if place > reach.newest {
                return Ok(Err(Rejection::BadCursor));
            }
            let page = self.stretch(cursor, place, &reach, limit.max(1)).await?;
            if !page.events.is_empty() || page.gap || wait_ms == 0 {
                return Ok(Ok(page));
            }
            from = From::After(page.next);
            let look = tokio::time::Instant::now() + READER_LOOK;
            let _ = tokio::time::timeout_at(deadline.min(look), written).await;
            if tokio::time::Instant::now() >= deadline {
                return Ok(Ok(page));
            }
        }
    }

    async fn stretch(
        &self,
        cursor: Cursor,
        place: i64,
        reach: &Horizon,
        limit: usize,
    ) -> Result<EventPage, StoreError> {
        let mut page = EventPage { next: cursor, ..EventPage::default() };
        page.gap = place > 0 && place <= reach.trimmed && cursor.index != u32::MAX;
        let most = i64::try_from(limit.min(10_000)).unwrap_or(1);
        let params: [Param<'_>; 4] = [
            (&place, Type::INT8),
            (&i64::from(cursor.index), Type::INT8),
            (&reach.horizon, Type::INT8),
            (&most, Type::INT8),
        ];
        let rows = self.rows("events", "SELECT * FROM windlass.events($1, $2, $3, $4)", &params).await?;
        let named = |why: Rejection| StoreError::refused("events", why.to_string());
        for row in &rows {
            let cursor = Cursor {
                place: u64::try_from(row.get::<_, i64>("xid")).unwrap_or(0),
                index: u32::try_from(row.get::<_, i64>("n")).unwrap_or(0),
            };
            let number = |at: &str| usize::try_from(row.get::<_, i16>(at)).unwrap_or(0);
            page.next = cursor;
            page.events.push(Event {
                cursor,
                at: time(row.get("at")),
                event: EventType::ALL.get(number("type")).copied().unwrap_or(EventType::Edited),
                job: row.get::<_, Id>("job").0,
                queue: QueueName::new(row.get::<_, &str>("queue")).map_err(named)?,
                kind: Kind::new(row.get::<_, &str>("kind")).map_err(named)?,
                group: row.get::<_, Option<&str>>(8).and_then(|key| GroupKey::new(key).ok()),
                attempt: u32::try_from(row.get::<_, i32>("attempt")).unwrap_or(0),
                cause: Cause::ALL.get(number("cause")).copied().unwrap_or(Cause::None),
                worker: row.get::<_, Option<i64>>("worker").map(worker),
                text: row.get("body"),
                result: row.get("result"),
            });
        }
        Ok(page)
    }

    pub(crate) async fn put_reader(&self, reader: Reader) -> Result<(), StoreError> {
        let place = i64::try_from(reader.cursor.place).unwrap_or(i64::MAX);
        let params: [Param<'_>; 4] = [
            (&reader.name, Type::TEXT),
            (&place, Type::INT8),
            (&i64::from(reader.cursor.index), Type::INT8),
            (&reader.keeps_from.map(ms), Type::INT8),
        ];
        let sql = "INSERT INTO windlass.reader (name, place, idx, keeps_from) VALUES (left($1, 255), $2, $3, $4)
                   ON CONFLICT (name) DO UPDATE SET place = excluded.place, idx = excluded.idx, keeps_from = excluded.keeps_from";
        self.rows("set_reader", sql, &params).await.map(drop)
    }

    pub(crate) async fn drop_reader(&self, name: String) -> Result<(), StoreError> {
        let sql = "DELETE FROM windlass.reader WHERE name = left($1, 255)";
        self.rows("delete_reader", sql, &[(&name, Type::TEXT)]).await.map(drop)
    }

    pub(crate) async fn all_readers(&self) -> Result<Vec<Reader>, StoreError> {
        let rows = self
            .rows("readers", "SELECT name, place, idx, keeps_from FROM windlass.reader ORDER BY name", &[])
            .await?;
        let reader = |row: &tokio_postgres::Row| Reader {
            name: row.get(0),
            cursor: Cursor {
                place: u64::try_from(row.get::<_, i64>(1)).unwrap_or(0),
                index: u32::try_from(row.get::<_, i64>(2)).unwrap_or(0),
            },
            keeps_from: row.get::<_, Option<i64>>(3).map(time),
        };
        Ok(rows.iter().map(reader).collect())
    }
}

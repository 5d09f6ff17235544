//! The doorbell between processes: NOTIFY outside of any user's transaction, gathered for some milliseconds, and LISTEN on
//! one connection of its own, opened again whenever it dies. It carries names of queues and no truth: whoever hears
//! nothing finds the same by the next look.

use crate::store::{Handle, PostgresStore};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_postgres::AsyncMessage;
use tokio_postgres::types::{ToSql, Type};

/// Rings that come within this time go together: every NOTIFY takes a lock of the whole server.
const GATHER: Duration = Duration::from_millis(10);
/// A listener that cannot connect tries again this often.
const AGAIN: Duration = Duration::from_millis(500);
/// Bytes of one notification, below the server's own bound.
const PAYLOAD_MAX: usize = 7_000;

/// Queues that other processes should hear of.
pub(crate) struct Doorbell {
    queues: Mutex<BTreeSet<String>>,
    rung: Notify,
    channel: String,
    /// What tells this process's own notifications from others'.
    own: String,
}

impl Doorbell {
    pub(crate) fn new(schema: &str) -> Self {
        let own = format!("{}-{:p}", std::process::id(), &schema);
        Self { queues: Mutex::default(), rung: Notify::new(), channel: format!("windlass_{schema}"), own }
    }

    pub(crate) fn push(&self, queue: &str) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if !queues.contains(queue) {
            queues.insert(queue.to_owned());
            self.rung.notify_one();
        }
    }

    fn take(&self) -> Vec<String> {
        let all = std::mem::take(&mut *self.queues.lock().unwrap_or_else(PoisonError::into_inner));
        let mut texts: Vec<String> = Vec::new();
        for queue in all {
            match texts.last_mut() {
                Some(text) if text.len() + queue.len() < PAYLOAD_MAX => {
                    text.push(' ');
                    text.push_str(&queue);
                }
                _ => texts.push(format!("{} {queue}", self.own)),
            }
        }
        texts
    }
}

/// Sends what this process has rung, until the store is gone.
pub(crate) async fn send(bell: Arc<Doorbell>, store: Weak<Handle>) {
    loop {
        bell.rung.notified().await;
        tokio::time::sleep(GATHER).await;
        let Some(handle) = store.upgrade() else { return };
        let store = PostgresStore(handle);
        for text in bell.take() {
            let params: [(&(dyn ToSql + Sync), Type); 2] = [(&bell.channel, Type::TEXT), (&text, Type::TEXT)];
            let sent = store.rows("notify", "SELECT pg_notify($1, $2)", &params).await;
            if let Err(why) = sent {
                tracing::debug!(%why, "a doorbell did not ring");
            }
        }
    }
}

/// Hears what other processes ring, until the store is gone.
pub(crate) async fn hear(store: Weak<Handle>) {
    loop {
        let Some(way) = store.upgrade().map(|handle| handle.pool.way()) else { return };
        if let Ok((client, mut connection)) = way.connect().await {
            let Some(channel) = store.upgrade().map(|handle| handle.bell.channel.clone()) else { return };
            let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
            let driver = tokio::spawn(async move {
                while let Some(Ok(message)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
                    if let AsyncMessage::Notification(note) = message
                        && tell.send(note.payload().to_owned()).is_err()
                    {
                        return;
                    }
                }
            });
            if client.batch_execute(&format!("LISTEN {channel}")).await.is_ok() {
                // Whatever was rung while nobody listened is found by a look.
                if let Some(handle) = store.upgrade() {
                    handle.hub.watched().iter().for_each(|queue| handle.hub.ring(queue, 1));
                }
                while let Some(text) = told.recv().await {
                    let Some(handle) = store.upgrade() else { break };
                    let Some((from, queues)) = text.split_once(' ') else { continue };
                    if from != handle.bell.own {
                        handle.hub.written.notify_waiters();
                        queues.split(' ').for_each(|queue| handle.hub.ring(queue, u64::MAX));
                    }
                }
            }
            driver.abort();
        }
        tokio::time::sleep(AGAIN).await;
    }
}

//! All queues, by name.

use askama::Template;
use windlass_look::Frame;

use super::page::{Reply, show};
use super::rows::{QueueRow, rows};
use super::visit::Visit;
use crate::read::Pairs;

/// Queues of a page.
const QUEUES_SHOWN: usize = 100;

#[derive(Template)]
#[template(path = "queues.html")]
struct QueuesPage {
    f: Frame,
    rows: Vec<QueueRow>,
    all: usize,
    /// What the names shown begin with.
    prefix: String,
    matching: usize,
    next: Option<String>,
}

/// `GET /queues`.
pub(crate) async fn page(visit: Visit, mut query: Pairs) -> Reply {
    let (prefix, after) = (query.take("prefix")?.unwrap_or_default(), query.take("after")?);
    query.end("prefix and after")?;
    let (mut queues, workers) =
        tokio::try_join!(visit.store().queues(None, None), visit.store().workers(None))?;
    let all = queues.len();
    queues.sort_by(|a, b| a.name.cmp(&b.name));
    queues.retain(|info| info.name.as_str().starts_with(prefix.trim()));
    let matching = queues.len();
    if let Some(after) = &after {
        queues.retain(|info| info.name.as_str() > after.as_str());
    }
    let more = queues.len() > QUEUES_SHOWN;
    queues.truncate(QUEUES_SHOWN);
    let rows = rows(&visit, &queues, &workers).await?;
    let mut f = visit.frame("queues");
    f.every = 10;
    let next = queues.last().filter(|_| more).map(|last| {
        let fields = [("prefix", prefix.trim()), ("after", last.name.as_str())];
        format!("{}/queues?{}", f.base, super::form::spelled(fields))
    });
    show(&QueuesPage { f, rows, all, prefix, matching, next })
}

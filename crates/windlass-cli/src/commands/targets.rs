//! `windlass queues target`: where a queue's jobs are pushed.
//!
//! A server that is there is asked; without one it is written to the store, from where every server takes it up, and
//! whether the address may be reached is for the server to decide that sends to it.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde::Deserialize;
use windlass_api::target::{RotateRequest, TargetRequest, TargetShape};
use windlass_core::store::Store;
use windlass_core::{QueueName, Time};
use windlass_http::HttpStore;
use windlass_server::targets;
use windlass_webhook::{Guard, NoWay, TargetUrl};

use crate::arguments::Global;
use crate::connect;
use crate::fault::Fault;
use crate::output::Output;
use crate::values::span::{self, Span};

/// The verbs of `queues target`.
#[derive(Debug, Subcommand)]
pub(crate) enum TargetCommand {
    /// List the queues that are pushed, with their targets
    #[command(before_help = "Examples:\n  windlass queues target ls\n")]
    Ls,
    /// The target of one queue
    #[command(before_help = "Examples:\n  windlass queues target show email\n")]
    Show {
        /// The queue
        queue: QueueName,
    },
    Set(TargetSetArgs),
    /// Make a new secret, shown this once; the old one signs beside it for a while
    #[command(before_help = "Examples:\n  windlass queues target rotate email --keep 1h\n")]
    Rotate {
        /// The queue
        queue: QueueName,
        /// How long the old secret still signs
        #[arg(long, default_value = "24h", value_name = "SPAN")]
        keep: Span,
    },
    /// Send jobs of a queue nowhere any more; requests that are under way are answered still
    #[command(before_help = "Examples:\n  windlass queues target rm email\n")]
    Rm {
        /// The queue
        queue: QueueName,
    },
}

const SET_EXAMPLES: &str = "\
Examples:
  windlass queues target set email https://example.com/jobs
  windlass queues target set email --concurrency 50 --timeout 2m
  windlass queues target set email http://localhost:8080/jobs --header 'authorization: Bearer abc'
";

/// Have the server send each job of a queue to an address; what is not named stays
#[derive(Debug, Args)]
#[command(before_help = SET_EXAMPLES)]
pub(crate) struct TargetSetArgs {
    /// The queue; it need not exist yet
    queue: QueueName,
    /// The address; what the queue has already unless said
    url: Option<String>,
    /// Requests at once, of each server on the store
    #[arg(long, value_name = "N")]
    concurrency: Option<u32>,
    /// How long the target may take for an answer
    #[arg(long, value_name = "SPAN")]
    timeout: Option<Span>,
    /// A header that every request bears (`name: value`); may be repeated, and takes the place of all there were
    #[arg(long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// A file with one secret (`whsec_…`) or two, a line each, the new one first; one is made unless there is one
    #[arg(long, value_name = "FILE")]
    secrets: Option<PathBuf>,
}

/// Where targets are kept.
enum Place<'a> {
    /// On the store itself.
    Store(&'a Arc<dyn Store>, Time),
    /// By a server, which answers for them.
    Server(HttpStore),
}

#[derive(Deserialize)]
struct Items {
    items: Vec<TargetShape>,
}

impl Place<'_> {
    async fn list(&self) -> Result<Vec<TargetShape>, Fault> {
        match self {
            Place::Store(store, now) => {
                targets::list(store, *now).await.map_err(|problem| Fault::from(*problem))
            }
            Place::Server(server) => {
                let all: Items = server.beside("targets", "GET", "/v1/targets", None::<&()>).await??;
                Ok(all.items)
            }
        }
    }

    /// What would set the target of a queue again as it is.
    async fn request(&self, queue: &QueueName) -> Result<Option<TargetRequest>, Fault> {
        match self {
            Place::Store(store, _) => {
                targets::request(store, queue).await.map_err(|problem| Fault::from(*problem))
            }
            Place::Server(_) => {
                let known = self.list().await?.into_iter().find(|shape| shape.queue == *queue);
                Ok(known.map(|shape| TargetRequest {
                    url: shape.url,
                    concurrency: Some(shape.concurrency),
                    timeout: Some(span::exact(shape.timeout_ms)),
                    // Their values are told by nobody: each has to be said again.
                    headers: shape.headers.into_iter().map(|name| (name, String::new())).collect(),
                    ..TargetRequest::default()
                }))
            }
        }
    }

    async fn set(&self, queue: &QueueName, request: TargetRequest) -> Result<TargetShape, Fault> {
        match self {
            Place::Store(store, now) => {
                targets::set(store, *now, queue, request).await.map_err(|problem| Fault::from(*problem))
            }
            Place::Server(server) => {
                let again = |what| {
                    Fault::usage(format!(
                        "the target of queue {queue} has {what} that the server does not tell"
                    ))
                    .next("name all of it again: the address, and each --header")
                };
                if request.url.ends_with("?…") {
                    return Err(again("a query"));
                }
                if request.headers.values().any(String::is_empty) {
                    return Err(again("headers"));
                }
                Ok(server.beside("targets", "PUT", &at(queue), Some(&request)).await??)
            }
        }
    }

    async fn rotate(&self, queue: &QueueName, request: RotateRequest) -> Result<TargetShape, Fault> {
        match self {
            Place::Store(store, now) => {
                targets::rotate(store, *now, queue, request).await.map_err(|problem| Fault::from(*problem))
            }
            Place::Server(server) => {
                let path = format!("{}/rotate", at(queue));
                Ok(server.beside("targets", "POST", &path, Some(&request)).await??)
            }
        }
    }

    async fn remove(&self, queue: &QueueName) -> Result<(), Fault> {
        match self {
            Place::Store(store, _) => {
                targets::remove(store, queue).await.map_err(|problem| Fault::from(*problem))
            }
            Place::Server(server) => {
                Ok(server.beside::<()>("targets", "DELETE", &at(queue), None::<&()>).await??)
            }
        }
    }
}

/// The route of a queue's target. What a queue's name has needs no encoding.
fn at(queue: &QueueName) -> String {
    format!("/v1/queues/{queue}/target")
}

/// Runs the verb: through the server where there is one, which looks at the address at once; else on the store itself.
pub(crate) async fn run(
    global: &Global,
    store: &Arc<dyn Store>,
    now: Time,
    out: &Output,
    command: TargetCommand,
) -> Result<(), Fault> {
    let place = match connect::server(global).await? {
        Some(server) => Place::Server(server),
        None => Place::Store(store, now),
    };
    let place = &place;
    match command {
        TargetCommand::Ls => {
            let all = place.list().await?;
            if all.is_empty() {
                let first = global.again("windlass queues target set QUEUE https://…");
                out.hint(&format!("no queue is pushed: {first}"));
            }
            out.list(&all)
        }
        TargetCommand::Show { queue } => out.record(&find(place, &queue).await?),
        TargetCommand::Set(args) => set(global, place, out, args).await,
        TargetCommand::Rotate { queue, keep } => {
            let request = RotateRequest { keep: Some(span::exact(keep.ms)) };
            let shape = place.rotate(&queue, request).await?;
            let sentence =
                format!("queue {queue}: a new secret signs; the old one too, for {}", span::exact(keep.ms));
            told(out, &shape, &sentence)
        }
        TargetCommand::Rm { queue } => {
            let shape = find(place, &queue).await?;
            place.remove(&queue).await?;
            out.done(&shape, &format!("jobs of queue {queue} are sent nowhere any more"), &[queue.as_str()])
        }
    }
}

async fn set(global: &Global, place: &Place<'_>, out: &Output, args: TargetSetArgs) -> Result<(), Fault> {
    let before = place.request(&args.queue).await?;
    let url = args.url.or_else(|| before.as_ref().map(|before| before.url.clone()));
    let url = url.ok_or_else(|| {
        let first = format!("windlass queues target set {} https://…", args.queue);
        Fault::usage(format!("queue {} has no target yet, and no address is named", args.queue))
            .proposing("name one:", first)
    })?;
    let mut request =
        before.unwrap_or_else(|| TargetRequest { url: url.clone(), ..TargetRequest::default() });
    request.url = url;
    request.concurrency = args.concurrency.or(request.concurrency);
    request.timeout = args.timeout.map(|timeout| span::exact(timeout.ms)).or(request.timeout);
    if !args.headers.is_empty() {
        let split = |header: &String| {
            let (name, value) = header.split_once(':').ok_or_else(|| {
                Fault::usage("a header without a colon").next("write it as --header 'name: value'")
            })?;
            Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        };
        request.headers = args.headers.iter().map(split).collect::<Result<_, Fault>>()?;
    }
    if let Some(file) = &args.secrets {
        let text = std::fs::read_to_string(file).map_err(|error| Fault::file(file.display(), &error))?;
        request.secrets = Some(text.split_whitespace().map(str::to_owned).collect());
    }
    let url = request.url.clone();
    let shape = place.set(&args.queue, request).await?;
    let sentence = format!("jobs of queue {} are sent to {}", shape.queue, shape.url);
    told(out, &shape, &sentence)?;
    // A server has looked at it already.
    if let (Place::Store(..), Some(why)) = (place, closed(&url).await) {
        let serve = global.again("windlass serve --allow-target …");
        out.hint(&format!("{why}: a server sends there only if it was started so: {serve}"));
    }
    Ok(())
}

/// Why only a server that is told so sends there.
async fn closed(url: &str) -> Option<String> {
    let url = TargetUrl::parse(url).ok()?;
    match Guard::default().check(&url).await {
        Err(NoWay::Forbidden(why)) => Some(why.to_string()),
        _ => None,
    }
}

/// What was done, and the secret if one was made.
fn told(out: &Output, shape: &TargetShape, sentence: &str) -> Result<(), Fault> {
    let secret = shape.secret.as_deref();
    let sentence = match secret {
        Some(secret) => format!("{sentence}\nthe secret, shown this once: {secret}"),
        None => sentence.to_owned(),
    };
    for line in sentence.lines().skip(1) {
        out.hint(line);
    }
    let first = sentence.lines().next().unwrap_or_default().to_owned();
    out.done(shape, &first, &[shape.queue.as_str(), &shape.url, secret.unwrap_or("-")])
}

async fn find(place: &Place<'_>, queue: &QueueName) -> Result<TargetShape, Fault> {
    let all = place.list().await?;
    all.into_iter().find(|shape| shape.queue == *queue).ok_or_else(|| {
        Fault::not_found(format!("a target of queue {queue}"))
            .proposing("set one:", format!("windlass queues target set {queue} https://…"))
    })
}

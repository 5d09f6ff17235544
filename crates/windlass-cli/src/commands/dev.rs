//! `windlass dev`: a server to play with, and somebody who works.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde::Serialize;
use windlass::{Client, Ctx, Outcome, RawJob};
use windlass_server::{Options, Push};
use windlass_webhook::Guard;

use crate::commands::closing;
use crate::commands::place::Place;
use crate::commands::serve::{self, Ready};
use crate::connect;
use crate::fault::Fault;
use crate::interrupt::interrupted;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  windlass dev                        API and dashboard in a moment, gone when it ends
  windlass dev --persist ./my-queue   the same, and the directory stays
";

/// The queue of the worker that echoes.
const QUEUE: &str = "demo";
/// Echoes at once.
const SLOTS: u32 = 4;

/// Try it: a server with its dashboard, and a worker that echoes what comes to the queue `demo`
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct DevArgs {
    /// Where to listen, on this machine
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7979")]
    listen: SocketAddr,
    /// Keep the jobs in this directory
    #[arg(long, value_name = "DIR")]
    persist: Option<PathBuf>,
}

/// Runs the command.
pub(crate) async fn run(out: &Output, args: DevArgs) -> Result<(), Fault> {
    if !args.listen.ip().is_loopback() {
        return Err(Fault::usage(format!("{} is reached from other machines", args.listen))
            .next("windlass serve is for that; windlass dev is for this machine"));
    }
    let from = Instant::now();
    let ended = interrupted();
    let listener = serve::listen(args.listen).await?;
    let place = Place::new(args.persist)?;
    let store = format!("file:{}", place.path().display());
    let open = connect::open_here(&store).await?;
    let result = async {
        let failed = |error: windlass::Error| Fault::failed(error.to_string());
        let worker = echo(open.client()).await.map_err(failed)?;
        // What a newcomer pushes to runs beside it.
        let here = ["localhost", "127.0.0.0/8", "::1"].into_iter().filter_map(|here| here.parse().ok());
        let push = Push::new(Guard::new(here));
        let doors =
            serve::doors(open.client(), &store, listener, None, Options { push, ..Options::default() })?;
        welcome(out, doors.ready(), &place, from)?;
        let served = doors.serve(ended).await;
        worker.shutdown().await;
        served
    };
    let result = result.await;
    closing(open, result).await
}

/// What came is what it completes with.
async fn echo(client: &Client) -> Result<windlass::RunningWorker, windlass::Error> {
    let handle = |job: RawJob, cx: Ctx| async move {
        cx.log(format!("echo of {} bytes", job.payload.len()));
        Outcome::DoneWith(job.payload)
    };
    client.worker(()).queue(QUEUE, SLOTS).handle_any(handle).start().await
}

#[derive(Serialize)]
struct Welcome<'a> {
    #[serde(flatten)]
    ready: &'a Ready,
    queue: &'static str,
}

fn welcome(out: &Output, ready: &Ready, place: &Place, from: Instant) -> Result<(), Fault> {
    let url = &ready.url;
    let version = env!("CARGO_PKG_VERSION");
    let stays = if place.stays() { "it stays" } else { "gone at the end; --persist DIR keeps it" };
    let ms = from.elapsed().as_millis();
    let sentence = format!("windlass {version}, ready in {ms} ms: dashboard and API at {url}");
    out.done(&Welcome { ready, queue: QUEUE }, &sentence, &[url, &ready.store])?;
    out.hint(&format!("the queue lies in {} ({stays})", place.path().display()));
    out.hint(&format!("enqueue  curl -d '{{\"hi\":1}}' {url}/v1/queues/{QUEUE}/jobs"));
    out.hint(&format!("look     curl {url}/v1/queues/{QUEUE}"));
    out.hint(&format!("work     curl -d '{{\"queues\":[\"mine\"],\"wait\":\"30s\"}}' {url}/v1/claim"));
    out.hint("end it with Ctrl-C");
    Ok(())
}

//! A process of a demo, started by `windlass demo` and killed by it: the application, or a part of it.
//!
//! It finds everything it needs in its directory ([`Orders`]), so that one that was killed goes on by being started
//! again. It ends when its stdin does: the process that started it has asked, or is no more.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use windlass::Client;
use windlass_campaigns::flow::queues;
use windlass_server::{Drain, Listen, Options};

use super::beat::Beat;
use super::day::public_url;
use crate::arguments::Global;
use crate::campaigns;
use crate::commands::closing;
use crate::connect::{self, Intent, Open};
use crate::fault::Fault;

/// How often it says how it is: smooth enough for an eye, nothing for a processor.
const BEAT: Duration = Duration::from_millis(200);
/// How long a part waits for the queue's server, which may just have been killed and comes back.
const SERVER_COMES_BACK: Duration = Duration::from_secs(30);
/// The pause between two tries to reach it.
const TRY_AGAIN: Duration = Duration::from_millis(50);

const EXAMPLES: &str = "\
Examples:
  windlass demo-worker DIR --store URL      what `windlass demo` starts
";

/// A process of a demo; `windlass demo` starts it
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct WorkerArgs {
    /// The directory of the day
    dir: PathBuf,
    /// Which part of the application it is
    #[arg(long, value_enum, default_value_t)]
    part: Part,
}

/// Which part of the application a process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Part {
    /// All of it, with the queue's engine.
    #[default]
    Whole,
    /// The queue's server, of a store that one process owns.
    Server,
    /// Pages, callbacks and the relay.
    Application,
    /// The work.
    Worker,
}

impl Part {
    /// Its name in a sentence, and as an argument.
    pub(super) fn name(self) -> &'static str {
        match self {
            Part::Whole => "whole",
            Part::Server => "server",
            Part::Application => "application",
            Part::Worker => "worker",
        }
    }

    fn has_pages(self) -> bool {
        matches!(self, Part::Whole | Part::Application)
    }

    fn works(self) -> bool {
        matches!(self, Part::Whole | Part::Worker)
    }
}

/// What a process is told, in a file of its directory.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Orders {
    /// The application's database.
    pub(super) database: String,
    /// Where its pages are.
    pub(super) pages: SocketAddr,
    /// Where the queue's server is, if there is one besides.
    pub(super) server: SocketAddr,
}

impl Orders {
    /// Writes the orders where the processes look for them.
    pub(super) fn write(&self, dir: &Path) -> Result<(), Fault> {
        let text = serde_json::to_vec(self).map_err(|error| Fault::failed(error.to_string()))?;
        let path = orders_file(dir);
        std::fs::write(&path, text).map_err(|error| Fault::file(path.display(), &error))
    }

    fn read(dir: &Path) -> Result<Self, Fault> {
        let path = orders_file(dir);
        let text = std::fs::read(&path).map_err(|error| Fault::file(path.display(), &error))?;
        serde_json::from_slice(&text).map_err(|error| Fault::failed(format!("{}: {error}", path.display())))
    }
}

fn orders_file(dir: &Path) -> PathBuf {
    dir.join("day.json")
}

/// Works until stdin ends, then shuts down in order.
pub(crate) async fn run(global: &Global, args: WorkerArgs) -> Result<(), Fault> {
    die_with_parent();
    let orders = Orders::read(&args.dir)?;
    let asked = stdin_ends();
    let open = match args.part {
        // Its workers are other processes, and keep what they hold when this one is killed.
        Part::Server => connect::open_here(&global.store).await?,
        part => reached(&global.store, part).await?,
    };
    let result = part(args.part, &orders, open.client(), asked).await;
    closing(open, result).await
}

/// The store; a part that has it behind a server waits for one that is on its way back.
async fn reached(store: &str, part: Part) -> Result<Open, Fault> {
    let begun = Instant::now();
    loop {
        match connect::open_url(store, Intent::Work).await {
            Err(_) if part != Part::Whole && begun.elapsed() < SERVER_COMES_BACK => {
                tokio::time::sleep(TRY_AGAIN).await;
            }
            opened => return opened,
        }
    }
}

async fn part(
    part: Part,
    orders: &Orders,
    client: &Client,
    mut asked: tokio::sync::oneshot::Receiver<()>,
) -> Result<(), Fault> {
    let drain = Drain::default();
    let mut options = Options { drain: drain.clone(), ..Options::default() };
    let mut ending = None;
    if part == Part::Server {
        show(client, orders.server, options).await;
    } else {
        // The queue's server may be killed while the application asks it for something.
        let begun = Instant::now();
        let app = loop {
            let opened = campaigns::open(&orders.database, client, Some(public_url(orders.pages))).await;
            match opened {
                Err(_) if part != Part::Whole && begun.elapsed() < SERVER_COMES_BACK => {
                    tokio::time::sleep(TRY_AGAIN).await;
                }
                opened => break opened?,
            }
        };
        if part.has_pages() {
            // The queue's server watches, where there is one.
            options.monitors = part == Part::Whole;
            options.beside = vec![campaigns::beside(&app)];
            show(client, orders.pages, options).await;
        }
        ending = Some(campaigns::AtWork::start(&app, part.has_pages(), part.works()).await?);
    }
    if part == Part::Worker {
        // Whoever has the pages, or the queue, says how it goes.
        let _ = asked.await;
    } else {
        tell(client, &mut asked).await;
    }
    drain.begin();
    if let Some(ending) = ending {
        ending.end().await;
    }
    Ok(())
}

/// Says how the queues are, until it is asked to end.
async fn tell(client: &Client, asked: &mut tokio::sync::oneshot::Receiver<()>) {
    let mut ticks = tokio::time::interval(BEAT);
    loop {
        tokio::select! {
            _ = &mut *asked => return,
            _ = ticks.tick() => {}
        }
        // A server that is killed at the moment is asked again.
        let Ok(queues) = client.store().queues(None, None).await else { continue };
        // Queues in the order of a message's way, not of their names.
        let place = |name: &str| queues::ALL.iter().position(|queue| queue.name == name);
        let mut beat = Beat::of(&queues, client.now());
        beat.queues.sort_by_key(|queue| place(&queue.name));
        if say(&beat).is_err() {
            return;
        }
    }
}

/// Serves pages beside the work. The day goes on without them when somebody else has taken the port.
async fn show(client: &Client, address: SocketAddr, options: Options) {
    let listener = match tokio::net::TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("no pages at {address}: {error}");
            return;
        }
    };
    let drain = options.drain.clone();
    let router = windlass_server::router(client, options);
    tokio::spawn(windlass_server::serve(vec![(Listen::Tcp(listener), router)], drain));
}

/// A demo that is killed must not leave a process behind. Where the system cannot promise that, the end of stdin does.
fn die_with_parent() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
}

/// Completes when stdin ends; nothing is ever read from it.
fn stdin_ends() -> tokio::sync::oneshot::Receiver<()> {
    let (ended, asked) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // An error is an end too.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = ended.send(());
    });
    asked
}

fn say(beat: &Beat) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(beat)?;
    line.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&line)?;
    stdout.flush()
}

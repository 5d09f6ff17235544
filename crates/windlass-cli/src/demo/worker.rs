//! The process that holds the queue and does the work of a demo, started by `windlass demo` and killed by it.
//!
//! It finds everything it needs in its directory ([`Orders`]), so that one that was killed goes on by being started
//! again. It ends when its stdin does: the process that started it has asked, or is no more.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use windlass_campaigns::contacts::ContactList;
use windlass_campaigns::day::Day;
use windlass_campaigns::handlers::{App, Providers};
use windlass_campaigns::plan::{Plan, QUEUES};
use windlass_server::{Drain, Listen, Options};

use super::beat::Beat;
use crate::arguments::Global;
use crate::connect::{self, Intent};
use crate::fault::Fault;

/// How often it says how it is: smooth enough for an eye, nothing for a processor.
const BEAT: Duration = Duration::from_millis(200);
/// How often the fate of a call is asked for: the provider of the demo knows after a second.
const WATCH_EVERY: Duration = Duration::from_millis(1_000);

const EXAMPLES: &str = "\
Examples:
  windlass demo-worker DIR --store URL      what `windlass demo` starts
";

/// The worker process of a demo; `windlass demo` starts it
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct WorkerArgs {
    /// The directory of the day
    dir: PathBuf,
}

/// What a worker process is told, in a file of its directory.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Orders {
    /// The day.
    pub(super) day: Day,
    /// Where the messages go.
    pub(super) providers: Providers,
    /// Where to show the dashboard.
    #[serde(default)]
    pub(super) dashboard: Option<SocketAddr>,
}

impl Orders {
    /// Writes the orders and the list of contacts where the worker process looks for them.
    pub(super) fn write(&self, dir: &Path, list: &ContactList) -> Result<(), Fault> {
        let failed = |error: &dyn std::fmt::Display| Fault::failed(error.to_string());
        list.save(&contacts_file(dir)).map_err(|error| failed(&error))?;
        let text = serde_json::to_vec(self).map_err(|error| failed(&error))?;
        let path = orders_file(dir);
        std::fs::write(&path, text).map_err(|error| Fault::file(path.display(), &error))
    }

    fn read(dir: &Path) -> Result<(Self, ContactList), Fault> {
        let path = orders_file(dir);
        let text = std::fs::read(&path).map_err(|error| Fault::file(path.display(), &error))?;
        let orders = serde_json::from_slice(&text)
            .map_err(|error| Fault::failed(format!("{}: {error}", path.display())))?;
        let list =
            ContactList::load(&contacts_file(dir)).map_err(|error| Fault::failed(error.to_string()))?;
        Ok((orders, list))
    }
}

fn orders_file(dir: &Path) -> PathBuf {
    dir.join("day.json")
}

fn contacts_file(dir: &Path) -> PathBuf {
    dir.join("contacts.jsonl")
}

/// Works until stdin ends, then shuts down in order.
pub(crate) async fn run(global: &Global, args: WorkerArgs) -> Result<(), Fault> {
    die_with_parent();
    let (Orders { day, providers, dashboard }, list) = Orders::read(&args.dir)?;
    let plan = Plan::new(&list).map_err(|error| Fault::failed(error.to_string()))?;
    let app = App::new(list, &providers, WATCH_EVERY).map_err(|error| Fault::failed(error.to_string()))?;
    let open = connect::open_url(&global.store, Intent::Work).await?;
    let client = open.client().clone();
    let worker = app.work(&client).await.map_err(|error| Fault::failed(error.to_string()))?;
    let drain = Drain::default();
    if let Some(address) = dashboard {
        show(&client, address, drain.clone()).await;
    }
    day.launch(&plan, &client).await.map_err(|error| Fault::failed(error.to_string()))?;

    let mut asked = stdin_ends();
    let mut ticks = tokio::time::interval(BEAT);
    loop {
        tokio::select! {
            _ = &mut asked => break,
            _ = ticks.tick() => {}
        }
        let queues = client.store().queues(None, None).await?;
        // Queues in the order of a touch's way, not of their names.
        let place = |name: &str| QUEUES.iter().position(|queue| queue.name == name);
        let mut beat = Beat::of(&queues, client.now());
        beat.queues.sort_by_key(|queue| place(&queue.name));
        if say(&beat).is_err() {
            break;
        }
    }
    drain.begin();
    worker.shutdown().await;
    open.close().await
}

/// Serves the dashboard beside the work. The day goes on without it when somebody else has taken the port.
async fn show(client: &windlass::Client, address: SocketAddr, drain: Drain) {
    let listener = match tokio::net::TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("no dashboard at {address}: {error}");
            return;
        }
    };
    let options = Options { drain: drain.clone(), ..Options::default() };
    let router = windlass_server::router(client, options);
    tokio::spawn(windlass_server::serve(vec![(Listen::Tcp(listener), router)], drain));
}

/// A demo that is killed must not leave a worker behind. Where the system cannot promise that, the end of stdin does.
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

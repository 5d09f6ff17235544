//! `windlass demo`: a campaign day on real protocols, with its workers killed in the middle.
//!
//! Ten users launch up to 100 campaigns, one of them as large as all the others together. [`worker`] is the process
//! that holds the queue and does the work; [`process`] starts it, listens to it and kills it. [`pass`] runs one day:
//! it owns the providers, whose logs are the evidence, and closes the account against the queue. [`show`] is what is
//! seen meanwhile, [`outcome`] what is said at the end. The handlers of the day are the campaign application's own.

mod beat;
mod outcome;
mod pass;
mod people;
mod process;
mod rehearsal;
mod room;
mod show;
mod worker;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use windlass_campaigns::contacts::MAX_CONTACTS;
use windlass_campaigns::day::Sharing;

use crate::arguments::Global;
use crate::commands::{closing, serve};
use crate::connect;
use crate::fault::Fault;
use crate::interrupt::interrupted;
use crate::output::Output;
use outcome::{Comparison, Outcome};
use pass::Pass;
use people::People;
use room::Room;
use show::Show;

pub(crate) use worker::{WorkerArgs, run as run_worker};

/// Contacts of the day when nothing is said.
const SIZE_DEFAULT: u32 = 100_000;
/// The comparison pass has one contact for so many of the day.
const COMPARED_ONE_OF: u32 = 10;
/// The smallest comparison that shows anything: with fewer contacts the whale is no whale.
const COMPARED_MIN: u32 = 2_000;

const EXAMPLES: &str = "\
Examples:
  windlass demo                             100,000 contacts, two kills
  windlass demo --size 5000                 shorter
  windlass demo --no-fairness               small campaigns wait for the whale
  windlass demo --contacts people.csv       your own list; nothing leaves this machine
  windlass demo --store redis://localhost   the same on a server, in namespaces of its own
  windlass demo --serve                     look at the day in a browser when it is over
  windlass demo --json                      only the summary, as JSON
";

/// Watch a whole campaign day go through the queue, its workers killed twice in the middle
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct DemoArgs {
    /// Your own contacts: a CSV file with a header such as name,email,phone
    #[arg(long, value_name = "FILE", conflicts_with = "size")]
    contacts: Option<PathBuf>,
    /// Contacts of the day
    #[arg(long, value_name = "N", default_value_t = SIZE_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_CONTACTS)))]
    size: u32,
    /// Seed of people, faults and kills
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// One group for all campaigns: first come, first served
    #[arg(long)]
    no_fairness: bool,
    /// Do not kill the workers
    #[arg(long)]
    no_kill: bool,
    /// Do not run the comparison of both ways to share at the end
    #[arg(long)]
    no_compare: bool,
    /// Where the data goes, new or empty; a new directory here if left out
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Keep the data, to look at it with the other commands
    #[arg(long)]
    keep: bool,
    /// At the end of the day, leave its dashboard open until Ctrl-C
    #[arg(long)]
    serve: bool,
}

/// Runs the day, then the comparison, and tells the story.
pub(crate) async fn run(global: &Global, out: &Output, args: DemoArgs) -> Result<(), Fault> {
    let server = server(global)?;
    let begun = Instant::now();
    let people = match &args.contacts {
        Some(path) => People::read(path, out)?,
        None => People::generated(args.size, args.seed),
    };
    // Before there is anything to leave behind; and since the system does nothing about a signal that is listened to, it is
    // listened to throughout.
    let mut interrupted = std::pin::pin!(interrupted());
    let room = Room::make(args.dir.as_deref(), args.keep, server)?;
    let dashboard = free_address().await?;
    out.hint(&format!("watch it in a browser: http://{dashboard}"));
    let mut show = Show::new(out);
    let day = tokio::select! {
        day = passes(&args, &people, &room, &mut show, dashboard) => day,
        () = &mut interrupted => Err(pass::stopped()),
    };
    show.end();
    let (day, comparison) = match day {
        Ok(day) => day,
        // What the workers said of their end is worth keeping.
        Err(fault) => {
            let fault = room.keep_after(fault);
            room.leave().await?;
            return Err(fault);
        }
    };
    let outcome = Outcome::new(&people, &args, day, comparison, begun.elapsed());
    outcome.tell(out, &room)?;
    if args.serve {
        leave_open(out, &room, dashboard, interrupted).await?;
    }
    room.leave().await?;
    outcome.verdict()
}

/// An address of this machine that nobody listens at. It is found once, so that the dashboard is where it was after a kill.
async fn free_address() -> Result<SocketAddr, Fault> {
    Ok(serve::listen(SocketAddr::from(([127, 0, 0, 1], 0))).await?.local_addr()?)
}

/// Shows the day that is over, until somebody has seen enough.
async fn leave_open(
    out: &Output,
    room: &Room,
    address: SocketAddr,
    ended: impl Future<Output = ()>,
) -> Result<(), Fault> {
    let store = room.first_store();
    let listener = serve::listen(address).await?;
    let open = connect::open_here(&store).await?;
    let drain = windlass_server::Drain::default();
    let options = windlass_server::Options { drain: drain.clone(), ..Default::default() };
    let router = windlass_server::router(open.client(), options);
    out.hint(&format!("the day is open at http://{address} until Ctrl-C"));
    let ending = drain.clone();
    let served = windlass_server::serve(vec![(windlass_server::Listen::Tcp(listener), router)], drain);
    let (served, ()) = tokio::join!(served, async {
        ended.await;
        ending.begin();
    });
    closing(open, served.map_err(Fault::from)).await
}

/// The server that `--store` names, if it does: the demo makes namespaces of its own on it.
fn server(global: &Global) -> Result<Option<&str>, Fault> {
    let url = global.store.as_str();
    match url.split(':').next().unwrap_or_default() {
        _ if !global.store_is_explicit => Ok(None),
        "file" => Err(Fault::usage(
            "demo makes a directory of its own; name its place with --dir instead of --store",
        )),
        "memory" => Err(Fault::usage(
            "demo kills the process that holds the queue, and memory: ends with it; leave --store out, or name a server",
        )),
        _ if connect::split_namespace(url).1.is_some() => {
            Err(Fault::usage("demo makes namespaces of its own on a server; leave namespace= out"))
        }
        _ => Ok(Some(url)),
    }
}

async fn passes(
    args: &DemoArgs,
    people: &People,
    room: &Room,
    show: &mut Show,
    dashboard: SocketAddr,
) -> Result<(pass::Finished, Option<Comparison>), Fault> {
    let sharing = if args.no_fairness { Sharing::OneGroup } else { Sharing::FairGroups };
    let list = people.list.clone();
    let mut day = Pass::new("the day", room.part("day")?, list.clone(), args.seed, sharing)?
        .with_faults(people.may_be_refused)
        .with_dashboard(dashboard);
    if !args.no_kill {
        day = day.with_kills();
    }
    let day = day.run(show).await?;
    if args.no_compare {
        return Ok((day, None));
    }
    let size = (list.len() / COMPARED_ONE_OF).max(COMPARED_MIN).min(list.len());
    let compared = list.first(size);
    let mut both = Vec::with_capacity(2);
    for (sharing, name, part) in [
        (Sharing::FairGroups, "comparison, fair groups", "fair-groups"),
        (Sharing::OneGroup, "comparison, one group for all", "one-group"),
    ] {
        let pass = Pass::new(name, room.part(part)?, compared.clone(), args.seed, sharing)?;
        both.push(pass.run(show).await?.times);
    }
    let [fair_groups, one_group] = [both[0], both[1]];
    Ok((day, Some(Comparison { contacts: size, fair_groups, one_group })))
}

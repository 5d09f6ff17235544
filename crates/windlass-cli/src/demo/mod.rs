//! `windlass demo`: a campaign day on real protocols, its processes killed in the middle.
//!
//! Ten users launch up to 100 campaigns, one of them as large as all the others together. [`day`] writes it into the campaign
//! application, which does the rest: [`worker`] is the application in a process of its own, or one of its parts, [`crew`] are
//! those processes, started, listened to and killed. [`pass`] runs one day: it owns the providers, whose logs are the evidence,
//! and [`account`] compares them with the application's database. [`show`] is what is seen meanwhile, [`outcome`] what is said
//! at the end.

mod account;
mod beat;
mod crew;
mod day;
mod outcome;
mod pass;
mod people;
mod process;
mod progress;
mod rehearsal;
mod room;
mod show;
mod worker;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use crate::arguments::Global;
use crate::campaigns;
use crate::commands::{closing, serve};
use crate::connect;
use crate::fault::Fault;
use crate::interrupt::interrupted;
use crate::output::Output;
use crate::values::span::Span;
use outcome::{Comparison, Outcome};
use pass::{Kills, Pass};
use people::{PEOPLE_MAX, People};
use rehearsal::Rehearsal;
use room::Room;
use show::Show;

pub(crate) use worker::{WorkerArgs, run as run_worker};

/// Contacts of the day when nothing is said.
const SIZE_DEFAULT: u32 = 100_000;
/// The comparison pass has one contact for so many of the day.
const COMPARED_ONE_OF: u32 = 10;
/// Kills that come quicker leave no time for anything else.
const KILL_EVERY_MIN_MS: u64 = 500;
/// The smallest comparison that shows anything: with fewer contacts the whale is no whale.
const COMPARED_MIN: u32 = 2_000;

const EXAMPLES: &str = "\
Examples:
  windlass demo                             100,000 contacts, two kills
  windlass demo --size 5000                 shorter
  windlass demo --no-fairness               small campaigns wait for the whale
  windlass demo --contacts people.csv       your own list; nothing leaves this machine
  windlass demo --store redis://localhost   the same on a server, in namespaces of its own
  windlass demo --size 4000 --over 60s --kill-every 3s
                                            server, application and workers apart, one of them killed every few seconds
  windlass demo --serve                     look at the day in a browser when it is over
  windlass demo --json                      only the summary, as JSON
";

/// Watch a whole campaign day go out through the campaign application, killed twice in the middle
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct DemoArgs {
    /// Your own contacts: a CSV file with a header such as name,email,phone
    #[arg(long, value_name = "FILE", conflicts_with = "size")]
    contacts: Option<PathBuf>,
    /// Contacts of the day
    #[arg(long, value_name = "N", default_value_t = SIZE_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=PEOPLE_MAX as i64))]
    size: u32,
    /// Seed of people, faults and kills
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// One group for all campaigns: first come, first served
    #[arg(long)]
    no_fairness: bool,
    /// Do not kill anything
    #[arg(long)]
    no_kill: bool,
    /// Run server, application and workers as processes of their own, and kill one of them about so often
    #[arg(long, value_name = "SPAN", conflicts_with = "no_kill")]
    kill_every: Option<Span>,
    /// Launch the campaigns over that time instead of as fast as they go out
    #[arg(long, value_name = "SPAN")]
    over: Option<Span>,
    /// Do not run the comparison of both ways to share at the end
    #[arg(long)]
    no_compare: bool,
    /// Where the data goes, new or empty; a new directory here if left out
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Keep the data, to look at it with the other commands
    #[arg(long)]
    keep: bool,
    /// At the end of the day, leave its pages open until Ctrl-C
    #[arg(long)]
    serve: bool,
}

/// Runs the day, then the comparison, and tells the story.
pub(crate) async fn run(global: &Global, out: &Output, args: DemoArgs) -> Result<(), Fault> {
    let server = server(global)?;
    if args.kill_every.is_some_and(|span| span.ms < KILL_EVERY_MIN_MS) {
        let told =
            format!("--kill-every is at least {KILL_EVERY_MIN_MS}ms: a process needs some time to start");
        return Err(Fault::usage(told));
    }
    let begun = Instant::now();
    let people = match &args.contacts {
        Some(path) => People::read(path, out)?,
        None => People::made_up(args.size, args.seed),
    };
    // Before there is anything to leave behind; and since the system does nothing about a signal that is listened to, it is
    // listened to throughout.
    let mut interrupted = std::pin::pin!(interrupted());
    let room = Room::make(args.dir.as_deref(), args.keep, server)?;
    let pages = free_address().await?;
    let mut show = Show::new(out);
    let day = tokio::select! {
        day = passes(&args, &people, &room, &mut show, pages) => day,
        () = &mut interrupted => Err(pass::stopped()),
    };
    show.end();
    let (day, comparison) = match day {
        Ok(day) => day,
        // What the processes said of their end is worth keeping.
        Err(fault) => {
            let fault = room.keep_after(fault);
            room.leave().await?;
            return Err(fault);
        }
    };
    let outcome = Outcome::new(&people, &args, day, comparison, begun.elapsed());
    outcome.tell(out, &room)?;
    if args.serve {
        leave_open(out, &room, pages, interrupted).await?;
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
    let app = campaigns::open(&room.first_database(), open.client(), Some(day::public_url(address))).await?;
    let beside = vec![campaigns::beside(&app)];
    let options = windlass_server::Options { drain: drain.clone(), beside, ..Default::default() };
    let router = windlass_server::router(open.client(), options);
    out.hint(&format!("the day is open at http://{address}/campaigns until Ctrl-C"));
    let ending = drain.clone();
    let served = windlass_server::serve(vec![(windlass_server::Listen::Tcp(listener), router)], drain);
    let (served, ()) = tokio::join!(served, async {
        ended.await;
        out.hint(if room.kept().is_some() {
            "closed; the data is kept"
        } else {
            "closed; the data is removed"
        });
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
    pages: SocketAddr,
) -> Result<(pass::Finished, Option<Comparison>), Fault> {
    let kills = match args.kill_every {
        _ if args.no_kill => Kills::None,
        Some(span) => Kills::Every(Duration::from_millis(span.ms)),
        None => Kills::At(Rehearsal::kills(args.seed, u64::from(people.count))),
    };
    let over = args.over.map(|span| Duration::from_millis(span.ms));
    let day = Pass::new("the day", room.part("day")?, people.clone(), args.seed, args.no_fairness, pages);
    let day = day.with_faults().with_kills(kills).over(over).run(show).await?;
    if args.no_compare {
        return Ok((day, None));
    }
    let count = (people.count / COMPARED_ONE_OF).max(COMPARED_MIN).min(people.count);
    let mut both = Vec::with_capacity(2);
    for (one_line, name, part) in [
        (false, "comparison, fair groups", "fair-groups"),
        (true, "comparison, one group for all", "one-group"),
    ] {
        let pass = Pass::new(name, room.part(part)?, people.first(count), args.seed, one_line, pages);
        both.push(pass.run(show).await?.times);
    }
    let [fair_groups, one_group] = [both[0], both[1]];
    Ok((day, Some(Comparison { contacts: count, fair_groups, one_group })))
}

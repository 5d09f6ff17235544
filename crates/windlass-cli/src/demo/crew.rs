//! The processes of a day: the application as a whole, or each of its parts in a process of its own.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::task::JoinSet;

use super::beat::Beat;
use super::process::WorkerProcess;
use super::room;
use super::worker::Part;
use crate::fault::Fault;

/// Workers of a day in parts: with two of them, one goes on when the other is killed.
const WORKERS: usize = 2;

/// Processes at work. The first of them says how the queues are.
pub(super) struct Crew {
    dir: PathBuf,
    members: Vec<Member>,
}

struct Member {
    /// The store as this one has it.
    store: String,
    process: WorkerProcess,
}

impl Crew {
    /// Starts the application in one process, or in parts. A store that one process owns is reached by the other parts
    /// through its server, at that address.
    pub(super) fn start(part: &room::Part, server: SocketAddr, in_parts: bool) -> Result<Self, Fault> {
        let behind = if part.is_on_a_server() { part.store.clone() } else { format!("http://{server}") };
        let mut plan = Vec::new();
        if in_parts {
            if !part.is_on_a_server() {
                plan.push((Part::Server, part.store.clone()));
            }
            plan.push((Part::Application, behind.clone()));
            plan.extend(std::iter::repeat_n((Part::Worker, behind), WORKERS));
        } else {
            plan.push((Part::Whole, part.store.clone()));
        }
        let members = plan.into_iter().map(|(which, store)| {
            let process = WorkerProcess::start(&part.dir, &store, which)?;
            Ok(Member { store, process })
        });
        Ok(Self { dir: part.dir.clone(), members: members.collect::<Result<_, Fault>>()? })
    }

    /// How many processes there are.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// What one of them says next, and which. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When one has ended without being asked.
    pub(super) async fn beat(&mut self) -> Result<(usize, Beat), Fault> {
        let mut listening: Vec<_> =
            self.members.iter_mut().map(|member| Box::pin(member.process.beat())).collect();
        std::future::poll_fn(|context| {
            for (which, beat) in listening.iter_mut().enumerate() {
                if let std::task::Poll::Ready(beat) = beat.as_mut().poll(context) {
                    return std::task::Poll::Ready(beat.map(|beat| (which, beat)));
                }
            }
            std::task::Poll::Pending
        })
        .await
    }

    /// SIGKILL to one of them; returns when it is gone.
    pub(super) async fn kill(&mut self, which: usize) -> Result<Part, Fault> {
        let member = &mut self.members[which];
        member.process.kill().await?;
        Ok(member.process.part)
    }

    /// Starts one that was killed again.
    pub(super) fn start_again(&mut self, which: usize) -> Result<(), Fault> {
        let Member { store, process } = &mut self.members[which];
        *process = WorkerProcess::start(&self.dir, store, process.part)?;
        Ok(())
    }

    /// Asks all of them to finish what they do; returns when they are gone. Who needs the others' store ends first.
    pub(super) async fn stop(self) -> Result<(), Fault> {
        let (owner, others): (Vec<_>, Vec<_>) =
            self.members.into_iter().partition(|member| member.process.part == Part::Server);
        for part in [others, owner] {
            let mut ending: JoinSet<Result<(), Fault>> = JoinSet::new();
            for member in part {
                ending.spawn(member.process.stop());
            }
            while let Some(ended) = ending.join_next().await {
                ended.map_err(|error| Fault::failed(error.to_string()))??;
            }
        }
        Ok(())
    }
}

//! `windlass events --follow` while its server is killed and started again.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::shell::{Shell, text};
use crate::{postgres, redis};

/// How long a line may take that must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command that follows, killed when dropped.
struct Follower {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
}

fn lines_of(from: impl Read + Send + 'static) -> Receiver<String> {
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(from).lines().map_while(Result::ok);
        lines.take_while(|line| tell.send(line.clone()).is_ok()).for_each(drop);
    });
    told
}

impl Follower {
    fn start(shell: &Shell, url: &str) -> Self {
        let arguments = ["events", "-f", "--from", "earliest", "--json", "--store", url];
        let mut command = shell.command(&arguments);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
        let out = lines_of(child.stdout.take().expect("a pipe"));
        let err = lines_of(child.stderr.take().expect("a pipe"));
        Self { child, out, err }
    }

    /// The jobs of the next events.
    fn jobs(&self, events: usize) -> Vec<String> {
        let line = || self.out.recv_timeout(PATIENCE).expect("an event");
        let job = |line: String| text(&serde_json::from_str::<Value>(&line).expect("an event")["job"]);
        (0..events).map(|_| job(line())).collect()
    }

    /// Waits until it says that.
    fn says(&self, what: &str) {
        loop {
            let line = self.err.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{what:?} is said"));
            if line.contains(what) {
                return;
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn goes_on_behind_the_last_event(url: &str, kill: &dyn Fn(), run: &dyn Fn()) {
    let shell = Shell::new();
    let put = || text(&shell.object(&["enqueue", "q", "k", "--store", url])["id"]);
    let first = [put(), put()];
    let follower = Follower::start(&shell, url);
    assert_eq!(follower.jobs(2), first);
    kill();
    follower.says("asking again");
    run();
    follower.says("answers again");
    let second = [put(), put()];
    assert_eq!(follower.jobs(2), second, "none is missing and none comes twice");
}

#[test]
fn who_follows_a_redis_server_goes_on_when_it_is_back() {
    let (server, address) = redis::Server::on_loopback(&["--appendonly", "yes", "--appendfsync", "always"]);
    let server = RefCell::new(server);
    let (kill, run) = (|| server.borrow_mut().kill(), || server.borrow_mut().run());
    goes_on_behind_the_last_event(&format!("redis://{address}"), &kill, &run);
}

#[test]
fn who_follows_a_postgres_server_goes_on_when_it_is_back() {
    let (server, url) = postgres::server();
    goes_on_behind_the_last_event(&url, &|| server.end(Signal::KILL), &|| server.run());
}

#[test]
fn who_follows_a_server_that_lost_its_events_is_told() {
    let (mut server, address) = redis::Server::on_loopback(&["--appendonly", "no"]);
    let shell = Shell::new();
    let url = format!("redis://{address}");
    shell.ok(&["enqueue", "q", "k", "--store", &url]);
    let follower = Follower::start(&shell, &url);
    follower.jobs(1);
    server.kill();
    follower.says("asking again");
    server.run();
    follower.says("answers again");
    follower.says("the server lost them");
    let next = text(&shell.object(&["enqueue", "q", "k", "--store", &url])["id"]);
    assert_eq!(follower.jobs(1), [next]);
}

//! `windlass monitor`: rules, channels and incidents, by the routes of the API. Where no server stands before the store
//! the routes are asked in this process.

use std::path::PathBuf;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use clap::{Args, Subcommand};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tower::ServiceExt as _;
use windlass_api::monitor::{
    Channel, ChannelSet, ChannelShape, Incident, Quiet, Rule, RuleShape, Severity, Tested, Tls, When,
};
use windlass_api::problem::Problem;
use windlass_api::spell::span::Span;
use windlass_http::HttpStore;
use windlass_server::{Access, Options, router};

use crate::arguments::Global;
use crate::commands::closing;
use crate::connect::{self, Intent, Open};
use crate::fault::Fault;
use crate::output::Output;

/// Bytes of an answer: all that the monitor keeps is less.
const ANSWER_BYTES_MOST: usize = 8 << 20;

/// The verbs of `monitor`.
#[derive(Debug, Subcommand)]
pub(crate) enum MonitorCommand {
    /// What fires, what is pending, and what is over
    #[command(before_help = "Examples:\n  windlass monitor ls\n")]
    Ls,
    /// Say that somebody looks into it: no reminders come until it is over
    #[command(before_help = "Examples:\n  windlass monitor ack ID\n  windlass monitor ack ID --for 4h\n")]
    Ack(QuietArgs),
    /// Tell nothing of this rule and subject for a time
    #[command(
        before_help = "Examples:\n  windlass monitor silence ID --for 2h\n  windlass monitor silence ID --for 0s\n"
    )]
    Silence(QuietArgs),
    /// List the rules
    #[command(before_help = "Examples:\n  windlass monitor rules\n")]
    Rules,
    SetRule(RuleArgs),
    /// Remove a rule; one that every server has is back as it comes
    #[command(before_help = "Examples:\n  windlass monitor rm-rule many-dead\n")]
    RmRule {
        /// The rule
        name: String,
    },
    /// List the channels and how they do
    #[command(before_help = "Examples:\n  windlass monitor channels\n")]
    Channels,
    /// Set where notices go
    #[command(subcommand)]
    SetChannel(SetChannel),
    /// Remove a channel; what waits there is told to nobody
    #[command(before_help = "Examples:\n  windlass monitor rm-channel ops\n")]
    RmChannel {
        /// The channel
        name: String,
    },
    /// Send a notice to try a channel out
    #[command(before_help = "Examples:\n  windlass monitor test ops\n")]
    Test {
        /// The channel
        name: String,
    },
}

/// An incident, and for how long.
#[derive(Debug, Args)]
pub(crate) struct QuietArgs {
    /// The incident
    id: String,
    /// For how long; 0s ends it
    #[arg(long = "for", value_name = "SPAN")]
    length: Option<Span>,
}

/// Set a rule, whole: what is not named has its usual value
#[derive(Debug, Args)]
#[command(
    before_help = "Examples:\n  windlass monitor set-rule many-dead --when dead --above 100 --queue 'email-*' --for 5m\n  windlass monitor set-rule burst --when dead_rate --above 10 --within 5m --severity critical --channel ops\n  windlass monitor set-rule paused-for-long --when paused --off\n"
)]
pub(crate) struct RuleArgs {
    /// The rule
    name: String,
    /// What it watches for
    #[arg(long, value_name = "CONDITION")]
    when: When,
    /// Queues, by name or pattern
    #[arg(long, value_name = "PATTERN", default_value = "*")]
    queue: String,
    /// The count, or the share of a hundred
    #[arg(long, value_name = "N")]
    above: Option<u64>,
    /// The age
    #[arg(long, value_name = "SPAN")]
    longer_than: Option<Span>,
    /// How far it looks back
    #[arg(long, value_name = "SPAN")]
    within: Option<Span>,
    /// How long it must be so before it fires
    #[arg(long = "for", value_name = "SPAN", default_value = "0s")]
    held_for: Span,
    /// How long it must no longer be so before it is over
    #[arg(long, value_name = "SPAN", default_value = "1m")]
    recover_after: Span,
    /// How much it matters: warning or critical
    #[arg(long, value_name = "SEVERITY", default_value = "warning")]
    severity: Severity,
    /// A channel that is told; may be repeated. All of them unless said
    #[arg(long = "channel", value_name = "NAME")]
    channels: Vec<String>,
    /// When to tell again while it goes on
    #[arg(long, value_name = "SPAN")]
    remind_every: Option<Span>,
    /// It does not watch
    #[arg(long)]
    off: bool,
}

/// The kinds of channels.
#[derive(Debug, Subcommand)]
pub(crate) enum SetChannel {
    /// A signed POST to an address (Standard Webhooks)
    #[command(
        before_help = "Examples:\n  windlass monitor set-channel webhook ops https://alerts.example.com/windlass\n"
    )]
    Webhook {
        /// The channel
        name: String,
        /// The address
        url: String,
        /// A file with the secret (`whsec_…`); one is made unless there is one
        #[arg(long, value_name = "FILE")]
        secret: Option<PathBuf>,
    },
    /// A mail through an SMTP server
    #[command(
        before_help = "Examples:\n  windlass monitor set-channel mail ops --host smtp.example.com --user alerts --password ./password --from 'Windlass <alerts@example.com>' --to ops@example.com\n"
    )]
    Mail {
        /// The channel
        name: String,
        /// The SMTP server
        #[arg(long, value_name = "HOST")]
        host: String,
        /// Its port; 587, 465 or 25 by its TLS unless said
        #[arg(long, value_name = "PORT")]
        port: Option<u16>,
        /// How the connection is protected: starttls, wrapped or none
        #[arg(long, value_name = "TLS", default_value = "starttls")]
        tls: Tls,
        /// Who signs in
        #[arg(long, value_name = "USER")]
        user: Option<String>,
        /// A file with the password; what is kept stays unless said
        #[arg(long, value_name = "FILE")]
        password: Option<PathBuf>,
        /// The sender
        #[arg(long, value_name = "ADDRESS")]
        from: String,
        /// A receiver; may be repeated
        #[arg(long, value_name = "ADDRESS", required = true)]
        to: Vec<String>,
    },
    /// Lines of the server's log
    #[command(before_help = "Examples:\n  windlass monitor set-channel log log\n")]
    Log {
        /// The channel
        name: String,
    },
}

#[derive(Deserialize)]
struct Items<T> {
    items: Vec<T>,
}

#[derive(Serialize)]
struct Removed {
    removed: String,
}

/// Who is asked.
enum Asked {
    /// A server.
    Server(HttpStore),
    /// The routes, in this process, before a store that it has opened.
    Here(Open, axum::Router),
}

/// Runs the verb.
pub(crate) async fn run(global: &Global, out: &Output, command: MonitorCommand) -> Result<(), Fault> {
    let sets = matches!(command, MonitorCommand::SetRule(_) | MonitorCommand::SetChannel(_));
    let asked = match connect::server(global).await? {
        Some(server) => Asked::Server(server),
        None => {
            let open = connect::open(global, if sets { Intent::Put } else { Intent::Look }).await?;
            // It only answers: whoever serves the store watches it.
            let options =
                Options { access: Access::Anyone, hosts: None, monitors: false, ..Options::default() };
            let routes = router(open.client(), options);
            Asked::Here(open, routes)
        }
    };
    let result = verb(&asked, out, command).await;
    match asked {
        Asked::Server(_) => result,
        Asked::Here(open, routes) => {
            drop(routes);
            closing(open, result).await
        }
    }
}

async fn verb(asked: &Asked, out: &Output, command: MonitorCommand) -> Result<(), Fault> {
    match command {
        MonitorCommand::Ls => {
            let list: Items<Incident> = asked.get("incidents").await?;
            if list.items.is_empty() {
                out.hint("nothing fires; what is watched for: windlass monitor rules");
            }
            out.list(&list.items)
        }
        MonitorCommand::Ack(args) => {
            let incident = asked.quiet(&args, "acknowledge").await?;
            let text = match incident.acknowledged_until {
                Some(_) => format!("no reminders of {} come while somebody looks into it", incident.subject),
                None => format!("reminders of {} come again", incident.subject),
            };
            out.done(&incident, &text, &[&incident.id, &incident.subject])
        }
        MonitorCommand::Silence(args) => {
            let incident = asked.quiet(&args, "silence").await?;
            let (rule, subject) = (&incident.rule, &incident.subject);
            let text = match incident.silenced_until {
                Some(until) => format!("nothing of {rule} on {subject} is told until {until}"),
                None => format!("{rule} on {subject} is told again"),
            };
            out.done(&incident, &text, &[&incident.id, subject])
        }
        MonitorCommand::Rules => out.list(&asked.get::<Items<RuleShape>>("rules").await?.items),
        MonitorCommand::SetRule(args) => {
            let (name, rule) = rule(args);
            let shape: RuleShape = asked.ask("PUT", &format!("rules/{}", part(&name)?), Some(&rule)).await?;
            out.done(&shape, &format!("rule {name} is set"), &[&name])
        }
        MonitorCommand::RmRule { name } => {
            asked.ask::<()>("DELETE", &format!("rules/{}", part(&name)?), None::<&()>).await?;
            out.done(&Removed { removed: name.clone() }, &format!("rule {name} is removed"), &[&name])
        }
        MonitorCommand::Channels => out.list(&asked.get::<Items<ChannelShape>>("channels").await?.items),
        MonitorCommand::SetChannel(said) => {
            let (name, channel) = channel(said)?;
            let set: ChannelSet =
                asked.ask("PUT", &format!("channels/{}", part(&name)?), Some(&channel)).await?;
            let secret = set.secret.clone().unwrap_or_default();
            let text = match &set.secret {
                Some(secret) => format!("channel {name} is set; its secret, shown this once: {secret}"),
                None => format!("channel {name} is set"),
            };
            out.done(&set, &text, &[&name, &secret])?;
            out.hint(&format!("try it: windlass monitor test {name}"));
            Ok(())
        }
        MonitorCommand::RmChannel { name } => {
            asked.ask::<()>("DELETE", &format!("channels/{}", part(&name)?), None::<&()>).await?;
            out.done(&Removed { removed: name.clone() }, &format!("channel {name} is removed"), &[&name])
        }
        MonitorCommand::Test { name } => {
            let tested: Tested =
                asked.ask("POST", &format!("channels/{}/test", part(&name)?), None::<&()>).await?;
            let took = tested.took_ms.to_string();
            out.done(&tested, &format!("channel {name} took a test in {took} ms"), &[&name, &took])
        }
    }
}

/// A name as a part of an address: one that no rule can have is not put into it.
fn part(name: &str) -> Result<&str, Fault> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match !name.is_empty() && !name.starts_with('.') && name.chars().all(plain) {
        true => Ok(name),
        false => Err(Fault::usage(format!("{name:?} is no name: letters, digits and . _ - make one"))),
    }
}

fn rule(args: RuleArgs) -> (String, Rule) {
    let rule = Rule {
        when: args.when,
        queue: args.queue,
        above: args.above,
        longer_than: args.longer_than,
        within: args.within,
        held_for: args.held_for,
        recover_after: args.recover_after,
        severity: args.severity,
        channels: args.channels,
        remind_every: args.remind_every,
        enabled: !args.off,
    };
    (args.name, rule)
}

/// The channel that is meant. What is secret comes from files: arguments are seen by everybody on the machine.
fn channel(said: SetChannel) -> Result<(String, Channel), Fault> {
    let text = |path: Option<PathBuf>| {
        let read = |path: PathBuf| {
            let text = std::fs::read_to_string(&path).map_err(|error| Fault::file(path.display(), &error))?;
            Ok::<_, Fault>(text.trim_end_matches(['\r', '\n']).to_owned())
        };
        path.map(read).transpose()
    };
    Ok(match said {
        SetChannel::Log { name } => (name, Channel::Log),
        SetChannel::Webhook { name, url, secret } => (name, Channel::Webhook { url, secret: text(secret)? }),
        SetChannel::Mail { name, host, port, tls, user, password, from, to } => {
            (name, Channel::Mail { host, port, tls, user, password: text(password)?, from, to })
        }
    })
}

impl Asked {
    async fn get<R: DeserializeOwned>(&self, what: &str) -> Result<R, Fault> {
        self.ask("GET", what, None::<&()>).await
    }

    async fn quiet(&self, args: &QuietArgs, how: &str) -> Result<Incident, Fault> {
        let path = format!("incidents/{}/{how}", part(&args.id)?);
        self.ask("POST", &path, Some(&Quiet { length: args.length })).await
    }

    async fn ask<R: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<R, Fault> {
        let path = format!("/v1/monitor/{path}");
        match self {
            Asked::Server(server) => Ok(server.beside("monitor", method, &path, body).await??),
            Asked::Here(_, routes) => here(routes.clone(), method, &path, body).await,
        }
    }
}

async fn here<R: DeserializeOwned>(
    routes: axum::Router,
    method: &str,
    path: &str,
    body: Option<&(impl Serialize + Sync)>,
) -> Result<R, Fault> {
    let failed = |error: &dyn std::fmt::Display| Fault::failed(format!("{method} {path}: {error}"));
    let bytes = match body {
        Some(body) => serde_json::to_vec(body).map_err(|error| failed(&error))?,
        None => Vec::new(),
    };
    let request = Request::builder().method(method).uri(path).body(Body::from(bytes));
    let request = request.map_err(|error| failed(&error))?;
    let response = match routes.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let is_good = response.status().is_success();
    let body = to_bytes(response.into_body(), ANSWER_BYTES_MOST).await.map_err(|error| failed(&error))?;
    if is_good {
        let body: &[u8] = if body.is_empty() { b"null" } else { &body };
        return serde_json::from_slice(body).map_err(|error| failed(&error));
    }
    let problem: Problem = serde_json::from_slice(&body).map_err(|error| failed(&error))?;
    Err(problem.into())
}

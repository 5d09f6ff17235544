//! `windlass keys`: who may do what on servers of the store.

use clap::{Args, Subcommand};
use serde::Serialize;
use windlass_api::key::{KeyRequest, KeyShape, NewKeyShape};
use windlass_api::problem::Problem;
use windlass_api::spell::span::{self, Span};
use windlass_core::Time;
use windlass_http::HttpStore;
use windlass_server::keys;

use crate::arguments::Global;
use crate::commands::closing;
use crate::connect::{self, Intent};
use crate::fault::Fault;
use crate::output::Output;

/// The verbs of `keys`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    Add(AddArgs),
    /// List keys: what each may do, and when it was last used
    #[command(before_help = "Examples:\n  windlass keys ls\n")]
    Ls,
    /// End a key for good: within a second no server of the store lets it in
    #[command(before_help = "Examples:\n  windlass keys revoke ci\n")]
    Revoke {
        /// The key
        name: String,
    },
}

/// Make a key and print its text, this once
#[derive(Debug, Args)]
#[command(
    before_help = "Examples:\n  windlass keys add ci --scope produce\n  windlass keys add mailer --scope produce --scope work --queue 'campaign-*' --expires-in 90d\n"
)]
pub(crate) struct AddArgs {
    /// Its name
    name: String,
    /// What it may do: produce, work, read, payloads, operate or admin; may be repeated
    #[arg(long = "scope", value_name = "SCOPE", required = true)]
    scopes: Vec<String>,
    /// The only queue that it sees and touches, or the beginning of names with a `*`; may be repeated, all unless said
    #[arg(long = "queue", value_name = "QUEUE")]
    queues: Vec<String>,
    /// How long it lasts, until it is revoked unless said
    #[arg(long, value_name = "SPAN")]
    expires_in: Option<Span>,
}

/// The answer to `revoke`.
#[derive(Serialize)]
struct Revoked {
    key: String,
    revoked: bool,
}

#[derive(serde::Deserialize)]
struct Items<T> {
    items: Vec<T>,
}

/// Runs the verb: through the server where there is one, whose audit log tells of it; else on the store itself.
pub(crate) async fn run(global: &Global, out: &Output, command: KeysCommand) -> Result<(), Fault> {
    match connect::server(global).await? {
        Some(server) => through(&server, out, command).await,
        None => {
            let intent = if matches!(command, KeysCommand::Add(_)) { Intent::Put } else { Intent::Look };
            let open = connect::open(global, intent).await?;
            let result = on_the_store(&open, out, command).await;
            closing(open, result).await
        }
    }
}

fn request(args: AddArgs) -> KeyRequest {
    let AddArgs { name, scopes, queues, expires_in } = args;
    KeyRequest { name, scopes, queues, expires_in: expires_in.map(|span| span::exact(span.ms)) }
}

async fn through(server: &HttpStore, out: &Output, command: KeysCommand) -> Result<(), Fault> {
    match command {
        KeysCommand::Add(args) => {
            made(out, &server.beside("keys", "POST", "/v1/keys", Some(&request(args))).await??)
        }
        KeysCommand::Ls => {
            let list: Items<KeyShape> = server.beside("keys", "GET", "/v1/keys", None::<&()>).await??;
            listed(out, &list.items)
        }
        KeysCommand::Revoke { name } => {
            // A name that no key can have is not put into an address.
            windlass_core::name::check_name("key", &name)?;
            server.beside::<()>("keys", "DELETE", &format!("/v1/keys/{name}"), None::<&()>).await??;
            revoked(out, name)
        }
    }
}

async fn on_the_store(open: &connect::Open, out: &Output, command: KeysCommand) -> Result<(), Fault> {
    let (store, now) = (open.store().as_ref(), open.client().now());
    let refused = |problem: Box<Problem>| Fault::from(*problem);
    match command {
        KeysCommand::Add(args) => made(out, &keys::add(store, request(args), now).await.map_err(refused)?),
        KeysCommand::Ls => listed(out, &keys::list(store).await.map_err(refused)?),
        KeysCommand::Revoke { name } => {
            keys::revoke(store, &name, now).await.map_err(refused)?;
            revoked(out, name)
        }
    }
}

fn made(out: &Output, made: &NewKeyShape) -> Result<(), Fault> {
    let until = made.key.expires_at.map_or_else(String::new, |at: Time| format!(", until {at}"));
    let sentence =
        format!("key {} may {}{until}: {}", made.key.name, made.key.scopes.join(", "), made.secret);
    out.done(made, &sentence, &[&made.key.name, &made.secret])?;
    out.hint("the text is told this once; whoever uses it sets WINDLASS_TOKEN to it");
    Ok(())
}

fn listed(out: &Output, all: &[KeyShape]) -> Result<(), Fault> {
    if all.is_empty() {
        out.hint("there are no keys; make one: windlass keys add NAME --scope produce");
    }
    out.list(all)
}

fn revoked(out: &Output, name: String) -> Result<(), Fault> {
    let sentence = format!("key {name} is revoked: within a second no server of the store lets it in");
    let plain = name.clone();
    out.done(&Revoked { key: name, revoked: true }, &sentence, &[plain.as_str(), "revoked"])
}

//! The server: every verb of a store over HTTP, with what a browser, a shell and other machines need around it.
//!
//! ```no_run
//! # async fn doc() -> Result<(), Box<dyn std::error::Error>> {
//! let queue = windlass::open("memory:").await?;
//! let app = windlass_server::router(&queue, windlass_server::Options::default());
//! axum::serve(tokio::net::TcpListener::bind("127.0.0.1:7979").await?, app).await?;
//! # Ok(()) }
//! ```
//!
//! [`router`] is for programs that have an axum server of their own; [`serve`] is a server with bounds on connections,
//! headers and idle time, and an end that lets running requests finish.
//!
//! `keys` is who may do what, `fence` the queue as one key sees it, `audit` who changed what.
//! `routes` is the table of everything there is, each with who may use it; `gate` stands before all of it; `api/` has
//! one module for each noun; `ui/` has the pages of the dashboard; `beside` lets an application stand next to them;
//! `monitor/` watches the store and tells people. The words of requests and answers are `windlass_api`'s. No rule of the queue is here: a
//! handler reads a request, calls a verb of the store and writes its answer.

mod answer;
mod api;
mod app;
pub mod audit;
mod backoff;
mod beside;
mod bulk;
mod caller;
mod count;
mod door;
mod failures;
mod fence;
mod gate;
mod kept;
pub mod keys;
mod monitor;
mod openapi;
mod push;
mod read;
mod routes;
mod standing;
mod tls;
mod traffic;
mod ui;

pub use app::{Access, Drain, Options, Secret};
pub use beside::{Beside, OPEN_BYTES_USUAL, OfJob};
pub use door::{Listen, serve};
pub use openapi::text as openapi;
pub use push::{Push, list as targets};
pub use routes::{Scope, router, table};
pub use tls::{Tls, TlsError};
pub use windlass_look::Visitor;

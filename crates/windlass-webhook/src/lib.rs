//! Signed HTTP POST requests to addresses that users name.
//!
//! Two promises. Whoever receives a request can know that it is ours and new: it is signed by
//! [Standard Webhooks](https://www.standardwebhooks.com). And no address that a user names reaches what the operator
//! has not opened: a [`Guard`] looks at every address of the host, and the connection goes to exactly those.
//!
//! ```no_run
//! # async fn doc() -> Result<(), Box<dyn std::error::Error>> {
//! use windlass_webhook::{Guard, Post, Secret, Sender, Target, TargetUrl};
//!
//! let sender = Sender::new(Guard::default())?;
//! let target = Target::new(TargetUrl::parse("https://example.com/hook")?).signed_by([Secret::generate()?]);
//! let answer = sender.post(&target, Post { id: "evt-1", at_s: 1_763_800_000, ..Post::json(b"{}") }).await?;
//! println!("{}", answer.status);
//! # Ok(()) }
//! ```
//!
//! `sign` has secrets and signatures, `address` says which addresses belong to nobody's public service, `allow` is what
//! an operator opens, `guard` brings both together, `connect` makes connections by it, `send` has the request.
//! Nothing here knows of jobs, queues or retries: whoever asks decides what an answer means.

mod address;
mod allow;
mod connect;
mod guard;
mod send;
mod sign;
mod target;

pub use allow::{Allowed, BadAllowed};
pub use guard::{Forbidden, Guard, NoWay, Resolve, Resolving};
pub use send::{Answer, Failure, Post, Sender};
pub use sign::{BadSecret, SECRETS_MAX, Secret, TOLERANCE_S, Unverified, sign, verify};
pub use target::{BadHeader, BadUrl, Target, TargetUrl, header};

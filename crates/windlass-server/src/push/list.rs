//! The targets for whoever has a store and no server: every server of the store takes up what is written here.
//!
//! Whether an address may be reached is decided by the server that sends to it.

use std::sync::Arc;

use windlass_api::problem::Problem;
use windlass_api::target::{Health, RotateRequest, TargetRequest, TargetShape};
use windlass_core::store::Store;
use windlass_core::{QueueName, Time};

use super::targets::{self, Kept};
use crate::answer::Fault;

type Told<T> = Result<T, Box<Problem>>;

fn shape(kept: &Kept, now: Time, secret: Option<String>) -> TargetShape {
    TargetShape { secret, ..kept.shape(Health::default(), now) }
}

/// All of them, by queue.
///
/// # Errors
/// The store's failure.
pub async fn list(store: &Arc<dyn Store>, now: Time) -> Told<Vec<TargetShape>> {
    let (all, _) = targets::read(store).await.map_err(|error| Fault::from(error).0)?;
    Ok(all.iter().map(|kept| shape(kept, now, None)).collect())
}

/// The request that would set the target of that queue again, without its secrets; none when there is none.
///
/// # Errors
/// The store's failure.
pub async fn request(store: &Arc<dyn Store>, queue: &QueueName) -> Told<Option<TargetRequest>> {
    let kept = targets::find(store, queue).await.map_err(|fault| fault.0)?;
    Ok(kept.map(|kept| kept.request()))
}

/// Sets a target; secrets that are not said stay, and a new target is given one, which is in the answer this once.
///
/// # Errors
/// What is wrong with the request, or the store's failure.
pub async fn set(
    store: &Arc<dyn Store>,
    now: Time,
    queue: &QueueName,
    request: TargetRequest,
) -> Told<TargetShape> {
    let wanted = targets::wanted(queue, request, now).map_err(|fault| fault.0)?;
    let (kept, secret) = targets::put(store, wanted).await.map_err(|fault| fault.0)?;
    Ok(shape(&kept, now, secret))
}

/// Makes a new secret, which is in the answer this once; the old one signs beside it for a while.
///
/// # Errors
/// There is no target, or the store's failure.
pub async fn rotate(
    store: &Arc<dyn Store>,
    now: Time,
    queue: &QueueName,
    request: RotateRequest,
) -> Told<TargetShape> {
    let (kept, secret) = targets::turn(store, now, queue, request).await.map_err(|fault| fault.0)?;
    Ok(shape(&kept, now, secret))
}

/// Takes the target away; requests that are under way are answered still.
///
/// # Errors
/// There is none, or the store's failure.
pub async fn remove(store: &Arc<dyn Store>, queue: &QueueName) -> Told<()> {
    targets::take_away(store, queue).await.map_err(|fault| fault.0)
}

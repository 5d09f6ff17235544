//! API keys: who may do what, beside the token that a server was started with.
//!
//! A key is a name, what it may do, the queues that it is limited to, and the digest of its text. The text is told once
//! and kept nowhere. All keys are one value of the store, changed by compare-and-set, so that every server of a store
//! knows the same ones; `ring` holds them in memory and looks again often enough that a revocation takes hold
//! within a second.

pub(crate) mod ring;
pub(crate) mod scopes;
pub(crate) mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use windlass_api::key::{KeyRequest, KeyShape, NewKeyShape};
use windlass_api::problem::Problem;
use windlass_api::spell::span;
use windlass_core::name::check_name;
use windlass_core::store::Store;
use windlass_core::{StoreError, Time};

use self::scopes::Scopes;
use crate::answer::Fault;
use crate::audit;
use crate::fence::Fence;
use crate::kept::Place;
use crate::routes::Scope;

/// Where the store keeps them.
const PLACE: Place<Vec<Key>> = Place::new("windlass.keys", "the list of keys");
/// Where the store keeps when each was last used, by its prefix: apart, so that use does not change the keys.
const USES: Place<Uses> = Place::new("windlass.keys.used", "the use of keys");
/// Keys of a store: a value of the store holds 1 MiB, and each takes some 300 bytes, or some thousand with many queues.
const KEYS_MOST: usize = 500;
/// Names and beginnings of names that one key may be limited to.
const QUEUES_MOST: usize = 32;

/// A key as the store keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) prefix: String,
    /// The SHA-256 of its text, in hexadecimal.
    pub(crate) digest: String,
    pub(crate) scopes: Scopes,
    #[serde(default)]
    pub(crate) fence: Fence,
    pub(crate) created_at: Time,
    pub(crate) created_by: String,
    pub(crate) expires_at: Option<Time>,
}

impl Key {
    pub(crate) fn is_over(&self, now: Time) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    fn shape(&self, uses: &Uses) -> KeyShape {
        KeyShape {
            name: self.name.clone(),
            prefix: self.prefix.clone(),
            scopes: self.scopes.words().map(ToOwned::to_owned).collect(),
            queues: self.fence.patterns().to_vec(),
            created_at: self.created_at,
            created_by: self.created_by.clone(),
            expires_at: self.expires_at,
            last_used_at: uses.get(&self.prefix).copied(),
        }
    }
}

/// When keys were last used, by prefix.
pub(crate) type Uses = BTreeMap<String, Time>;

/// Every key, and the version of the value.
pub(crate) async fn read(store: &dyn Store) -> Result<(Vec<Key>, u64), StoreError> {
    PLACE.read(store).await
}

/// Makes a key. Its text is in the answer and nowhere else.
pub(crate) async fn make(
    store: &dyn Store,
    request: KeyRequest,
    by: &str,
    now: Time,
) -> Result<NewKeyShape, Fault> {
    check_name("key", &request.name)?;
    let scopes = Scopes::parse(&request.scopes)?;
    if request.queues.len() > QUEUES_MOST {
        let why = format!("{} queues are more than {QUEUES_MOST}", request.queues.len());
        return Err(Fault::bad_request(why).hint("name their common beginning: campaign-*"));
    }
    let fence = Fence::parse(&request.queues)?;
    if fence.is_limited() && scopes.has(Scope::Admin) {
        return Err(Fault::bad_request("a key with the scope admin cannot be limited to queues")
            .hint("admin is the whole server's: it makes keys, which could have no limit"));
    }
    let expires_at = match &request.expires_in {
        Some(text) => {
            let ms = span::parse(text).map_err(|why| Fault::bad_request(format!("expires_in: {why}")))?;
            Some(now.plus_ms(ms))
        }
        None => None,
    };
    let minted = text::mint().ok_or_else(|| Fault::new("internal", "the system gives no random numbers"))?;
    let key = Key {
        name: request.name,
        prefix: minted.prefix,
        digest: minted.digest,
        scopes,
        fence,
        created_at: now,
        created_by: by.to_owned(),
        expires_at,
    };
    PLACE
        .change(store, |keys| {
            // What is over for good makes room.
            keys.retain(|other| !other.is_over(now));
            if keys.iter().any(|other| other.name == key.name) {
                return Err(Fault::new("key_exists", format!("there is a key {} already", key.name)).hint(
                    "a key is replaced by a second one of another name; revoke the first once nobody uses it",
                ));
            }
            if keys.len() >= KEYS_MOST {
                let fault = Fault::bad_request(format!("there are {KEYS_MOST} keys, as many as may be"));
                return Err(fault.hint("revoke those that nobody uses"));
            }
            keys.push(key.clone());
            Ok(())
        })
        .await?;
    Ok(NewKeyShape { key: key.shape(&Uses::new()), secret: minted.text })
}

/// What the audit log says of a new key.
pub(crate) fn said(key: &KeyShape) -> String {
    let queues = if key.queues.is_empty() { "all queues".to_owned() } else { key.queues.join(", ") };
    format!("make key {}: {} on {queues}", key.name, key.scopes.join(", "))
}

/// Every key by name, with when it was last used.
pub(crate) async fn all(store: &dyn Store) -> Result<Vec<KeyShape>, Fault> {
    let (mut keys, _) = read(store).await?;
    let (uses, _) = USES.read(store).await?;
    keys.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(keys.iter().map(|key| key.shape(&uses)).collect())
}

/// Ends a key for good.
pub(crate) async fn end(store: &dyn Store, name: &str) -> Result<(), Fault> {
    PLACE
        .change(store, |keys| {
            let before = keys.len();
            keys.retain(|key| key.name != name);
            if keys.len() == before { Err(Fault::not_found(format!("key {name}"))) } else { Ok(()) }
        })
        .await
}

/// Makes a key on a store that no server stands before. Its text is in the answer and nowhere else.
///
/// # Errors
/// A problem that says what is wrong with the request, or with the store.
pub async fn add(store: &dyn Store, request: KeyRequest, now: Time) -> Result<NewKeyShape, Box<Problem>> {
    let made = make(store, request, BY_COMMAND, now).await.map_err(|fault| fault.0)?;
    let done = audit::by_command(store, "windlass keys add", said(&made.key), now).await;
    done.map_err(|error| Fault::from(error).0)?;
    Ok(made)
}

/// Every key of a store by name.
///
/// # Errors
/// The store's failure.
pub async fn list(store: &dyn Store) -> Result<Vec<KeyShape>, Box<Problem>> {
    all(store).await.map_err(|fault| fault.0)
}

/// Ends a key for good: every server of the store refuses it within a second.
///
/// # Errors
/// When there is none of that name, or the store fails.
pub async fn revoke(store: &dyn Store, name: &str, now: Time) -> Result<(), Box<Problem>> {
    end(store, name).await.map_err(|fault| fault.0)?;
    let done = audit::by_command(store, "windlass keys revoke", format!("revoke key {name}"), now).await;
    done.map_err(|error| Fault::from(error).0)
}

/// Who a command on a store without a server is.
pub(crate) const BY_COMMAND: &str = "command";

//! Who has signed in with a browser: a random text in a cookie, of which only the digest is kept, in memory alone.
//!
//! A session gives what the token or the key gives that began it, for [`LASTS`] at most: it ends with its key, and with
//! the process, so that a token that was changed has no heirs.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};

/// The cookie's name.
pub(crate) const COOKIE: &str = "windlass_session";
/// A working day, and some.
pub(crate) const LASTS: Duration = Duration::from_secs(12 * 3_600);
/// Sessions at once: whoever has the token can begin them, and each costs some tens of bytes. The oldest makes room.
const SESSIONS_MOST: usize = 1_000;
/// 256 bits: nobody guesses that.
const RANDOM_BYTES: usize = 32;

type Digest = [u8; digest::SHA256_OUTPUT_LEN];

/// With what somebody has signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The token that the server was started with.
    Root,
    /// The key of that prefix.
    Key(String),
}

/// Everybody who has signed in, each with the time at which that ends.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<Digest, (Holder, Instant)>>);

impl Sessions {
    /// Begins a session: what its cookie holds, or none when the system has no randomness to give.
    pub(crate) fn begin(&self, holder: Holder) -> Option<String> {
        self.begin_at(holder, Instant::now())
    }

    fn begin_at(&self, holder: Holder, now: Instant) -> Option<String> {
        let mut random = [0; RANDOM_BYTES];
        SystemRandom::new().fill(&mut random).ok()?;
        let text = URL_SAFE_NO_PAD.encode(random);
        let mut all = self.all();
        all.retain(|_, (_, ends)| *ends > now);
        if all.len() >= SESSIONS_MOST {
            let oldest = all.iter().min_by_key(|(_, (_, ends))| *ends).map(|(digest, _)| *digest);
            oldest.and_then(|oldest| all.remove(&oldest));
        }
        all.insert(digest_of(&text), (holder, now + LASTS));
        Some(text)
    }

    /// Whose session that text is, if it is one that has not ended.
    pub(crate) fn holder(&self, text: &str) -> Option<Holder> {
        self.holder_at(text, Instant::now())
    }

    fn holder_at(&self, text: &str, now: Instant) -> Option<Holder> {
        self.all().get(&digest_of(text)).filter(|(_, ends)| *ends > now).map(|(holder, _)| holder.clone())
    }

    /// Ends a session.
    pub(crate) fn end(&self, text: &str) {
        self.all().remove(&digest_of(text));
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Digest, (Holder, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn digest_of(text: &str) -> Digest {
    let mut bytes = Digest::default();
    bytes.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    bytes
}

/// The mark that the gate puts on a request that came over TLS, for those who write cookies; whatever came with it is
/// taken off there.
pub(crate) const OVER_TLS: &str = "x-windlass-over-tls";

/// Whether the browser speaks TLS, to this server or to whoever stands before it. A lie about it only keeps the liar's
/// own cookie from being sent.
pub(crate) fn is_secure(headers: &HeaderMap) -> bool {
    if headers.contains_key(OVER_TLS) {
        return true;
    }
    headers.get("x-forwarded-proto").is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_by_itself_and_by_request_and_the_oldest_makes_room() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let first = sessions.begin_at(Holder::Root, now).expect("randomness");
        assert!(sessions.holder_at(&first, now).is_some() && sessions.holder_at("", now).is_none());
        assert!(sessions.holder_at(&first, now + LASTS).is_none());
        for second in 1..=SESSIONS_MOST as u64 {
            sessions.begin_at(Holder::Root, now + Duration::from_secs(second)).expect("randomness");
        }
        assert!(sessions.holder_at(&first, now).is_none());
        assert_eq!(sessions.all().len(), SESSIONS_MOST);
        let last = sessions.begin_at(Holder::Root, now).expect("randomness");
        sessions.end(&last);
        assert!(sessions.holder_at(&last, now).is_none());
    }
}

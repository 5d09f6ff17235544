//! Somebody who receives webhooks, as users do: an HTTP server that believes nothing that is not signed.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use windlass_api::monitor::Notice;
use windlass_webhook::{Secret, verify};

#[derive(Clone)]
pub(super) struct Receiver(Arc<Inner>);

struct Inner {
    secret: Secret,
    url: String,
    taken: Mutex<Vec<(String, Notice)>>,
    answers: AtomicU16,
}

impl Receiver {
    pub(super) async fn open() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let secret = Secret::generate().expect("random bytes");
        let answers = AtomicU16::new(204);
        let this = Self(Arc::new(Inner { secret, url, taken: Mutex::default(), answers }));
        let app = axum::Router::new().route("/hook", post(take)).with_state(this.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        this
    }

    pub(super) fn url(&self) -> &str {
        &self.0.url
    }

    pub(super) fn secret(&self) -> String {
        self.0.secret.reveal()
    }

    /// What it answers from now on.
    pub(super) fn answer(&self, status: u16) {
        self.0.answers.store(status, Ordering::Relaxed);
    }

    /// What came since the last time that somebody looked.
    pub(super) fn take(&self) -> Vec<Notice> {
        let all = std::mem::take(&mut *self.0.taken.lock().expect("no panic"));
        all.into_iter().map(|(_, notice)| notice).collect()
    }

    /// The same, only the header `webhook-id` of each.
    pub(super) fn take_ids(&self) -> Vec<String> {
        let all = std::mem::take(&mut *self.0.taken.lock().expect("no panic"));
        all.into_iter().map(|(id, _)| id).collect()
    }
}

async fn take(State(Receiver(inner)): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (id, signature) = (header("webhook-id"), header("webhook-signature"));
    let secrets = std::slice::from_ref(&inner.secret);
    if verify(secrets, id, header("webhook-timestamp"), signature, &body, now).is_err() {
        return StatusCode::UNAUTHORIZED;
    }
    let notice: Notice = serde_json::from_slice(&body).expect("a notice");
    assert_eq!(notice.data.id, id, "the id is signed");
    inner.taken.lock().expect("no panic").push((id.to_owned(), notice));
    StatusCode::from_u16(inner.answers.load(Ordering::Relaxed)).expect("a status")
}

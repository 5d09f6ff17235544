//! A server before a store in memory, and somebody who talks to it.

use serde_json::Value;
use windlass::Client;
use windlass_server::Options;

use crate::asker::asker;
use crate::document::held_with;
use crate::home::Home;

/// A server and a client of it.
pub(crate) struct Talk {
    home: Home,
    http: reqwest::Client,
    pub(crate) store: Client,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// A field of the body.
    pub(crate) fn at(&self, pointer: &str) -> Value {
        self.json().pointer(pointer).cloned().unwrap_or_else(|| panic!("{pointer} in {}", self.text))
    }

    /// A text of the body.
    pub(crate) fn text_at(&self, pointer: &str) -> String {
        self.at(pointer).as_str().unwrap_or_else(|| panic!("a text at {pointer} in {}", self.text)).to_owned()
    }
}

impl Talk {
    pub(crate) async fn begin() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        Self::set_up(windlass::open("memory:").await.expect("memory"), options)
    }

    /// A server before that store.
    pub(crate) async fn over(store: Client) -> Self {
        Self::set_up(store, Options::default())
    }

    fn set_up(store: Client, options: Options) -> Self {
        Self {
            home: held_with(&store, options),
            http: asker().redirect(reqwest::redirect::Policy::none()).build().expect("a client"),
            store,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.home.url())
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.home.address()
    }

    /// A request in the making.
    pub(crate) fn ask(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().expect("a method");
        self.http.request(method, self.url(path))
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let response = request.send().await.expect("the server answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Reply { status, headers, text: response.text().await.expect("a body") }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(self.ask("GET", path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Reply {
        self.send(self.ask("POST", path).body(body)).await
    }

    /// Ends the server.
    pub(crate) fn end(self) {
        drop(self.home);
    }
}

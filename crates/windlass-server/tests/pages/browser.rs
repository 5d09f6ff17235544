//! A browser: it says that it wants pages, keeps cookies, and follows nothing by itself.

use std::collections::HashMap;
use std::sync::Mutex;

use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response};

use crate::asker::asker;
use crate::home::Home;

pub(crate) struct Browser {
    base: String,
    http: Client,
    cookies: Mutex<HashMap<String, String>>,
}

/// What came back.
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) text: String,
    headers: reqwest::header::HeaderMap,
}

impl Page {
    pub(crate) fn header(&self, name: &str) -> String {
        self.headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .unwrap_or_default()
    }

    /// The line that sets that cookie.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        let lines = self.headers.get_all("set-cookie").iter().filter_map(|line| line.to_str().ok());
        lines.rev().find(|line| line.starts_with(&format!("{name}="))).map(ToOwned::to_owned)
    }

    /// Everything between these two.
    pub(crate) fn all(&self, before: &str, after: &str) -> Vec<String> {
        let parts = self.text.split(before).skip(1);
        parts.filter_map(|part| part.split_once(after)).map(|(inside, _)| inside.to_owned()).collect()
    }
}

impl Browser {
    pub(crate) fn at(home: &Home) -> Self {
        Self::to(home.url())
    }

    pub(crate) fn to(base: String) -> Self {
        let http = asker().redirect(Policy::none()).build().expect("a client");
        Self { base, http, cookies: Mutex::default() }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = method.parse().expect("a method");
        let request =
            self.http.request(method, format!("{}{path}", self.base)).header("accept", "text/html,*/*;q=0.8");
        let cookies = self.cookies.lock().expect("no panic before");
        let pairs: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if pairs.is_empty() { request } else { request.header("cookie", pairs.join("; ")) }
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Page {
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        for line in headers.get_all("set-cookie").iter().filter_map(|line| line.to_str().ok()) {
            let (name, rest) = line.split_once('=').expect("a cookie");
            let value = rest.split(';').next().unwrap_or_default();
            let mut cookies = self.cookies.lock().expect("no panic before");
            match rest.contains("Max-Age=0") {
                true => cookies.remove(name),
                false => cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        Page { status, text: response.text().await.expect("text"), headers }
    }

    /// A page, as somebody asks for it who follows a link of this site.
    pub(crate) async fn get(&self, path: &str) -> Page {
        self.send(self.request("GET", path).header("sec-fetch-site", "same-origin")).await
    }

    /// The same for a program, which has no cookies.
    pub(crate) async fn get_plain(&self, path: &str) -> Page {
        self.send(self.http.get(format!("{}{path}", self.base))).await
    }

    /// An answer that goes on.
    pub(crate) async fn open(&self, path: &str) -> Response {
        self.request("GET", path).send().await.expect("an answer")
    }

    /// A form of this site.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        self.send(form(self.request("POST", path), fields).header("sec-fetch-site", "same-origin")).await
    }

    /// A form of this site, and the page that it leads to.
    pub(crate) async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let answer = self.post(path, fields).await;
        assert_eq!(answer.status, 303, "{path}: {}", answer.text);
        self.get(&answer.header("location")).await
    }
}

pub(crate) fn form(request: RequestBuilder, fields: &[(&str, &str)]) -> RequestBuilder {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    request.header("content-type", "application/x-www-form-urlencoded").body(body)
}

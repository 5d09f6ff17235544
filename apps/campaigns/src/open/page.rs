//! The pages that a recipient sees: one sentence, at most one button, in whatever browser opens a mail's link.
//!
//! A page is whole by itself: it loads nothing, runs nothing, and its style is allowed by its hash. It says nothing of the
//! application behind it, since the recipient has never heard of one, and names no address, since a mail is passed on.

use std::sync::LazyLock;

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::digest::{SHA256, digest};

use super::unsubscribe::FROM_THE_PAGE;
use crate::{
    channel::{Channel, voicemail::escaped},
    optout::BadToken,
};

const STYLE: &str = ":root{color-scheme:light dark;--paper:light-dark(#f5f6f7,#0f1317);--card:light-dark(#fff,#161b20);\
--ink:light-dark(#16202a,#e4e9ee);--line:light-dark(#dde2e6,#28313a);--accent:light-dark(#0b6579,#5bc4db);\
--on-accent:light-dark(#fff,#04222a)}\
*{box-sizing:border-box}\
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.25rem;background:var(--paper);color:var(--ink);\
font:1.0625rem/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif}\
main{width:100%;max-width:34rem;padding:2rem;background:var(--card);border:1px solid var(--line);border-radius:6px;\
overflow-wrap:anywhere}\
h1{margin:0 0 .75rem;font-size:1.5rem;line-height:1.25}\
p{margin:0 0 1.25rem}\
p:last-child{margin:0}\
button{min-height:2.75rem;padding:.5rem 1.25rem;border:1px solid transparent;border-radius:6px;background:var(--accent);\
color:var(--on-accent);font:inherit;font-weight:600;cursor:pointer}\
:focus-visible{outline:2px solid var(--accent);outline-offset:3px}";

/// What a page may load: its own style, and nothing else; where its form may go: back.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    );
    HeaderValue::from_str(&policy).expect("base64 is plain ASCII")
});

/// A page of the way out.
#[derive(Clone, Debug)]
pub(super) enum Page {
    /// Do they mean it?
    Ask {
        /// Whose messages; may be empty.
        from: String,
        /// Which messages.
        channel: Channel,
    },
    /// It is done.
    Done {
        /// Which messages.
        channel: Channel,
    },
    /// There is nobody of that link any more.
    Gone,
    /// The link is none of ours.
    Refused(BadToken),
    /// It could not be done now.
    Failed,
}

impl Page {
    fn title(&self) -> &'static str {
        match self {
            Page::Ask { .. } => "Unsubscribe?",
            Page::Done { .. } => "You are unsubscribed",
            Page::Gone => "You are on no list here",
            Page::Refused(_) => "This link does not work",
            Page::Failed => "That did not work",
        }
    }

    fn inner(&self) -> String {
        match self {
            Page::Ask { from, channel } => {
                let from = match from.trim() {
                    "" => String::new(),
                    name => {
                        let name = escaped(name);
                        format!(" from <strong>{name}</strong>, nor from anybody else who sends from here")
                    },
                };
                let (name, value) = FROM_THE_PAGE;
                let messages = messages(*channel);
                format!(
                    "<p>You will get no more {messages}{from}.</p><form method=\"post\">\
                     <input type=\"hidden\" name=\"{name}\" value=\"{value}\">\
                     <button type=\"submit\">Unsubscribe</button></form>"
                )
            }
            Page::Done { channel } => format!(
                "<p>No more {} will be sent to you. One that was on its way already may still arrive.</p>",
                messages(*channel)
            ),
            Page::Gone => "<p>Nothing is sent to you from here any more. There is nothing that you need to do.</p>".to_owned(),
            Page::Refused(bad) => {
                let why = escaped(&bad.to_string());
                let mut chars = why.chars();
                let first = chars.next().map(|first| first.to_ascii_uppercase()).unwrap_or_default();
                format!("<p>{first}{}.</p>", chars.as_str())
            }
            Page::Failed => {
                "<p>You are not unsubscribed yet. Try again in a minute, or reply to the mail with the word unsubscribe.</p>".to_owned()
            }
        }
    }
}

fn messages(channel: Channel) -> &'static str {
    match channel {
        Channel::Email => "e-mail",
        Channel::Sms => "texts",
        Channel::Voicemail => "voice messages",
    }
}

/// The page as an answer. Its address is as good as its recipient's word, so nobody keeps it or is told of it.
pub(super) fn show(status: StatusCode, page: &Page) -> Response {
    let (title, inner) = (page.title(), page.inner());
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"robots\" content=\"noindex\"><title>{title}</title><style>{STYLE}</style></head>\
         <body><main><h1>{title}</h1>{inner}</main></body></html>"
    );
    let fixed = |text: &'static str| HeaderValue::from_static(text);
    let headers: [(HeaderName, HeaderValue); 5] = [
        (header::CONTENT_TYPE, fixed("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, POLICY.clone()),
        (header::CACHE_CONTROL, fixed("no-store")),
        (header::REFERRER_POLICY, fixed("no-referrer")),
        (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
    ];
    (status, headers, html).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_senders_name_is_text_on_the_page_and_nothing_else() {
        let page = Page::Ask { from: "<img src=x onerror=alert(1)>&\"".to_owned(), channel: Channel::Email };
        let inner = page.inner();
        assert!(inner.contains("&lt;img src=x onerror=alert(1)&gt;&amp;\""), "{inner}");
    }

    #[test]
    fn a_page_loads_nothing_and_nobody_is_told_its_address() {
        let pages = [
            Page::Ask { from: String::new(), channel: Channel::Email },
            Page::Done { channel: Channel::Email },
            Page::Gone,
            Page::Refused(BadToken::Malformed),
            Page::Failed,
        ];
        for page in pages {
            let text = page.inner();
            assert!(!text.contains("href") && !text.contains("src=") && !text.contains("style"), "{text}");
            let response = show(StatusCode::OK, &page);
            let header = |name| response.headers()[name].to_str().unwrap().to_owned();
            let policy = header(header::CONTENT_SECURITY_POLICY);
            assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
            assert!(!policy.contains("unsafe") && !policy.contains("script"), "{policy}");
            assert_eq!(header(header::REFERRER_POLICY), "no-referrer");
            assert_eq!(header(header::CACHE_CONTROL), "no-store");
        }
    }
}

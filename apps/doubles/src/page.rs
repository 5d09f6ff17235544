//! The frame of the servers' own pages: plain HTML that needs nothing else, for people who look.

use std::fmt::Write as _;

use axum::{
    http::header,
    response::{Html, IntoResponse, Response},
};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:1.5rem auto;max-width:75rem;padding:0 1rem;\
color:#1b1b1b;background:#fff}table{border-collapse:collapse;width:100%;margin:1rem 0}caption{text-align:left;\
font-weight:600;padding:.25rem 0}th,td{border:1px solid #767676;padding:.3rem .5rem;text-align:left;vertical-align:top;\
overflow-wrap:anywhere}pre{white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid #767676;padding:.5rem}\
.bad{font-weight:600;color:#9b1c1c}.good{color:#11632b}a{color:#0b4fa8}\
@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}a{color:#9cc4ff}.bad{color:#ff9d9d}.good{color:#8fdca6}}";

/// Text as it may stand in HTML, in an element or an attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A whole page; the body is HTML already.
pub(crate) fn page(title: &str, body: &str) -> Response {
    let title = escape(title);
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head>\
         <body><main><h1>{title}</h1>{body}</main></body></html>"
    );
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        // What senders wrote is shown here; nothing of it may run.
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
        ),
    ];
    (headers, Html(html)).into_response()
}

/// A table; the cells are HTML already, the first of a row names it.
pub(crate) fn table(caption: &str, head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut html = format!("<table><caption>{}</caption><thead><tr>", escape(caption));
    for name in head {
        let _ = write!(html, "<th scope=\"col\">{}</th>", escape(name));
    }
    html.push_str("</tr></thead><tbody>");
    for row in rows {
        html.push_str("<tr>");
        for (nth, cell) in row.iter().enumerate() {
            let (open, close) = if nth == 0 { ("<th scope=\"row\">", "</th>") } else { ("<td>", "</td>") };
            let _ = write!(html, "{open}{cell}{close}");
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table>");
    html
}

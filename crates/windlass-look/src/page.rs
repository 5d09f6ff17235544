//! How pages are answered: what they may load, and what is said when something is wrong.

use askama::Template;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::Frame;

/// What a page may load and where its forms may go: this server alone, and no script or style inside the page.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
);
/// What a page may do that somebody else has written: show itself, in an origin of its own that has no cookies, runs
/// nothing and asks nobody for anything.
const FOREIGN_POLICY: HeaderValue = HeaderValue::from_static(
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; \
     frame-ancestors 'none'; base-uri 'none'",
);

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// Whether the request asks for a page: browsers say so, shells and programs do not.
pub fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

/// Whether an address leads to this server and nowhere else: a path, and nothing that a browser takes for a host.
pub fn is_local(address: &str) -> bool {
    address.starts_with('/')
        && !address.starts_with("//")
        && !address.contains('\\')
        && address.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A page.
pub fn show<T: Template>(page: &T) -> Response {
    show_with(StatusCode::OK, page)
}

/// A page with a status of its own.
pub fn show_with<T: Template>(status: StatusCode, page: &T) -> Response {
    try_page(status, page).unwrap_or_else(|error| {
        let text = format!("the page could not be made: {error}");
        (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
    })
}

/// The same for whoever has words of their own for a page that could not be made.
///
/// # Errors
/// What the template says, which prints a value that cannot be printed.
pub fn try_page<T: Template>(status: StatusCode, page: &T) -> Result<Response, askama::Error> {
    let html = page.render()?;
    let headers = [
        (header::CONTENT_TYPE, HTML),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        // Without a referrer policy that lets this site know itself, forms say `Origin: null`.
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        (header::VARY, HeaderValue::from_static("accept, cookie")),
    ];
    Ok((status, headers, html).into_response())
}

/// HTML that somebody else has written, such as a message as its recipient will see it: shown by itself, where it
/// runs nothing, loads nothing and is nobody.
pub fn foreign(html: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HTML),
        (header::CONTENT_SECURITY_POLICY, FOREIGN_POLICY),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (headers, html).into_response()
}

#[derive(Template)]
#[template(path = "sorry.html")]
struct SorryPage<'a> {
    f: Frame,
    status: u16,
    heading: &'static str,
    code: &'a str,
    detail: &'a str,
    hint: Option<&'a str>,
}

/// What stands over a page that says what is wrong.
fn heading(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "Not understood",
        401 => "Sign in",
        403 => "Not allowed",
        404 => "Not found",
        405 => "Not possible here",
        429 => "Too many tries",
        500.. => "Something failed",
        _ => "That was not done",
    }
}

/// A page that says what is wrong: a code for programs, a sentence, and what to do.
pub fn sorry(f: Frame, status: StatusCode, code: &str, detail: &str, hint: Option<&str>) -> Response {
    let page = SorryPage { f, status: status.as_u16(), heading: heading(status), code, detail, hint };
    show_with(status, &page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_of_this_server_is_local() {
        for local in ["/", "/jobs?filter=a%20b", "/x//y"] {
            assert!(is_local(local), "{local}");
        }
        for other in
            ["", "jobs", "//evil.example", "/\\evil.example", "https://evil.example", "/a\r\nb", "/\t/evil"]
        {
            assert!(!is_local(other), "{other:?}");
        }
    }

    #[test]
    fn what_others_wrote_runs_nothing_and_is_nobody() {
        let response = foreign("<script>alert(1)</script>".to_owned());
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
        assert!(
            policy.starts_with("sandbox; default-src 'none'") && !policy.contains("script-src"),
            "{policy}"
        );
        assert!(!policy.contains("allow-"), "{policy}");
    }

    #[test]
    fn templates_hold_no_code_and_trust_nothing() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        for entry in std::fs::read_dir(folder).expect("the templates") {
            let path = entry.expect("a template").path();
            let text = std::fs::read_to_string(&path).expect("text");
            for forbidden in
                ["|safe", "| safe", " style=", "<style", "javascript:", " on", "http://", "https://"]
            {
                let found = text.match_indices(forbidden).find(|(at, _)| {
                    // ` on` is the beginning of a handler only where an equals sign follows the word.
                    let rest = text[at + forbidden.len()..].trim_start_matches(char::is_alphabetic);
                    forbidden != " on" || rest.starts_with('=')
                });
                assert_eq!(found, None, "{} has {forbidden}", path.display());
            }
            for script in text.split("<script").skip(1) {
                assert!(
                    script.starts_with(" src=\"{{ f.asset(\"live.js\") }}\"></script>"),
                    "{}",
                    path.display()
                );
            }
        }
    }
}

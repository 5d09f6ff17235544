//! A mail that comes in: bounces and answers, handed over by whoever receives them for us.
//!
//! Nobody who hands mails on signs them, so that they show a key that is kept with the account: as the password of Basic
//! auth, as a bearer token, or in the query, which is all that some of them can do. The server's logs have paths without
//! queries. Of a mail that is larger than what is read the rest is thrown away as it comes: an answer with a film behind it
//! is still an answer.

use axum::{
    body::Bytes,
    extract::{
        FromRequest as _, Multipart, Path, Request, State,
        multipart::{Field, MultipartError},
        rejection::PathRejection,
    },
    http::{HeaderMap, StatusCode, Uri, header},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{Stream, StreamExt as _};
use ring::hmac;

use super::{account, answer::Problem};
use crate::{
    app::App,
    channel::rules::ProviderKind,
    flow::inbound_mail,
    hooks::inbound_mail::{MAIL_BYTES_MOST, read},
};

/// The largest request: what the largest mail providers take, with the coat of a form around it.
pub(super) const INBOUND_BYTES_MOST: usize = 40 * 1024 * 1024;
/// The field of a form that has the mail as it came.
const RAW_FIELD: &str = "email";
/// The name of the key in the query.
const KEY_FIELD: &str = "key";
/// The kinds of body that are a mail as it came.
const MAILS: [&str; 3] = ["message/rfc822", "message/global", "application/octet-stream"];
const FORM: &str = "multipart/form-data";

/// A mail that somebody wrote, or a mail server.
pub(super) async fn inbound(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
    request: Request,
) -> Result<StatusCode, Problem> {
    let Path(id) = path.map_err(|_| Problem::not_found())?;
    let provider = account(&app, &id, &[ProviderKind::Smtp, ProviderKind::HttpMail]).await?;
    let shown = shown(&headers, &uri);
    if !is_key(&provider.inbound_key, shown.as_deref()) {
        let why = match shown {
            _ if provider.inbound_key.is_empty() => "the account has no inbound key",
            None => "it shows no key",
            Some(_) => "it shows another key",
        };
        tracing::warn!(provider = %provider.name, why, "a mail that came in is refused");
        return Err(Problem::forbidden());
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let bytes = match kind.as_str() {
        FORM => of_form(request).await?,
        kind if MAILS.contains(&kind) => {
            kept(request.into_body().into_data_stream(), |error| Problem::bad(error.to_string())).await?
        }
        _ => {
            return Err(Problem::of_another_kind(
                "send the mail as it came, as message/rfc822 or in the field email of a multipart/form-data form",
            ));
        }
    };
    let mail = read(&bytes).map_err(|bad| Problem::bad(bad.to_string()))?;
    let taken = inbound_mail::take(&app, mail, &provider.name).await?;
    tracing::debug!(provider = %provider.name, became = %taken.became, message = ?taken.message, "a mail came in");
    Ok(StatusCode::NO_CONTENT)
}

/// The key that a request shows.
fn shown(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let said = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Some((scheme, value)) = said.and_then(|said| said.split_once(' ')) {
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(value.trim().to_owned());
        }
        if scheme.eq_ignore_ascii_case("basic") {
            let login = STANDARD.decode(value.trim()).ok().and_then(|login| String::from_utf8(login).ok())?;
            return login.split_once(':').map(|(_, password)| password.to_owned());
        }
    }
    let mut query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    query.find(|(name, _)| name == KEY_FIELD).map(|(_, key)| key.into_owned())
}

/// Whether that is the account's key; how long this takes tells nothing of it. An account without a key has none to show.
fn is_key(key: &str, shown: Option<&str>) -> bool {
    let by = hmac::Key::new(hmac::HMAC_SHA256, b"windlass-campaigns inbound mail");
    let signed = hmac::sign(&by, key.as_bytes());
    let fits = hmac::verify(&by, shown.unwrap_or_default().as_bytes(), signed.as_ref()).is_ok();
    fits && !key.is_empty()
}

/// The mail in a form as SendGrid's Inbound Parse sends it when it is to send mails raw.
async fn of_form(request: Request) -> Result<Vec<u8>, Problem> {
    let bad = |error: MultipartError| Problem::unread(error.status(), error.body_text());
    let form = Multipart::from_request(request, &()).await;
    let mut form = form.map_err(|error| Problem::unread(error.status(), error.body_text()))?;
    while let Some(field) = form.next_field().await.map_err(bad)? {
        if field.name() == Some(RAW_FIELD) {
            return kept(pieces(field), bad).await;
        }
    }
    Err(Problem::bad("the form has no field email: set it to POST the raw, full MIME message"))
}

fn pieces(field: Field<'_>) -> impl Stream<Item = Result<Bytes, MultipartError>> + '_ {
    futures_util::stream::unfold(
        field,
        |mut field| async move { Some((field.chunk().await.transpose()?, field)) },
    )
}

/// The beginning of a mail, as far as it is read.
async fn kept<E>(
    pieces: impl Stream<Item = Result<Bytes, E>>,
    bad: impl Fn(E) -> Problem,
) -> Result<Vec<u8>, Problem> {
    let mut pieces = std::pin::pin!(pieces);
    let (mut bytes, mut seen) = (Vec::new(), 0_usize);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(&bad)?;
        seen = seen.saturating_add(piece.len());
        if seen > INBOUND_BYTES_MOST {
            return Err(Problem::unread(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the mail is larger than any that is taken",
            ));
        }
        let room = MAIL_BYTES_MOST - bytes.len();
        bytes.extend_from_slice(&piece[..piece.len().min(room)]);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(header: Option<&str>, query: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(header::AUTHORIZATION, header.parse().unwrap());
        }
        shown(&headers, &format!("/hooks/mail/1/inbound{query}").parse().unwrap())
    }

    #[test]
    fn a_key_is_shown_in_any_of_three_ways() {
        let basic = format!("basic {}", STANDARD.encode("sendgrid:a key: with more"));
        assert_eq!(key_of(Some(&basic), "").as_deref(), Some("a key: with more"));
        assert_eq!(key_of(Some("Bearer abc"), "?key=other").as_deref(), Some("abc"));
        assert_eq!(key_of(None, "?x=1&key=a%20key").as_deref(), Some("a key"));
        assert_eq!(key_of(Some("Digest x"), "?key=k").as_deref(), Some("k"));
        for (header, query) in
            [(None, ""), (None, "?keys=k"), (Some("Basic ???"), "?key=k"), (Some("Bearer"), "")]
        {
            assert_eq!(key_of(header, query), None, "{header:?} {query}");
        }
    }

    #[test]
    fn only_the_key_is_the_key_and_no_key_is_nobodys() {
        assert!(is_key("0123456789abcdef", Some("0123456789abcdef")));
        for shown in [None, Some(""), Some("0123456789abcde"), Some("0123456789abcdef\0")] {
            assert!(!is_key("0123456789abcdef", shown) && !is_key("", shown), "{shown:?}");
        }
        assert!(!is_key("", None));
    }
}

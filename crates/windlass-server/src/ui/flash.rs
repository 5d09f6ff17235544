//! What a form has done, told once on the next page: a cookie that the page takes away again.

use std::time::Duration;

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use windlass_core::bounds;

use super::session;

/// The cookie's name.
pub(crate) const COOKIE: &str = "windlass_flash";
/// The next page comes at once, or nobody waits for it.
const LASTS: Duration = Duration::from_secs(60);
/// Bytes of a message: encoded it stays far below the 4 KiB that browsers take.
const TEXT_BYTES_MOST: usize = 2_000;

/// What was done, or why it was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flash {
    /// Whether it was done.
    pub(crate) good: bool,
    /// In words; several lines are several things.
    pub(crate) text: String,
}

impl Flash {
    pub(crate) fn good(text: impl Into<String>) -> Self {
        Self { good: true, text: text.into() }
    }

    pub(crate) fn bad(text: impl Into<String>) -> Self {
        Self { good: false, text: text.into() }
    }

    /// Its lines.
    pub(crate) fn lines(&self) -> std::str::Lines<'_> {
        self.text.lines()
    }

    /// What the request brings along.
    pub(crate) fn read(headers: &HeaderMap) -> Option<Self> {
        let value = session::cookie(headers, COOKIE)?;
        let good = value.starts_with('g');
        let bytes = URL_SAFE_NO_PAD.decode(value.get(1..)?).ok()?;
        Some(Self { good, text: String::from_utf8(bytes).ok()? }).filter(|flash| !flash.text.is_empty())
    }

    /// The line that hands it to the next page.
    pub(crate) fn set(&self, headers: &HeaderMap) -> String {
        let text = bounds::cut(&self.text, TEXT_BYTES_MOST);
        let value = format!("{}{}", if self.good { 'g' } else { 'b' }, URL_SAFE_NO_PAD.encode(text));
        session::set_cookie(headers, COOKIE, &value, LASTS)
    }

    /// The line that takes it away.
    pub(crate) fn taken(headers: &HeaderMap) -> String {
        session::set_cookie(headers, COOKIE, "", Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::header;

    #[test]
    fn the_next_page_reads_what_was_said() {
        let flash = Flash::bad("no: <b>\nqueue \"ö\"");
        let line = flash.set(&HeaderMap::new());
        let mut headers = HeaderMap::new();
        let pair = line.split(';').next().unwrap_or_default();
        headers.insert(header::COOKIE, pair.parse().expect("a header"));
        assert_eq!(Flash::read(&headers), Some(flash));
        headers.insert(header::COOKIE, "windlass_flash=ö".parse().expect("a header"));
        assert_eq!(Flash::read(&headers), None);
    }
}

//! What a form has done, told once on the next page: a cookie that the page takes away again.

use std::time::Duration;

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::cookie::{cookie, set_cookie};

/// The cookie's name.
const COOKIE: &str = "windlass_flash";
/// The next page comes at once, or nobody waits for it.
const LASTS: Duration = Duration::from_secs(60);
/// Bytes of a message: encoded it stays far below the 4 KiB that browsers take.
const TEXT_BYTES_MOST: usize = 2_000;

/// What was done, or why it was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flash {
    /// Whether it was done.
    pub good: bool,
    /// In words; several lines are several things.
    pub text: String,
}

impl Flash {
    /// It was done.
    pub fn good(text: impl Into<String>) -> Self {
        Self { good: true, text: text.into() }
    }

    /// It was not done, or not all of it.
    pub fn bad(text: impl Into<String>) -> Self {
        Self { good: false, text: text.into() }
    }

    /// Its lines.
    pub fn lines(&self) -> std::str::Lines<'_> {
        self.text.lines()
    }

    /// What the request brings along.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let value = cookie(headers, COOKIE)?;
        let good = value.starts_with('g');
        let bytes = URL_SAFE_NO_PAD.decode(value.get(1..)?).ok()?;
        Some(Self { good, text: String::from_utf8(bytes).ok()? }).filter(|flash| !flash.text.is_empty())
    }

    /// The line of a `Set-Cookie` header that hands it to the next page.
    pub fn set(&self, is_secure: bool) -> String {
        let mut end = self.text.len().min(TEXT_BYTES_MOST);
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let text = URL_SAFE_NO_PAD.encode(&self.text[..end]);
        let value = format!("{}{text}", if self.good { 'g' } else { 'b' });
        set_cookie(is_secure, COOKIE, &value, LASTS)
    }

    /// The line that takes it away.
    pub fn taken(is_secure: bool) -> String {
        set_cookie(is_secure, COOKIE, "", Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::header;

    fn told(line: &str) -> Option<Flash> {
        let mut headers = HeaderMap::new();
        let pair = line.split(';').next().unwrap_or_default();
        headers.insert(header::COOKIE, pair.parse().expect("a header"));
        Flash::read(&headers)
    }

    #[test]
    fn the_next_page_reads_what_was_said() {
        let flash = Flash::bad("no: <b>\nqueue \"ö\"");
        assert_eq!(told(&flash.set(false)), Some(flash));
        assert_eq!(told("windlass_flash=ö"), None);
    }

    #[test]
    fn a_long_word_is_cut_where_a_letter_ends() {
        let long = told(&Flash::good("ö".repeat(2_000)).set(true)).expect("what is left of it");
        assert_eq!((long.text.len(), long.text.chars().all(|c| c == 'ö')), (TEXT_BYTES_MOST, true));
    }
}

//! Cookies for this site alone.

use std::time::Duration;

use axum::http::{HeaderMap, header};

/// The value of a request's cookie.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let texts = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(other, _)| *other == name).map(|(_, value)| value)
}

/// A line that sets a cookie for this site alone, out of every script's sight; `is_secure` where the browser speaks TLS.
pub fn set_cookie(is_secure: bool, name: &str, value: &str, lasts: Duration) -> String {
    let secure = if is_secure { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}", lasts.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "a=1; windlass_session=x=y;b=".parse().expect("a header"));
        assert_eq!(cookie(&headers, "windlass_session"), Some("x=y"));
        assert_eq!((cookie(&headers, "b"), cookie(&headers, "c")), (Some(""), None));
    }
}

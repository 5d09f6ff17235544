//! The signature by which a receiver knows that a callback comes from its provider.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ring::hmac;

/// What `X-Twilio-Signature` says of a request to that address with these form parameters: the base64 of
/// HMAC-SHA1, keyed by the account's token, over the address and every parameter's name and value, sorted by name.
///
/// A request without a form (GET) is signed by its address alone, query included.
pub fn signature<'a>(token: &str, url: &str, form: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut form: Vec<(&str, &str)> = form.into_iter().collect();
    form.sort_unstable();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.as_bytes());
    let mut signed = hmac::Context::with_key(&key);
    signed.update(url.as_bytes());
    for (name, value) in form {
        signed.update(name.as_bytes());
        signed.update(value.as_bytes());
    }
    BASE64.encode(signed.sign())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_twilios_own_page_has_the_signature_printed_there() {
        // https://www.twilio.com/docs/usage/security#validating-requests
        let form = [
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+12349013030"),
            ("Digits", "1234"),
            ("From", "+12349013030"),
            ("To", "+18005551212"),
        ];
        let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
        assert_eq!(signature("12345", url, form), "0/KCTR6DLpKmkAf8muzZqo1nDgQ=");
        assert_eq!(signature("12345", url, form.into_iter().rev()), "0/KCTR6DLpKmkAf8muzZqo1nDgQ=");
    }
}

//! A text message, as the provider's API takes it.
//!
//! The provider has no idempotency for messages, so a lost reply means that the message may be with the recipient
//! already; [`super::twilio`] can look for it there before it is sent again.

/// One text to one phone.
#[derive(Clone, Copy, Debug)]
pub struct Sms<'a> {
    /// The recipient's number, in E.164.
    pub to: &'a str,
    /// The number or name that it comes from, or the id (`MG...`) of a messaging service that chooses one.
    pub from: &'a str,
    /// The text.
    pub body: &'a str,
    /// Where the provider reports on its way.
    pub status_callback: Option<&'a str>,
    /// Headers of the request, for tracing; the recipient never sees them.
    pub headers: &'a [(&'a str, &'a str)],
}

impl Sms<'_> {
    /// The fields of the request.
    pub(super) fn form(&self) -> Vec<(&'static str, &str)> {
        let sender = if is_messaging_service(self.from) { "MessagingServiceSid" } else { "From" };
        let mut form = vec![("To", self.to), (sender, self.from), ("Body", self.body)];
        form.extend(self.status_callback.map(|url| ("StatusCallback", url)));
        form
    }
}

/// Whether `from` names a messaging service: `MG` and 32 hexadecimal digits, longer than any sender's name.
pub(super) fn is_messaging_service(from: &str) -> bool {
    let digits = from.strip_prefix("MG").unwrap_or_default();
    digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

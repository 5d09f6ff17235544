//! The rows that a new installation begins with: what the providers' own pages and the RFCs say.
//!
//! A row whose action differs from what the class of its refusal would do anyway is here for that difference; the
//! others are here so that people find the code with its meaning and can change it.

use super::{
    Action::{self, Brake, Fail, OpenBreaker, Retry, SlowDomain, SlowProvider, SlowSender, Suppress},
    ErrorRule,
    ProviderKind::{self, HttpMail, Smtp, Twilio},
};

/// Where the meaning of Twilio's codes is written, one page for each.
const TWILIO: &str = "twilio.com/docs/api/errors";
const RFC_5321: &str = "RFC 5321";
const RFC_3463: &str = "RFC 3463";
const RFC_4954: &str = "RFC 4954";
const SENDGRID: &str = "SendGrid v3 API, responses";
const SENDGRID_EVENTS: &str = "SendGrid event webhook";

type Row = (ProviderKind, &'static str, Action, &'static str, &'static str);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    // Texts and calls: what the provider answers at once.
    (Twilio, "20003", OpenBreaker, "The account's id or token is wrong", TWILIO),
    (Twilio, "20005", OpenBreaker, "The account is not active", TWILIO),
    (Twilio, "20429", SlowProvider, "Too many requests", TWILIO),
    (Twilio, "401", OpenBreaker, "The account's id or token is wrong", "HTTP"),
    (Twilio, "403", OpenBreaker, "The account may not do this", "HTTP"),
    (Twilio, "429", SlowProvider, "Too many requests", "HTTP"),
    (Twilio, "503", SlowProvider, "Not available for a while that the provider named", "HTTP"),
    (Twilio, "21210", Brake, "The number that calls come from is not verified", TWILIO),
    (Twilio, "21211", Fail, "The recipient's number is not a number", TWILIO),
    (Twilio, "21212", Brake, "The sender's number is not a number", TWILIO),
    (Twilio, "21214", Fail, "The recipient's number cannot be called", TWILIO),
    (Twilio, "21215", Fail, "The account may not call this country", TWILIO),
    (Twilio, "21216", Fail, "The account may not call this number", TWILIO),
    (Twilio, "21217", Fail, "The recipient's number does not look like one", TWILIO),
    (Twilio, "21408", Fail, "The account may not text this country", TWILIO),
    (Twilio, "21602", Fail, "The text is empty", TWILIO),
    (Twilio, "21604", Fail, "The recipient's number is missing", TWILIO),
    (Twilio, "21606", Brake, "The sender's number cannot text, or is not the account's", TWILIO),
    (Twilio, "21610", Suppress, "The recipient has answered STOP", TWILIO),
    (Twilio, "21611", SlowSender, "The sender's queue at the provider is full", TWILIO),
    (Twilio, "21612", Fail, "This sender cannot reach this recipient", TWILIO),
    (Twilio, "21614", Fail, "The recipient's number is not a mobile", TWILIO),
    (Twilio, "21617", Fail, "The text is longer than 1,600 characters", TWILIO),
    // Texts and calls: what comes back later.
    (Twilio, "30001", SlowSender, "The sender's queue overflowed", TWILIO),
    (Twilio, "30002", OpenBreaker, "The account is suspended", TWILIO),
    (Twilio, "30003", Retry, "The phone is off or out of reach", TWILIO),
    (Twilio, "30004", Fail, "The recipient cannot receive this, or has blocked it", TWILIO),
    (Twilio, "30005", Suppress, "The number is unknown or no longer exists", TWILIO),
    (Twilio, "30006", Suppress, "The number is a landline or cannot be reached by its carrier", TWILIO),
    (Twilio, "30007", Brake, "A carrier filtered the text as unwanted", TWILIO),
    (Twilio, "30008", Fail, "The carrier gave no reason", TWILIO),
    (Twilio, "30034", Brake, "The sender's number is not registered for application traffic", TWILIO),
    (Twilio, "busy", Retry, "The called line was busy", "Twilio call statuses"),
    (Twilio, "no-answer", Retry, "Nobody answered the call", "Twilio call statuses"),
    (Twilio, "canceled", Fail, "It was cancelled before it went out", "Twilio statuses"),
    (Twilio, "fax", Fail, "A fax machine answered the call", "Twilio answering machine detection"),
    // Mail servers: the whole code, or either half of it.
    (Smtp, "421", SlowDomain, "The server is closing the connection: too much at once", RFC_5321),
    (Smtp, "450", Retry, "The mailbox is not available now", RFC_5321),
    (Smtp, "451", Retry, "The server failed for now, or greylists", RFC_5321),
    (Smtp, "452", Retry, "The server is short of space", RFC_5321),
    (Smtp, "454", SlowProvider, "A relay's sending rate is exceeded", "Amazon SES, SMTP responses"),
    (Smtp, "4.2.2", Retry, "The mailbox is full", RFC_3463),
    (Smtp, "4.7.*", SlowDomain, "The domain limits what it takes from us", RFC_3463),
    (Smtp, "450-4.7.1", Retry, "Greylisted: this sender and recipient only", "RFC 6647"),
    (Smtp, "451-4.7.1", Retry, "Greylisted: this sender and recipient only", "RFC 6647"),
    (Smtp, "5.1.1", Suppress, "There is no such mailbox", RFC_3463),
    (Smtp, "5.1.2", Suppress, "There is no such domain", RFC_3463),
    (Smtp, "5.1.10", Suppress, "The domain takes no mail", "RFC 7505"),
    (Smtp, "5.2.2", Retry, "The mailbox is full", RFC_3463),
    (Smtp, "5.3.4", Fail, "The message is too large", RFC_3463),
    (Smtp, "5.7.*", Brake, "Refused by policy: reputation, authentication of the domain, or content", RFC_3463),
    (Smtp, "530", OpenBreaker, "The server wants us to log in", RFC_4954),
    (Smtp, "530-5*", OpenBreaker, "The server wants us to log in", RFC_4954),
    (Smtp, "534", OpenBreaker, "The server wants a stronger login", RFC_4954),
    (Smtp, "534-5*", OpenBreaker, "The server wants a stronger login", RFC_4954),
    (Smtp, "535", OpenBreaker, "The user or password is wrong", RFC_4954),
    (Smtp, "535-5*", OpenBreaker, "The user or password is wrong", RFC_4954),
    (Smtp, "4*", Retry, "Refused for now", RFC_5321),
    (Smtp, "5*", Fail, "Refused for good", RFC_5321),
    (Smtp, "mail/4*", SlowSender, "The sender is refused for now", RFC_5321),
    (Smtp, "mail/5*", Brake, "The sender is refused", RFC_5321),
    (Smtp, "mail/530*", OpenBreaker, "The server wants us to log in", RFC_4954),
    (Smtp, "mail/535*", OpenBreaker, "The user or password is wrong", RFC_4954),
    (Smtp, "auth/*", OpenBreaker, "The user or password is wrong", RFC_4954),
    (Smtp, "hello/*", OpenBreaker, "The server does not want to talk to us", RFC_5321),
    // Mail by HTTP.
    (HttpMail, "400", Fail, "The message is not acceptable", SENDGRID),
    (HttpMail, "401", OpenBreaker, "The key is wrong", SENDGRID),
    (HttpMail, "403", OpenBreaker, "The key may not send, or the sender is not verified", SENDGRID),
    (HttpMail, "413", Fail, "The message is too large", SENDGRID),
    (HttpMail, "429", SlowProvider, "Too many requests", SENDGRID),
    (HttpMail, "503", SlowProvider, "Not available for a while that the provider named", SENDGRID),
    (HttpMail, "blocked*", Retry, "The recipient's server refused for a reason that may pass", SENDGRID_EVENTS),
    (HttpMail, "blocked-content", Brake, "The recipient's server took it for spam", SENDGRID_EVENTS),
    (HttpMail, "blocked-reputation", Brake, "The recipient's server distrusts the sender", SENDGRID_EVENTS),
    (HttpMail, "bounce*", Suppress, "The recipient's server refused for good", SENDGRID_EVENTS),
    (HttpMail, "bounce-content", Brake, "The recipient's server took it for spam", SENDGRID_EVENTS),
    (HttpMail, "bounce-reputation", Brake, "The recipient's server distrusts the sender", SENDGRID_EVENTS),
    (HttpMail, "bounce-technical", Fail, "The recipient's server failed", SENDGRID_EVENTS),
    (HttpMail, "bounce-frequency-or-volume-too-high", SlowProvider, "Too much mail at once", SENDGRID_EVENTS),
    (HttpMail, "dropped*", Fail, "The provider did not send it", SENDGRID_EVENTS),
    (HttpMail, "dropped-bounced-address", Suppress, "The address has bounced before", SENDGRID_EVENTS),
    (HttpMail, "dropped-unsubscribed-address", Suppress, "The recipient has unsubscribed there", SENDGRID_EVENTS),
    (HttpMail, "dropped-spam-reporting-address", Suppress, "The recipient has complained", SENDGRID_EVENTS),
];

pub(super) fn rules() -> Vec<ErrorRule> {
    ROWS.iter()
        .map(|(provider, code, action, note, source)| ErrorRule {
            provider: *provider,
            code: (*code).to_owned(),
            action: *action,
            note: (*note).to_owned(),
            source: (*source).to_owned(),
        })
        .collect()
}

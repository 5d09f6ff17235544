//! Accounts that take messages: their rate, their breaker, and what their errors mean.

use askama::Template;

use super::{Choice, Count, Input, When};
use crate::pages::Shell;

/// A person has decided for a breaker.
#[derive(Clone, Debug)]
pub struct ForcedView {
    /// `open` or `closed`.
    pub gate: String,
    /// Who.
    pub by: String,
    /// Why.
    pub why: String,
    /// When.
    pub at: When,
}

/// What keeps an account that fails from being asked.
#[derive(Clone, Debug, Default)]
pub struct BreakerView {
    /// `closed` lets messages through, `open` none, `half_open` one as a trial.
    pub state: String,
    /// What it is and why, in a sentence.
    pub says: String,
    /// When it tries again.
    pub tries: Option<When>,
    /// A person has decided.
    pub forced: Option<ForcedView>,
}

/// What an account or a domain has slowed down by saying that it is too much.
#[derive(Clone, Debug)]
pub struct SlowedView {
    /// How fast it is asked, in words: `12 a second`.
    pub pace: String,
    /// How fast at most, in words.
    pub full: String,
    /// Since when it is slower than that.
    pub since: When,
    /// What it answered.
    pub why: String,
}

/// An account in the list.
#[derive(Clone, Debug)]
pub struct ProviderRow {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// What it speaks: `smtp`, `twilio`, `http_mail`.
    pub kind: String,
    /// Where it is.
    pub url: String,
    /// The account; may be empty.
    pub account: String,
    /// How fast, in words.
    pub pace: String,
    /// Senders that use it.
    pub senders: Count,
    /// Taken in the last hour.
    pub sent_hour: Count,
    /// Refused or unanswered in the last hour.
    pub failed_hour: Count,
    /// Its breaker.
    pub breaker: BreakerView,
    /// It has said that it is too much.
    pub slowed: Option<SlowedView>,
}

/// What an account is set to.
#[derive(Clone, Debug, Default)]
pub struct ProviderForm {
    /// The number of the account that is changed; none for a new one.
    pub id: Option<i64>,
    /// The version that it is a change of.
    pub revision: i64,
    /// What is wrong with all of it.
    pub fault: Option<String>,
    /// Its name.
    pub name: Input,
    /// What it speaks.
    pub kinds: Vec<Choice>,
    /// Where it is.
    pub url: Input,
    /// The account, where it has one beside the secret.
    pub account: Input,
    /// Whether a secret is kept; it is never shown.
    pub has_secret: bool,
    /// Whether a key of its callbacks is kept.
    pub has_callback_key: bool,
    /// Whether a key of mails that come in is kept.
    pub has_inbound_key: bool,
    /// What is wrong with the one that was given; its text is never shown.
    pub inbound_key: Input,
    /// Messages a second; empty for as fast as it takes them.
    pub per_second: Input,
    /// Messages at once; empty for no limit.
    pub concurrency: Input,
}

/// The accounts.
#[derive(Clone, Debug, Template)]
#[template(path = "providers.html")]
pub struct ProvidersPage {
    /// What stands around it.
    pub s: Shell,
    /// Accounts, by name.
    pub rows: Vec<ProviderRow>,
    /// A new one.
    pub form: ProviderForm,
}

/// What an error of a provider means.
#[derive(Clone, Debug, Default)]
pub struct ErrorRuleRow {
    /// The code, or a pattern: `twilio/21610`.
    pub code: String,
    /// What is done: `retry`, `suppress`, `open_breaker`, …
    pub action: String,
    /// What that does, in words.
    pub means: String,
    /// Why; may be empty.
    pub note: String,
    /// Whether somebody here has written it; the others come with the application.
    pub is_own: bool,
}

/// An account.
#[derive(Clone, Debug, Template)]
#[template(path = "provider.html")]
pub struct ProviderPage {
    /// What stands around it.
    pub s: Shell,
    /// The same as in the list.
    pub row: ProviderRow,
    /// What it is set to.
    pub form: ProviderForm,
    /// Its last failures, newest first: when, the code, in its words.
    pub failures: Vec<(When, String, String)>,
    /// What its errors mean.
    pub rules: Vec<ErrorRuleRow>,
    /// The code of a rule that is written.
    pub code: Input,
    /// What it does.
    pub actions: Vec<Choice>,
    /// Why.
    pub note: Input,
}

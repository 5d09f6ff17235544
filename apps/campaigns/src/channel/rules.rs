//! What is done about each error of a provider: a table of data that people can read and edit.
//!
//! Providers split, merge and reuse their codes, so no code of ours compares one. A refusal or a failed delivery has
//! a code such as `twilio/21610`; the most specific row that fits says what is done, and where no row fits, the
//! class of the refusal does. The defaults are in `rules/defaults.rs`; rows that people have edited replace them.
//!
//! This module decides and does nothing: whoever asks knows senders, domains, suppressions and breakers.

use std::{collections::HashSet, fmt};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::RefusalClass;

mod defaults;

/// The most rows of a table; the defaults are below a hundred.
pub const MAX_RULES: usize = 1_000;
/// The longest pattern, in bytes; the longest codes are slugs of providers' reasons.
const MAX_PATTERN_BYTES: usize = 100;
/// The longest note or source, in characters.
const MAX_TEXT_CHARS: usize = 500;
/// The stages of an SMTP conversation that no recipient is named in yet; see [`super::smtp`].
const STAGES_BEFORE_RECIPIENT: [&str; 3] = ["hello/", "auth/", "mail/"];
/// What stands behind the code of a refusal of the content.
const CONTENT_SUFFIX: &str = "/content";

/// The kinds of provider; each has codes of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// A mail server.
    Smtp,
    /// Texts and calls.
    Twilio,
    /// Mail by HTTP.
    HttpMail,
}

impl ProviderKind {
    /// Every kind.
    pub const ALL: [ProviderKind; 3] = [ProviderKind::Smtp, ProviderKind::Twilio, ProviderKind::HttpMail];

    /// The word in front of its codes.
    pub fn prefix(self) -> &'static str {
        match self {
            ProviderKind::Smtp => "smtp",
            ProviderKind::Twilio => "twilio",
            ProviderKind::HttpMail => "mail",
        }
    }

    /// The full code, as in `twilio/21610`, of one of its own.
    pub fn code(self, own: impl fmt::Display) -> String {
        format!("{}/{own}", self.prefix())
    }

    fn split(code: &str) -> Option<(ProviderKind, &str)> {
        let (prefix, own) = code.split_once('/')?;
        let kind = Self::ALL.into_iter().find(|kind| kind.prefix() == prefix)?;
        Some((kind, own))
    }
}

/// What is done about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The touch is tried again later.
    Retry,
    /// The touch is tried again later, and its sender slows down.
    SlowSender,
    /// The touch is tried again later, and everything by this provider slows down.
    SlowProvider,
    /// The touch is tried again later, and everything to the recipient's domain slows down.
    SlowDomain,
    /// The touch has failed; the contact stays reachable.
    Fail,
    /// The touch has failed, and the address is not used again.
    Suppress,
    /// The touch waits, and nothing goes to this provider until a probe succeeds.
    OpenBreaker,
    /// The touch waits, and its sender sends nothing until a person has looked.
    Brake,
}

impl Action {
    /// Every action, in the order in which pages offer them.
    pub const ALL: [Action; 8] = [
        Action::Retry,
        Action::SlowSender,
        Action::SlowProvider,
        Action::SlowDomain,
        Action::Fail,
        Action::Suppress,
        Action::OpenBreaker,
        Action::Brake,
    ];

    /// The word in rows and forms.
    pub fn name(self) -> &'static str {
        match self {
            Action::Retry => "retry",
            Action::SlowSender => "slow_sender",
            Action::SlowProvider => "slow_provider",
            Action::SlowDomain => "slow_domain",
            Action::Fail => "fail",
            Action::Suppress => "suppress",
            Action::OpenBreaker => "open_breaker",
            Action::Brake => "brake",
        }
    }

    /// What it does, for people.
    pub fn text(self) -> &'static str {
        match self {
            Action::Retry => "Try again later.",
            Action::SlowSender => "Try again later, and send more slowly from this sender.",
            Action::SlowProvider => "Try again later, and send more slowly through this provider.",
            Action::SlowDomain => "Try again later, and send more slowly to this recipient's domain.",
            Action::Fail => "Give this message up; the contact can be reached by other messages.",
            Action::Suppress => "Give this message up, and never use this address or number again.",
            Action::OpenBreaker => {
                "Send nothing through this provider until a single attempt has succeeded; it is shown, and logged, as something to look at."
            }
            Action::Brake => {
                "Stop this sender until a person has looked; it is shown, and logged, as something to look at."
            }
        }
    }

    /// What is done where no row fits: as much as the refusal says by itself.
    pub fn of_class(class: RefusalClass) -> Self {
        match class {
            RefusalClass::Temporary => Action::Retry,
            RefusalClass::Permanent | RefusalClass::Bounce => Action::Fail,
            RefusalClass::Ours => Action::OpenBreaker,
        }
    }

    /// Whether the touch will be tried again, rather than having failed.
    pub fn tries_again(self) -> bool {
        !matches!(self, Action::Fail | Action::Suppress)
    }
}

/// One row: the codes it is about, and what is done about them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorRule {
    /// Whose codes.
    pub provider: ProviderKind,
    /// A code without its provider's prefix, or the beginning of codes with a `*` at its end.
    ///
    /// A pattern for SMTP is compared with the whole code (`550-5.1.1`) and with each of its halves (`550`, `5.1.1`).
    pub code: String,
    /// What is done.
    pub action: Action,
    /// What the code means, for people.
    #[serde(default)]
    pub note: String,
    /// Where that is written, or who decided it.
    #[serde(default)]
    pub source: String,
}

/// What the table says about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// What is done.
    pub action: Action,
    /// The row that says so; none when the class of the refusal decided.
    pub rule: Option<&'a ErrorRule>,
}

/// The rows, checked; no two have the same provider and pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorTable {
    rules: Vec<ErrorRule>,
}

/// A table that cannot be used, with the row to mend.
#[derive(Debug, Error)]
pub enum TableError {
    /// It is not an array of rows.
    #[error(
        "the error table cannot be read: {0}; it is a JSON array of {{provider, code, action, note, source}}"
    )]
    Json(#[from] serde_json::Error),
    /// A row is not acceptable.
    #[error("row {row} of the error table ({provider:?} {code:?}): {why}")]
    Row {
        /// The row's place, from 1.
        row: usize,
        /// Its provider.
        provider: ProviderKind,
        /// Its pattern.
        code: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// There are too many rows.
    #[error("the error table has {rows} rows; at most {MAX_RULES} are kept, join some with a * at their end")]
    TooMany {
        /// How many there are.
        rows: usize,
    },
}

impl Default for ErrorTable {
    fn default() -> Self {
        Self { rules: defaults::rules() }
    }
}

impl ErrorTable {
    /// A table of exactly these rows.
    ///
    /// # Errors
    /// The first row that is not acceptable: a pattern that is empty, has a `*` before its end or stands twice, or a
    /// suppression that would fit errors which are not about the recipient.
    pub fn new(rules: Vec<ErrorRule>) -> Result<Self, TableError> {
        if rules.len() > MAX_RULES {
            return Err(TableError::TooMany { rows: rules.len() });
        }
        let mut seen = HashSet::new();
        for (at, rule) in rules.iter().enumerate() {
            let twice = || "there is a row for this pattern already: keep one of them".to_owned();
            let first = seen.insert((rule.provider, rule.code.as_str()));
            rule.check().and_then(|()| if first { Ok(()) } else { Err(twice()) }).map_err(|why| {
                TableError::Row { row: at + 1, provider: rule.provider, code: rule.code.clone(), why }
            })?;
        }
        Ok(Self { rules })
    }

    /// The table in a JSON array of rows.
    ///
    /// # Errors
    /// When it is no such array, and those of [`ErrorTable::new`].
    pub fn parse(json: &str) -> Result<Self, TableError> {
        Self::new(serde_json::from_str(json)?)
    }

    /// The table with these rows put in: a row for the same pattern is replaced, any other is added.
    ///
    /// # Errors
    /// Those of [`ErrorTable::new`], with the places of rows counted in `edited`.
    pub fn merged(&self, edited: Vec<ErrorRule>) -> Result<Self, TableError> {
        let edited = Self::new(edited)?.rules;
        let replaced: HashSet<_> = edited.iter().map(|rule| (rule.provider, rule.code.as_str())).collect();
        let kept = |rule: &&ErrorRule| !replaced.contains(&(rule.provider, rule.code.as_str()));
        let mut rules: Vec<ErrorRule> = self.rules.iter().filter(kept).cloned().collect();
        rules.extend(edited);
        Self::new(rules)
    }

    /// The rows.
    pub fn rules(&self) -> &[ErrorRule] {
        &self.rules
    }

    /// What is done about the error `code`, such as `smtp/550-5.1.1`, of this class.
    ///
    /// Of the rows that fit, the one with the longest pattern decides, an exact one before a prefix, and of two as
    /// long the later. A message that could not be offered at all (`local/...`) has failed, whatever the table says.
    pub fn decide(&self, code: &str, class: RefusalClass) -> Decision<'_> {
        let Some((provider, own)) = ProviderKind::split(code) else {
            let action = if code.starts_with("local/") { Action::Fail } else { Action::of_class(class) };
            return Decision { action, rule: None };
        };
        let shapes = shapes(provider, own);
        let fit = |rule: &ErrorRule| shapes.iter().filter_map(|shape| rule.specificity(shape)).max();
        let of_provider = self.rules.iter().filter(|rule| rule.provider == provider);
        let best = of_provider.filter_map(|rule| Some((fit(rule)?, rule))).max_by_key(|(fit, _)| *fit);
        match best {
            Some((_, rule)) => Decision { action: rule.action, rule: Some(rule) },
            None => Decision { action: Action::of_class(class), rule: None },
        }
    }
}

impl ErrorRule {
    /// How well the pattern fits: the bytes it names, and whether it names all of them.
    fn specificity(&self, code: &str) -> Option<(usize, bool)> {
        match self.code.strip_suffix('*') {
            Some(prefix) => code.starts_with(prefix).then_some((prefix.len(), false)),
            None => (code == self.code).then_some((code.len(), true)),
        }
    }

    fn check(&self) -> Result<(), String> {
        let Self { provider, code, action, note, source } = self;
        let literal = code.strip_suffix('*').unwrap_or(code);
        if code.is_empty() || code.len() > MAX_PATTERN_BYTES {
            return Err(format!("a code has 1 to {MAX_PATTERN_BYTES} characters"));
        }
        if literal.contains('*') {
            return Err("a * may only stand at the end".to_owned());
        }
        if !literal.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("a code is printable ASCII without spaces".to_owned());
        }
        let doubled = provider.prefix();
        if literal.strip_prefix(doubled).is_some_and(|rest| rest.starts_with('/')) {
            return Err(format!("leave out {doubled}/, which the provider says already"));
        }
        if note.chars().count() > MAX_TEXT_CHARS || source.chars().count() > MAX_TEXT_CHARS {
            return Err(format!("a note or source has at most {MAX_TEXT_CHARS} characters"));
        }
        if *action == Action::Suppress {
            let is_prefix = code.ends_with('*');
            let before_recipient = STAGES_BEFORE_RECIPIENT
                .iter()
                .any(|stage| literal.starts_with(stage) || (is_prefix && stage.starts_with(literal)));
            if *provider == ProviderKind::Smtp && before_recipient {
                return Err("this is no error of a recipient, who must not be suppressed for it".to_owned());
            }
            if is_prefix && literal.len() < MIN_SUPPRESS_PREFIX_BYTES {
                let least = MIN_SUPPRESS_PREFIX_BYTES;
                return Err(format!(
                    "a suppression is for good, so its pattern must name at least {least} characters before the *"
                ));
            }
        }
        Ok(())
    }
}

/// The shortest prefix that may suppress: `5.1.*` may, `5*` would suppress for every refusal there is.
const MIN_SUPPRESS_PREFIX_BYTES: usize = 4;

/// The forms of a code that patterns are compared with.
fn shapes(provider: ProviderKind, own: &str) -> Vec<String> {
    let mut shapes = vec![own.to_owned()];
    if provider != ProviderKind::Smtp {
        return shapes;
    }
    let whole = own.strip_suffix(CONTENT_SUFFIX).unwrap_or(own);
    let stage = STAGES_BEFORE_RECIPIENT.into_iter().find(|stage| whole.starts_with(stage)).unwrap_or("");
    shapes.push(whole.to_owned());
    if let Some((basic, enhanced)) = whole[stage.len()..].split_once('-') {
        shapes.extend([basic, enhanced].map(|half| format!("{stage}{half}")));
    }
    shapes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(provider: ProviderKind, code: &str, action: Action) -> ErrorRule {
        ErrorRule { provider, code: code.to_owned(), action, note: String::new(), source: String::new() }
    }

    fn action(code: &str, class: RefusalClass) -> Action {
        ErrorTable::default().decide(code, class).action
    }

    #[test]
    fn every_known_error_has_its_action() {
        use Action::{Brake, Fail, OpenBreaker, Retry, SlowDomain, SlowProvider, SlowSender, Suppress};
        use RefusalClass::{Ours, Permanent, Temporary};
        for (code, class, expected) in [
            ("twilio/20429", Temporary, SlowProvider),
            ("twilio/429", Temporary, SlowProvider),
            ("twilio/21611", Temporary, SlowSender),
            ("twilio/20003", Ours, OpenBreaker),
            ("twilio/401", Ours, OpenBreaker),
            ("twilio/403", Ours, OpenBreaker),
            ("twilio/21211", Permanent, Fail),
            ("twilio/21614", Permanent, Fail),
            ("twilio/21217", Permanent, Fail),
            ("twilio/21612", Permanent, Fail),
            ("twilio/21408", Permanent, Fail),
            ("twilio/21610", Permanent, Suppress),
            ("twilio/21606", Permanent, Brake),
            ("twilio/30003", Permanent, Retry),
            ("twilio/30005", Permanent, Suppress),
            ("twilio/30006", Permanent, Suppress),
            ("twilio/30007", Permanent, Brake),
            ("twilio/99999", Permanent, Fail),
            ("smtp/421-4.7.0", Temporary, SlowDomain),
            ("smtp/421", Temporary, SlowDomain),
            ("smtp/452-4.7.28", Temporary, SlowDomain),
            ("smtp/450", Temporary, Retry),
            ("smtp/451-4.3.0", Temporary, Retry),
            ("smtp/451-4.7.1", Temporary, Retry),
            ("smtp/550-5.1.1", Permanent, Suppress),
            ("smtp/553-5.1.10", Permanent, Suppress),
            ("smtp/550-5.1.2", Permanent, Suppress),
            ("smtp/550-5.1.1/content", Permanent, Suppress),
            ("smtp/552-5.2.2", Permanent, Retry),
            ("smtp/550-5.7.1", Permanent, Brake),
            ("smtp/554-5.7.26/content", Permanent, Brake),
            ("smtp/550", Permanent, Fail),
            ("smtp/552-5.3.4", Permanent, Fail),
            ("smtp/535-5.7.8", Ours, OpenBreaker),
            ("smtp/530", Ours, OpenBreaker),
            ("smtp/530-5.7.0", Ours, OpenBreaker),
            ("smtp/auth/535-5.7.8", Ours, OpenBreaker),
            ("smtp/hello/554-5.7.1", Ours, OpenBreaker),
            ("smtp/mail/550-5.1.1", Ours, Brake),
            ("smtp/mail/451-4.7.1", Temporary, SlowSender),
            ("smtp/mail/530-5.7.0", Ours, OpenBreaker),
            ("smtp/5.1.1", Permanent, Suppress),
            ("mail/429", Temporary, SlowProvider),
            ("mail/401", Ours, OpenBreaker),
            ("mail/413", Permanent, Fail),
            ("mail/dropped-bounced-address", Permanent, Suppress),
            ("mail/dropped-invalid", Permanent, Fail),
            ("mail/bounce", Permanent, Suppress),
            ("mail/bounce-invalid-address", Permanent, Suppress),
            ("mail/bounce-reputation", Permanent, Brake),
            ("mail/blocked", Permanent, Retry),
            ("local/address", Permanent, Fail),
            ("local/message", Ours, Fail),
            ("pigeon/1", Temporary, Retry),
        ] {
            assert_eq!(action(code, class), expected, "{code}");
        }
    }

    #[test]
    fn the_most_specific_row_decides_and_the_class_where_none_fits() {
        let smtp = |code, action| rule(ProviderKind::Smtp, code, action);
        let table = ErrorTable::new(vec![
            smtp("5*", Action::Fail),
            smtp("5.7.*", Action::Brake),
            smtp("5.7.1", Action::SlowSender),
            smtp("550-5.7.1/content", Action::SlowDomain),
        ])
        .unwrap();
        let decided = |code| {
            let decision = table.decide(code, RefusalClass::Permanent);
            (decision.action, decision.rule.map(|rule| rule.code.as_str()))
        };
        assert_eq!(decided("smtp/550-5.1.1"), (Action::Fail, Some("5*")));
        assert_eq!(decided("smtp/550-5.7.9"), (Action::Brake, Some("5.7.*")));
        assert_eq!(decided("smtp/550-5.7.1"), (Action::SlowSender, Some("5.7.1")));
        assert_eq!(decided("smtp/550-5.7.1/content"), (Action::SlowDomain, Some("550-5.7.1/content")));
        assert_eq!(
            decided("smtp/mail/550-5.7.1"),
            (Action::Fail, None),
            "no row of recipients fits a sender"
        );
        assert_eq!(decided("twilio/550"), (Action::Fail, None), "a row is its provider's only");
    }

    #[test]
    fn an_edited_row_replaces_its_default_and_leaves_the_others() {
        let table = ErrorTable::default();
        let before = table.rules().len();
        let edited = table
            .merged(vec![
                rule(ProviderKind::Twilio, "30003", Action::Fail),
                rule(ProviderKind::Twilio, "4*", Action::Retry),
            ])
            .unwrap();
        assert_eq!(edited.rules().len(), before + 1);
        assert_eq!(edited.decide("twilio/30003", RefusalClass::Permanent).action, Action::Fail);
        assert_eq!(edited.decide("twilio/30005", RefusalClass::Permanent).action, Action::Suppress);
    }

    #[test]
    fn a_row_that_cannot_be_used_is_named_with_what_to_do() {
        for (code, action, part) in [
            ("", Action::Fail, "1 to"),
            ("5*1", Action::Fail, "only stand at the end"),
            ("5 1", Action::Fail, "without spaces"),
            ("smtp/550", Action::Fail, "leave out smtp/"),
            ("mail/550*", Action::Suppress, "no error of a recipient"),
            ("*", Action::Suppress, "no error of a recipient"),
            ("5*", Action::Suppress, "at least 4"),
        ] {
            let rows =
                vec![rule(ProviderKind::Smtp, "550", Action::Fail), rule(ProviderKind::Smtp, code, action)];
            let error = ErrorTable::new(rows).unwrap_err().to_string();
            assert!(error.contains("row 2") && error.contains(part), "{code}: {error}");
        }
        let twice = vec![rule(ProviderKind::Smtp, "550", Action::Fail); 2];
        assert!(ErrorTable::new(twice).unwrap_err().to_string().contains("already"));
        assert!(ErrorTable::parse("[{}]").unwrap_err().to_string().contains("provider"));
        let unknown = r#"[{"provider":"smtp","code":"550","action":"explode"}]"#;
        assert!(ErrorTable::parse(unknown).unwrap_err().to_string().contains("explode"));
        assert!(ErrorTable::new(vec![rule(ProviderKind::Smtp, "5", Action::Fail); MAX_RULES + 1]).is_err());
    }

    #[test]
    fn the_defaults_are_acceptable_explained_and_survive_being_stored() {
        let table = ErrorTable::default();
        let json = serde_json::to_string(table.rules()).unwrap();
        assert_eq!(ErrorTable::parse(&json).unwrap(), table);
        assert!(table.rules().iter().all(|rule| !rule.note.is_empty() && !rule.source.is_empty()));
        for action in Action::ALL {
            assert_eq!(serde_json::to_string(&action).unwrap(), format!("\"{}\"", action.name()));
            assert!(action.text().ends_with('.'));
        }
    }

    proptest! {
        #[test]
        fn no_error_before_the_recipient_was_named_ever_suppresses_one(
            stage in prop::sample::select(STAGES_BEFORE_RECIPIENT.to_vec()),
            basic in 400u16..600,
            enhanced in prop::option::of((4u8..=5, 0u8..8, 0u16..40)),
        ) {
            let enhanced = enhanced.map(|(a, b, c)| format!("-{a}.{b}.{c}")).unwrap_or_default();
            let code = format!("smtp/{stage}{basic}{enhanced}");
            for class in [RefusalClass::Temporary, RefusalClass::Permanent, RefusalClass::Ours] {
                prop_assert_ne!(action(&code, class), Action::Suppress);
            }
        }

        #[test]
        fn every_text_is_decided(code in "\\PC{0,40}") {
            for class in [RefusalClass::Temporary, RefusalClass::Permanent, RefusalClass::Ours] {
                let _ = action(&code, class);
            }
        }
    }
}

//! What the providers' words mean for a touch: one table, for callbacks and for polling.

use serde::{Deserialize, Serialize};

/// Who uses a word; the same word means different things for a text and for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reporter {
    /// The status of a text.
    TwilioMessage,
    /// The status of a call.
    TwilioCall,
    /// An event of a mail by HTTP.
    HttpMail,
}

/// What a provider's word means for a touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TouchResult {
    /// The provider is still at it.
    OnItsWay,
    /// It left the provider; nothing says that it arrived.
    Sent,
    /// It did not go out, or nobody took it: the provider's doing, or nobody's.
    Failed,
    /// It arrived.
    Delivered,
    /// The recipient's side refused it for good ([`crate::channel::RefusalClass::Bounce`]).
    Bounced,
}

use Reporter::{HttpMail, TwilioCall, TwilioMessage};
use TouchResult::{Bounced, Delivered, Failed, OnItsWay, Sent};

const RESULTS: &[(Reporter, &str, TouchResult)] = &[
    (TwilioMessage, "accepted", OnItsWay),
    (TwilioMessage, "scheduled", OnItsWay),
    (TwilioMessage, "queued", OnItsWay),
    (TwilioMessage, "sending", OnItsWay),
    (TwilioMessage, "sent", Sent),
    (TwilioMessage, "delivered", Delivered),
    (TwilioMessage, "read", Delivered),
    (TwilioMessage, "undelivered", Bounced),
    (TwilioMessage, "failed", Failed),
    (TwilioMessage, "canceled", Failed),
    (TwilioCall, "queued", OnItsWay),
    (TwilioCall, "initiated", OnItsWay),
    (TwilioCall, "ringing", OnItsWay),
    (TwilioCall, "answered", OnItsWay),
    (TwilioCall, "in-progress", OnItsWay),
    (TwilioCall, "completed", Delivered),
    (TwilioCall, "busy", Failed),
    (TwilioCall, "no-answer", Failed),
    (TwilioCall, "failed", Failed),
    (TwilioCall, "canceled", Failed),
    (HttpMail, "processed", Sent),
    (HttpMail, "deferred", OnItsWay),
    (HttpMail, "delivered", Delivered),
    (HttpMail, "bounce", Bounced),
    (HttpMail, "blocked", Bounced),
    (HttpMail, "dropped", Failed),
];

impl TouchResult {
    /// What `word` means; none when this version does not know it.
    pub fn of(reporter: Reporter, word: &str) -> Option<Self> {
        RESULTS.iter().find(|(by, known, _)| *by == reporter && *known == word).map(|(_, _, result)| *result)
    }

    /// Whether a touch with the result `earlier` changes to this one: callbacks come out of order, and a `sent` that
    /// was overtaken by its `delivered` takes nothing back. A mail that was delivered may still bounce later.
    pub fn supersedes(self, earlier: TouchResult) -> bool {
        self.rank() > earlier.rank()
    }

    /// Whether polling for more is pointless.
    pub fn is_final(self) -> bool {
        matches!(self, Failed | Delivered | Bounced)
    }

    fn rank(self) -> u8 {
        match self {
            OnItsWay => 0,
            Sent => 1,
            Failed => 2,
            Delivered => 3,
            Bounced => 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_that_the_providers_document_has_its_meaning_and_no_other_has_one() {
        let known = |reporter: Reporter, words: &str| {
            for word in words.split(' ') {
                assert!(TouchResult::of(reporter, word).is_some(), "{word}");
            }
        };
        known(
            TwilioMessage,
            "queued sending sent delivered undelivered failed canceled scheduled accepted read",
        );
        known(TwilioCall, "queued initiated ringing in-progress completed busy no-answer failed canceled");
        known(HttpMail, "processed deferred delivered bounce blocked dropped");
        assert_eq!(TouchResult::of(TwilioMessage, "completed"), None, "a text does not complete");
        assert_eq!(TouchResult::of(TwilioMessage, "teleported"), None);
    }

    #[test]
    fn a_report_that_was_overtaken_takes_nothing_back() {
        for (earlier, later, changes) in [
            (OnItsWay, Sent, true),
            (Sent, Delivered, true),
            (Delivered, Sent, false),
            (Delivered, OnItsWay, false),
            (Delivered, Delivered, false),
            (Delivered, Bounced, true),
            (Bounced, Delivered, false),
            (Sent, Failed, true),
            (Failed, Sent, false),
        ] {
            assert_eq!(later.supersedes(earlier), changes, "{earlier:?} then {later:?}");
        }
    }
}

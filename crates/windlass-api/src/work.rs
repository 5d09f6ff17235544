//! What producers and workers say and hear: enqueue, claim, settle, heartbeat, report, cancel, watch, edit.
//!
//! A module for each, and here what all of them show: workers by their ids, and leases.

mod claim;
mod edit;
mod enqueue;
mod running;
mod settle;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use windlass_core::lease::LeaseToken;
use windlass_core::{JobId, Lease, Rejection, Time, WorkerId};

pub use claim::{ClaimRequest, ClaimedJobShape, ClaimedShape, Want};
pub use edit::{EditRequest, EditShape};
pub use enqueue::{EMPTY_PAYLOAD, EnqueuedShape, JobRequest, Results};
pub use running::{
    BeatShape, CancelledShape, HeartbeatRequest, Ids, ReportRequest, ReportShape, SignalShape, WatchRequest,
};
pub use settle::{ErrorShape, Op, SettleRequest, Settled, Settlement};

/// A worker's id in JSON: `w-` and 16 hexadecimal digits.
pub mod worker {
    use super::{Cow, Deserialize, Deserializer, Serializer, WorkerId};
    use serde::de::Error;

    /// Reads a worker's id.
    ///
    /// # Errors
    /// A sentence that says what an id looks like.
    pub fn parse(text: &str) -> Result<WorkerId, String> {
        let digits = text.strip_prefix("w-").filter(|digits| digits.len() == 16);
        digits
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .map(WorkerId)
            .ok_or_else(|| format!("{text:?} is not a worker's id: w- and 16 hexadecimal digits"))
    }

    /// The id as text.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(id: &WorkerId, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    /// Reads the text.
    ///
    /// # Errors
    /// What an id looks like.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<WorkerId, D::Error> {
        parse(&Cow::<'de, str>::deserialize(from)?).map_err(D::Error::custom)
    }

    /// An id that may be missing.
    pub mod or_null {
        use super::{Cow, Deserialize, Deserializer, Error, Serializer, WorkerId, parse};

        /// The id as text, or null.
        ///
        /// # Errors
        /// The serializer's.
        pub fn serialize<S: Serializer>(id: &Option<WorkerId>, to: S) -> Result<S::Ok, S::Error> {
            match id {
                Some(id) => to.collect_str(id),
                None => to.serialize_none(),
            }
        }

        /// Reads the text, or null.
        ///
        /// # Errors
        /// What an id looks like.
        pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<WorkerId>, D::Error> {
            let text = Option::<Cow<'de, str>>::deserialize(from)?;
            text.map(|text| parse(&text)).transpose().map_err(D::Error::custom)
        }
    }
}

/// A lease as its holder shows it: opaque to everybody but the store that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseText {
    attempt: u32,
    token: LeaseToken,
}

impl LeaseText {
    /// The text of a lease.
    pub fn of(lease: &Lease) -> Self {
        Self { attempt: lease.attempt, token: lease.token }
    }

    /// The lease of that job.
    pub fn lease(self, job: JobId) -> Lease {
        // A store compares the token; when it runs out is the store's to know.
        Lease { job, attempt: self.attempt, token: self.token, deadline: Time::ZERO }
    }
}

impl std::fmt::Display for LeaseText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:x}.{:x}", self.attempt, self.token.counter, self.token.nonce)
    }
}

impl std::str::FromStr for LeaseText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let mut parts = text.split('.');
            let attempt = parts.next()?.parse().ok()?;
            let mut hex = || u64::from_str_radix(parts.next()?, 16).ok();
            let token = LeaseToken { counter: hex()?, nonce: hex()? };
            parts.next().is_none().then_some(Self { attempt, token })
        };
        read().ok_or_else(|| format!("{text:?} is not a lease: give it back as the claim gave it"))
    }
}

impl Serialize for LeaseText {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LeaseText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A job and the right to work on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// The job.
    pub id: JobId,
    /// The lease that its claim gave.
    pub lease: LeaseText,
}

impl Held {
    /// What a lease says of itself.
    pub fn of(lease: &Lease) -> Self {
        Self { id: lease.job, lease: LeaseText::of(lease) }
    }

    /// The lease.
    pub fn lease(self) -> Lease {
        self.lease.lease(self.id)
    }
}

fn invalid(what: &'static str) -> impl Fn(String) -> Rejection {
    move |why| Rejection::Invalid { what, why }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_core::fingerprint::Fingerprint;
    use windlass_core::job::{ErrorReport, OnConflict, OnParent, Parent, Unique, UniqueScope};
    use windlass_core::limit::LimitUse;
    use windlass_core::name::{Tag, UniqueKey};
    use windlass_core::retry::RetryPolicy;
    use windlass_core::store::{Hold, ReleaseReason, Settle};
    use windlass_core::{GroupKey, Kind, LimitName, NewJob, QueueName};

    const NOW: Time = Time(1_763_700_000_000);

    fn id(n: u128) -> JobId {
        JobId::from_parts(NOW, n)
    }

    fn lease() -> Lease {
        let token = LeaseToken { counter: 1 << 63, nonce: u64::MAX };
        Lease { job: id(1), attempt: 7, token, deadline: Time::ZERO }
    }

    fn full() -> NewJob {
        let queue = QueueName::new("email").expect("a name");
        let mut job = NewJob::new(id(2), queue, Kind::new("send").expect("a name"), *b"{\"a\": 1}");
        job.group = Some(GroupKey::new("campaign \"7\"").expect("a key"));
        job.priority = -3;
        job.run_at = Some(NOW.plus_ms(5));
        job.expires_at = Some(NOW.plus_ms(86_400_001));
        job.retry = Some(RetryPolicy::Fixed { delay_ms: 1_001, max_failures: 3 });
        job.unique = Some(Unique {
            key: UniqueKey::new("k").expect("a key"),
            scope: UniqueScope::For { ttl_ms: 1_500 },
            on_conflict: OnConflict::Replace,
        });
        job.limits = vec![LimitUse { name: LimitName::new("smtp").expect("a name"), cost: 3 }];
        job.parents = vec![Parent { id: id(3), on: OnParent::Always }];
        job.tags = vec![Tag::new("x=y").expect("a tag")];
        job.timeout_ms = Some(61_001);
        job.trace = Some("00-abc".into());
        job
    }

    #[test]
    fn a_job_goes_over_the_wire_whole() {
        let plain = NewJob::new(id(4), full().queue, full().kind, [0xff, 0x00]);
        for job in [
            full(),
            plain,
            NewJob { run_at: None, delay_ms: Some(10), ..full() },
            NewJob { payload: b"null".to_vec(), expires_at: Some(Time::NEVER), ..full() },
        ] {
            let text = serde_json::to_string(&JobRequest::of(&job)).expect("json");
            let read: JobRequest<'_> = serde_json::from_str(&text).expect("its own text");
            assert_eq!(read.job(None, id(99), NOW).expect("a job"), job, "{text}");
        }
    }

    #[test]
    fn a_settlement_goes_over_the_wire_whole() {
        let error = ErrorReport {
            class: Some("E".into()),
            message: "boom".into(),
            detail: Some("at x".into()),
            fingerprint: Fingerprint::default(),
        };
        let limit = Hold::Limit(LimitName::new("smtp").expect("a name"));
        for settle in [
            Settle::Complete { lease: lease(), result: Some(b"ok".to_vec()), then: vec![full()] },
            Settle::Complete { lease: lease(), result: None, then: vec![] },
            Settle::Complete { lease: lease(), result: Some(b"null".to_vec()), then: vec![] },
            Settle::Fail { lease: lease(), error, retry_in_ms: Some(5), fatal: true },
            Settle::Snooze { lease: lease(), delay_ms: 0, reason: "later".into(), holds: Some(limit) },
            Settle::Snooze {
                lease: lease(),
                delay_ms: 61_000,
                reason: String::new(),
                holds: Some(Hold::Queue),
            },
            Settle::Release { lease: lease(), reason: ReleaseReason::NoHandler },
        ] {
            let text = serde_json::to_string(&Settlement::of(&settle)).expect("json");
            let read: Settlement<'_> = serde_json::from_str(&text).expect("its own text");
            let settled = read.settled(|| id(99), NOW).expect("a settlement");
            assert_eq!(settled, Settled { settle, lacks_fingerprint: false }, "{text}");
        }
    }

    #[test]
    fn what_a_person_writes_is_enough() {
        let read: JobRequest<'_> =
            serde_json::from_str(r#"{"payload":{"to":"a@b.c"},"delay":"10m"}"#).expect("json");
        let queue = QueueName::new("email").expect("a name");
        let job = read.job(Some(&queue), id(5), NOW).expect("a job");
        assert_eq!((job.kind.as_str(), job.delay_ms, job.id), ("email", Some(600_000), id(5)));
        let lease = LeaseText::of(&lease());
        let text = format!(r#"{{"op":"fail","id":"{}","lease":"{lease}","error":"boom"}}"#, id(1));
        let settled = serde_json::from_str::<Settlement<'_>>(&text).expect("json").settled(|| id(9), NOW);
        assert!(settled.expect("a settlement").lacks_fingerprint);
        let claim: ClaimRequest<'_> =
            serde_json::from_str(r#"{"queues":["email",{"queue":"sms","max":3}],"max":10,"wait":"20s"}"#)
                .expect("json");
        assert_eq!(claim.queues.len(), 2);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_the_name_of_its_field() {
        let told = |text: &str| {
            let read: JobRequest<'_> = serde_json::from_str(text).expect("json");
            read.job(None, id(5), NOW).expect_err("refused").to_string()
        };
        assert!(told("{}").contains("names no queue"));
        assert!(told(r#"{"queue":"q","delay":"soon"}"#).contains("10m"));
        assert!(told(r#"{"queue":"q","on_conflict":"refuse"}"#).contains("need unique"));
        assert!(told(r#"{"queue":"q","payload":1,"payload_encoding":"text"}"#).contains("string"));
        assert!(
            serde_json::from_str::<JobRequest<'_>>(r#"{"dealy":"1s"}"#)
                .expect_err("no field")
                .to_string()
                .contains("delay")
        );
        for bad in ["", "1", "1.2", "1.2.3.4", "x.1.1", "1.g.1"] {
            assert!(bad.parse::<LeaseText>().is_err(), "{bad}");
        }
    }
}

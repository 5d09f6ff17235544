//! The monitor: what it watches for, whom it tells, what it has found, and what a notice says.

use serde::{Deserialize, Serialize};
use windlass_core::Time;

use crate::spell::span::Span;

/// What a rule watches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// A queue has more dead jobs than `above`.
    Dead,
    /// A queue has had dead jobs without a break for longer than `longer_than`.
    DeadAge,
    /// More than `above` jobs of a queue died `within` that time.
    DeadRate,
    /// Of the jobs of a queue that ended `within` that time, more than `above` of a hundred died.
    DeadShare,
    /// Jobs of a queue fail in a way that was not seen there before.
    NewFailureMode,
    /// A job of a queue has been ready for longer than `longer_than`.
    OldestReady,
    /// A queue has ready jobs, and no worker takes from it.
    NoWorker,
    /// A queue is paused.
    Paused,
    /// A queue holds `above` of a hundred of the jobs that it may, or more; beyond all of them it refuses.
    NearlyFull,
    /// A schedule is `longer_than` past its tick and has not made its job.
    ScheduleMissed,
    /// The store runs out of space and refuses enqueues.
    SpaceLow,
    /// The store has not answered this server for `longer_than`.
    StoreSilent,
}

impl When {
    /// All of them, in the order in which they are told.
    pub const ALL: [When; 12] = [
        When::Dead,
        When::DeadAge,
        When::DeadRate,
        When::DeadShare,
        When::NewFailureMode,
        When::OldestReady,
        When::NoWorker,
        When::Paused,
        When::NearlyFull,
        When::ScheduleMissed,
        When::SpaceLow,
        When::StoreSilent,
    ];

    /// The condition's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            When::Dead => "dead",
            When::DeadAge => "dead_age",
            When::DeadRate => "dead_rate",
            When::DeadShare => "dead_share",
            When::NewFailureMode => "new_failure_mode",
            When::OldestReady => "oldest_ready",
            When::NoWorker => "no_worker",
            When::Paused => "paused",
            When::NearlyFull => "nearly_full",
            When::ScheduleMissed => "schedule_missed",
            When::SpaceLow => "space_low",
            When::StoreSilent => "store_silent",
        }
    }

    /// Whether it is counted against `above`.
    pub const fn takes_above(self) -> bool {
        matches!(self, When::Dead | When::DeadRate | When::DeadShare | When::NearlyFull)
    }

    /// Whether it is measured against `longer_than`.
    pub const fn takes_longer_than(self) -> bool {
        matches!(self, When::DeadAge | When::OldestReady | When::ScheduleMissed | When::StoreSilent)
    }

    /// Whether it looks back over `within`.
    pub const fn takes_within(self) -> bool {
        matches!(self, When::DeadRate | When::DeadShare)
    }

    /// Whether it is about queues, so that `queue` says which.
    pub const fn is_of_queues(self) -> bool {
        !matches!(self, When::ScheduleMissed | When::SpaceLow | When::StoreSilent)
    }
}

impl std::str::FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|when| when.as_str() == text).ok_or_else(|| {
            let all: Vec<&str> = Self::ALL.iter().map(|when| when.as_str()).collect();
            format!("{text:?} is nothing that can be watched for; there are {}", all.join(", "))
        })
    }
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Somebody should look into it today.
    #[default]
    Warning,
    /// Somebody should look into it now.
    Critical,
}

impl Severity {
    /// The severity's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

impl std::str::FromStr for Severity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "warning" => Ok(Severity::Warning),
            "critical" => Ok(Severity::Critical),
            _ => Err(format!("{text:?} is no severity; there are warning and critical")),
        }
    }
}

/// A rule: what is watched for, where, for how long before somebody is told, and who that is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(!deny_unknown_fields))]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What it watches for.
    pub when: When,
    /// The queues, by name or by a pattern with `*` for any text; for a missed run, the schedules.
    #[serde(default = "everything")]
    pub queue: String,
    /// The count or the share of a hundred, where the condition has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<u64>,
    /// The age, where the condition has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longer_than: Option<Span>,
    /// How far it looks back, where the condition does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
    /// How long it must be so before somebody is told.
    #[serde(default, rename = "for")]
    pub held_for: Span,
    /// How long it must no longer be so before it is over.
    #[serde(default = "a_minute")]
    pub recover_after: Span,
    /// How much it matters.
    #[serde(default)]
    pub severity: Severity,
    /// The channels that are told; all of them when there is none here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// After which time they are told again while it goes on; never unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remind_every: Option<Span>,
    /// Whether it watches.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn everything() -> String {
    "*".to_owned()
}

const fn a_minute() -> Span {
    Span { ms: 60_000 }
}

const fn yes() -> bool {
    true
}

impl Rule {
    /// A rule for everything, at once, to all channels.
    pub fn of(when: When) -> Self {
        Self {
            when,
            queue: everything(),
            above: None,
            longer_than: None,
            within: None,
            held_for: Span { ms: 0 },
            recover_after: a_minute(),
            severity: Severity::Warning,
            channels: Vec::new(),
            remind_every: None,
            enabled: true,
        }
    }
}

/// A rule as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RuleShape {
    /// Its name.
    pub name: String,
    /// Whether it stands as this version brings it; a rule that was set under its name takes its place.
    pub is_default: bool,
    /// The rule.
    #[serde(flatten)]
    pub rule: Rule,
}

/// How a connection to a mail server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// TLS from the first byte (port 465).
    Wrapped,
    /// TLS after STARTTLS, or no mail at all (port 587).
    #[default]
    Starttls,
    /// None: for a server on this machine.
    None,
}

impl Tls {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Tls::Wrapped => "wrapped",
            Tls::Starttls => "starttls",
            Tls::None => "none",
        }
    }
}

impl std::str::FromStr for Tls {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Tls::Wrapped, Tls::Starttls, Tls::None]
            .into_iter()
            .find(|tls| tls.as_str() == text)
            .ok_or_else(|| format!("{text:?} is no TLS; there are wrapped, starttls and none"))
    }
}

/// Where notices go. What is secret of it is written and never shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(!deny_unknown_fields))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Channel {
    /// Lines of the server's own log, with the target `alert`.
    Log,
    /// A POST to an address, signed as Standard Webhooks says.
    Webhook {
        /// The address.
        url: String,
        /// The secret of the signature, `whsec_` and base64. One is made when none was ever said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        secret: Option<String>,
    },
    /// A mail through an SMTP server.
    Mail {
        /// The server's name.
        host: String,
        /// Its port; the usual one of its TLS unless said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
        /// How the connection is protected.
        #[serde(default)]
        tls: Tls,
        /// Who signs in there, if anybody.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// With which password.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password: Option<String>,
        /// The sender: `Windlass <alerts@example.com>`.
        from: String,
        /// The receivers.
        to: Vec<String>,
    },
}

impl Channel {
    /// The word of its kind.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Channel::Log => "log",
            Channel::Webhook { .. } => "webhook",
            Channel::Mail { .. } => "mail",
        }
    }

    /// Takes what is secret out.
    pub fn take_secret(&mut self) -> Option<String> {
        match self {
            Channel::Log => None,
            Channel::Webhook { secret, .. } => secret.take(),
            Channel::Mail { password, .. } => password.take(),
        }
    }

    /// Puts a secret in.
    pub fn put_secret(&mut self, text: Option<String>) {
        match self {
            Channel::Log => {}
            Channel::Webhook { secret, .. } => *secret = text,
            Channel::Mail { password, .. } => *password = text,
        }
    }
}

/// A channel as it is shown, and how it does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChannelShape {
    /// Its name.
    pub name: String,
    /// Whether it stands as this version brings it.
    pub is_default: bool,
    /// The channel, without what is secret.
    #[serde(flatten)]
    pub channel: Channel,
    /// Whether a secret is kept for it.
    pub has_secret: bool,
    /// When it took its last notice.
    #[serde(with = "crate::time::or_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
    pub delivered_at: Option<Time>,
    /// Findings that wait to be told.
    pub waiting: u64,
    /// Tries that failed since it took a notice.
    pub failures: u32,
    /// Why the last one failed.
    pub error: Option<String>,
    /// When the next one comes.
    #[serde(with = "crate::time::or_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
    pub next_try_at: Option<Time>,
}

/// A channel that was set. A secret that the server made is here, and nowhere again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChannelSet {
    /// Its name.
    pub name: String,
    /// The secret that was made for it, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// A notice that was sent to try a channel out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tested {
    /// The channel.
    pub channel: String,
    /// How long it took.
    pub took_ms: u64,
}

/// Where a finding stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It is so, but not for long enough.
    Pending,
    /// It has been so for long enough.
    Firing,
    /// It is over.
    Recovered,
}

impl Stage {
    /// The stage's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Stage::Pending => "pending",
            Stage::Firing => "firing",
            Stage::Recovered => "recovered",
        }
    }
}

/// Something that a rule has found, from its beginning to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Incident {
    /// Its id.
    pub id: String,
    /// The rule.
    pub rule: String,
    /// What the rule watches for.
    pub when: When,
    /// How much it matters.
    pub severity: Severity,
    /// The queue, the schedule, or `store`.
    pub subject: String,
    /// The failure mode, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// What is so, in a sentence without its subject.
    pub text: String,
    /// Where it stands.
    pub stage: Stage,
    /// Since when it is so.
    #[serde(with = "crate::time")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Instant"))]
    pub since: Time,
    /// When it had been so for long enough.
    #[serde(default, with = "crate::time::or_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
    pub fired_at: Option<Time>,
    /// When it was over.
    #[serde(default, with = "crate::time::or_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
    pub recovered_at: Option<Time>,
    /// When channels were told last.
    #[serde(default, with = "crate::time::or_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
    pub told_at: Option<Time>,
    /// Somebody looks into it: no reminder comes before this time.
    #[serde(default, with = "crate::time::or_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
    pub acknowledged_until: Option<Time>,
    /// Nothing is told of this rule and subject before this time.
    #[serde(default, with = "crate::time::or_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
    pub silenced_until: Option<Time>,
    /// The page to look at, below the server's address.
    pub page: String,
}

/// For how long an incident is acknowledged or silenced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Quiet {
    /// The span: until it is over for an acknowledgement and an hour for a silence unless said; `0s` ends it.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub length: Option<Span>,
}

/// A notice: what a channel is told, and the JSON that a webhook gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Notice {
    /// `windlass.alert`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it was made.
    #[serde(with = "crate::time")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Instant"))]
    pub timestamp: Time,
    /// What it tells.
    pub data: NoticeData,
}

/// What a notice tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NoticeData {
    /// The notice's id, the same at every try.
    pub id: String,
    /// All of it in a line.
    pub summary: String,
    /// The most that any of it matters.
    pub severity: Severity,
    /// What has begun, the worst first.
    pub firing: Vec<Incident>,
    /// What still goes on, after the time that its rule says.
    pub reminded: Vec<Incident>,
    /// What is over.
    pub recovered: Vec<Incident>,
    /// How many more there are, which the page shows.
    pub left_out: u64,
    /// The page of all of it; none when the server was not told its address.
    pub link: Option<String>,
}

//! The answer: open until when, or closed why and until when, with what was looked at.
//!
//! Three sets of hours have to be open at once, each by the clock of every zone that it is read on: the
//! campaign's ([`WindowPolicy`]), the law's ([`RuleTable`], nothing for e-mail) and the recipient's own wish.
//! The reason of a closed verdict names the campaign's first, because that is the one that a user can change.

use serde::{Deserialize, Serialize};
use windlass::Time;

use super::HORIZON_MS;
use super::holidays::Holidays;
use super::places::Place;
use super::policy::{HoursIn, OnNoZone, WindowPolicy};
use super::recipient::{Located, NoZone, Recipient, ZoneSource};
use super::rules::RuleTable;
use super::span::{self, Layer};
use super::zone::{self, Zone};
use crate::channel::Channel;

/// The name that a recipient's own hours have where a rule is named.
pub const OWN_HOURS: &str = "contact";

/// Whether a recipient may be reached, and when that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// The recipient may be reached now.
    Open {
        /// The first instant at which it is closed; `None` when it stays open for [`super::HORIZON_DAYS`].
        until: Option<Time>,
        /// What was looked at, to be stored with the send.
        evaluation: Evaluation,
    },
    /// The recipient may not be reached now.
    Closed {
        /// The earliest instant at which everything is open; `None` when there is none within
        /// [`super::HORIZON_DAYS`]: then there is nothing to wait for.
        until: Option<Time>,
        /// What is closed.
        reason: ClosedReason,
        /// What was looked at.
        evaluation: Evaluation,
    },
}

/// What keeps a message back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum ClosedReason {
    /// It is outside the campaign's hours.
    WindowClosed,
    /// It is outside the hours that a law or the recipient allows.
    RecipientQuietHours {
        /// The row of the table, or [`OWN_HOURS`].
        rule: String,
    },
    /// It is a holiday of the campaign's policy or of a law.
    Holiday {
        /// What the day is called.
        name: String,
        /// The row of the table that closes on it; `None` for the campaign's own holidays.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
    },
    /// Nothing tells the recipient's zone, and the policy is to skip such recipients.
    NoZone,
}

impl ClosedReason {
    /// The word for it in states, metrics and filters.
    pub fn code(&self) -> &'static str {
        match self {
            ClosedReason::WindowClosed => "window_closed",
            ClosedReason::RecipientQuietHours { .. } => "recipient_quiet_hours",
            ClosedReason::Holiday { .. } => "holiday",
            ClosedReason::NoZone => "no_zone",
        }
    }
}

/// What a verdict was made of: enough to say years later why a message was sent when it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The instant that was asked about.
    pub at: Time,
    /// The channel that was asked about.
    pub channel: Channel,
    /// Where the recipient's zones come from; `None` when nothing tells them.
    pub zone_source: Option<ZoneSource>,
    /// What each clock that may be on the recipient's wall showed.
    pub recipient: Vec<ZoneReading>,
    /// What the campaign's clock showed.
    pub campaign: ZoneReading,
    /// The places whose rules were looked for.
    pub places: Vec<Place>,
    /// The rows of the table that held, by id.
    pub rules: Vec<String>,
    /// The edition of the table of rules.
    pub rules_edition: String,
    /// The release of the time zone database.
    pub tzdb: String,
}

/// What a clock showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneReading {
    /// The clock's zone.
    pub zone: Zone,
    /// Local time with its offset, as RFC 3339 with milliseconds.
    pub local: String,
}

impl Verdict {
    /// Whether a message may go out now.
    pub fn is_open(&self) -> bool {
        matches!(self, Verdict::Open { .. })
    }

    /// What was looked at.
    pub fn evaluation(&self) -> &Evaluation {
        match self {
            Verdict::Open { evaluation, .. } | Verdict::Closed { evaluation, .. } => evaluation,
        }
    }
}

/// Says whether a recipient may be reached by a channel at an instant, and if not, why and when next.
///
/// Open if and only if the campaign's window and the recipient's are both open, exact to the millisecond: the
/// first instant of an interval is inside, the last is not. Where several zones are possible, it has to be
/// open in all. Takes some microseconds; nothing is read but the arguments and the tables that are compiled
/// in.
pub fn look(
    policy: &WindowPolicy,
    rules: &RuleTable,
    recipient: &Recipient,
    channel: Channel,
    at: Time,
) -> Verdict {
    match settle(policy, recipient, channel) {
        Ok(located) => {
            let conditions = Conditions::new(policy, rules, recipient, channel, &located);
            conditions.look(evaluation(policy, rules, channel, at, &located, &conditions), at)
        }
        Err(NoZone { places }) => Verdict::Closed {
            until: None,
            reason: ClosedReason::NoZone,
            evaluation: Evaluation {
                at,
                channel,
                zone_source: None,
                recipient: Vec::new(),
                campaign: reading(&policy.zone, at),
                rules: rules.holding(&places, channel).map(|rule| rule.id.clone()).collect(),
                places,
                rules_edition: rules.edition.clone(),
                tzdb: zone::database_version().to_owned(),
            },
        },
    }
}

/// Where the recipient is, or where the policy has them be.
pub(crate) fn settle(
    policy: &WindowPolicy,
    recipient: &Recipient,
    channel: Channel,
) -> Result<Located, NoZone> {
    let asked =
        channel != Channel::Email || policy.hours_in == HoursIn::Recipient || recipient.hours.is_some();
    match recipient.locate() {
        Err(NoZone { places }) if !asked || policy.no_zone == OnNoZone::UseCampaignZone => {
            Ok(Located { zones: vec![policy.zone.clone()], source: ZoneSource::Campaign, places })
        }
        located => located,
    }
}

/// Everything that has to be open at once.
pub(crate) struct Conditions<'a> {
    /// The campaign's layers first, then the law's and the recipient's.
    layers: Vec<Layer<'a>>,
    /// How many of the layers are the campaign's.
    campaign: usize,
    /// Whose the other layers are, in their order.
    rules: Vec<&'a str>,
}

impl<'a> Conditions<'a> {
    pub(crate) fn new(
        policy: &'a WindowPolicy,
        rules: &'a RuleTable,
        recipient: &'a Recipient,
        channel: Channel,
        located: &'a Located,
    ) -> Conditions<'a> {
        let mut layers = campaign_layers(policy, &located.zones);
        let (campaign, mut owners) = (layers.len(), Vec::new());
        let mut add = |owner: &'a str, layer: &dyn Fn(&'a Zone) -> Layer<'a>| {
            for zone in &located.zones {
                layers.push(layer(zone));
                owners.push(owner);
            }
        };
        for rule in rules.holding(&located.places, channel) {
            add(&rule.id, &|zone| Layer {
                zone,
                hours: &rule.hours,
                closed_on: &rule.closed_on,
                valid: Some((rule.valid_from, rule.valid_until)),
            });
        }
        if let Some(hours) = &recipient.hours {
            add(OWN_HOURS, &|zone| Layer { zone, hours, closed_on: Holidays::NONE, valid: None });
        }
        Conditions { layers, campaign, rules: owners }
    }

    /// Everything that has to be open.
    pub(crate) fn layers(&self) -> &[Layer<'a>] {
        &self.layers
    }

    fn look(&self, evaluation: Evaluation, at: Time) -> Verdict {
        let at = zone::ms(at);
        match self.closed(at) {
            None => {
                let until = span::closes(&self.layers, at, at + HORIZON_MS).map(zone::time);
                Verdict::Open { until, evaluation }
            }
            Some(reason) => {
                let until = span::opens(&self.layers, at, at + HORIZON_MS).map(zone::time);
                Verdict::Closed { until, reason, evaluation }
            }
        }
    }

    /// Why it is closed at an instant, by the first layer that is.
    fn closed(&self, at: i64) -> Option<ClosedReason> {
        self.layers.iter().enumerate().find_map(|(index, layer)| {
            let piece = layer.piece(at);
            let rule = index.checked_sub(self.campaign).map(|index| self.rules[index].to_owned());
            match (piece.open, piece.holiday, rule) {
                (true, ..) => None,
                (_, Some(name), rule) => Some(ClosedReason::Holiday { name: name.to_owned(), rule }),
                (_, None, Some(rule)) => Some(ClosedReason::RecipientQuietHours { rule }),
                (_, None, None) => Some(ClosedReason::WindowClosed),
            }
        })
    }
}

/// The campaign's window on the clocks that the policy reads it on.
pub(crate) fn campaign_layers<'a>(policy: &'a WindowPolicy, zones: &'a [Zone]) -> Vec<Layer<'a>> {
    let clocks = match policy.hours_in {
        HoursIn::Campaign => std::slice::from_ref(&policy.zone),
        HoursIn::Recipient => zones,
    };
    let layer = |zone| Layer { zone, hours: &policy.week, closed_on: &policy.holidays, valid: None };
    clocks.iter().map(layer).collect()
}

fn evaluation(
    policy: &WindowPolicy,
    rules: &RuleTable,
    channel: Channel,
    at: Time,
    located: &Located,
    conditions: &Conditions<'_>,
) -> Evaluation {
    let mut held: Vec<String> = conditions.rules.iter().map(|rule| (*rule).to_owned()).collect();
    held.dedup();
    Evaluation {
        at,
        channel,
        zone_source: Some(located.source),
        recipient: located.zones.iter().map(|zone| reading(zone, at)).collect(),
        campaign: reading(&policy.zone, at),
        places: located.places.clone(),
        rules: held,
        rules_edition: rules.edition.clone(),
        tzdb: zone::database_version().to_owned(),
    }
}

fn reading(zone: &Zone, at: Time) -> ZoneReading {
    ZoneReading { zone: zone.clone(), local: zone.text(at) }
}

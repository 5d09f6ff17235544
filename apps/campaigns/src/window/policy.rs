//! The window policy of a campaign: when it may send, by whose clock, and on which days not at all.
//!
//! A policy that can be read is valid: reading checks the zone, the hours and the holidays, and refuses a
//! policy that never opens. Whether it ever opens for a given recipient is another question, which
//! [`super::look`] answers.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::holidays::Holidays;
use super::week::Week;
use super::zone::Zone;

/// Whose clock the hours of the week are read on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoursIn {
    /// The campaign's: "9 to 20 h in New York", wherever the recipient is.
    Campaign,
    /// Each recipient's: "9 to 20 h where the recipient is". With several possible zones, in all of them at
    /// once.
    #[default]
    Recipient,
}

/// What becomes of a recipient whose zone nothing tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnNoZone {
    /// Nothing is sent; pre-flight lists them.
    #[default]
    Skip,
    /// The campaign's zone stands in, for the campaign's hours and for the legal ones, on the user's word.
    UseCampaignZone,
}

/// When a campaign may send.
///
/// ```
/// use windlass_campaigns::window::WindowPolicy;
///
/// let policy = WindowPolicy::from_json(
///     r#"{"zone": "America/New_York", "hours_in": "recipient", "week": {"mon-fri": ["09:00-20:00"]},
///         "holidays": {"calendars": ["us-federal"]}}"#,
/// )
/// .unwrap();
/// assert_eq!(policy.zone.name(), "America/New_York");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct WindowPolicy {
    /// The campaign's own zone: of its hours if they are read here, of its daily caps and of its reports.
    pub zone: Zone,
    /// Whose clock `week` and `holidays` are read on.
    pub hours_in: HoursIn,
    /// The hours of each weekday.
    pub week: Week,
    /// The days on which nothing is sent.
    #[serde(skip_serializing_if = "Holidays::is_empty")]
    pub holidays: Holidays,
    /// What becomes of a recipient whose zone nothing tells.
    pub no_zone: OnNoZone,
}

/// A policy that cannot be used; the text says what is wrong and what to write.
#[derive(Debug, Error)]
pub enum PolicyError {
    /// No hour of the week is open.
    #[error("the window never opens: give at least one day hours, as \"mon-fri\": [\"09:00-20:00\"]")]
    NeverOpens,
    /// The JSON is not a policy.
    #[error("the window policy cannot be read: {0}")]
    Json(#[from] serde_json::Error),
}

/// A policy as it is written, before it is checked as a whole.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    zone: Zone,
    #[serde(default)]
    hours_in: HoursIn,
    week: Week,
    #[serde(default)]
    holidays: Holidays,
    #[serde(default)]
    no_zone: OnNoZone,
}

impl WindowPolicy {
    /// Hours by each recipient's clock, no holidays, recipients without a zone skipped.
    ///
    /// # Errors
    ///
    /// [`PolicyError::NeverOpens`] for a week without hours.
    pub fn new(zone: Zone, week: Week) -> Result<WindowPolicy, PolicyError> {
        let policy = WindowPolicy {
            zone,
            hours_in: HoursIn::default(),
            week,
            holidays: Holidays::default(),
            no_zone: OnNoZone::default(),
        };
        policy.checked()
    }

    /// Reads a policy as it is stored.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] with what is wrong, the zone and the hours included.
    pub fn from_json(text: &str) -> Result<WindowPolicy, PolicyError> {
        Ok(serde_json::from_str(text)?)
    }

    fn checked(self) -> Result<WindowPolicy, PolicyError> {
        if self.week.is_never() { Err(PolicyError::NeverOpens) } else { Ok(self) }
    }
}

impl TryFrom<Written> for WindowPolicy {
    type Error = PolicyError;

    fn try_from(written: Written) -> Result<WindowPolicy, PolicyError> {
        let Written { zone, hours_in, week, holidays, no_zone } = written;
        WindowPolicy { zone, hours_in, week, holidays, no_zone }.checked()
    }
}

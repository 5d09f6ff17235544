//! Why nothing is sent to a contact for a while: a person has paused them, or what they wrote waits for a person.

use serde::Serialize;
use windlass::Time;

use super::{CampaignId, ReviewId, touch::Reason};

/// A pause of a contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pause {
    /// In which campaign; none is in all of them.
    pub campaign: Option<CampaignId>,
    /// When it is over by itself; none is when a person says so.
    pub until: Option<Time>,
    /// Why; may be empty.
    pub why: String,
    /// Who said so.
    pub who: String,
    /// When they did.
    pub at: Time,
}

/// What holds back whatever is to be sent to a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// A person has paused them.
    Pause(Pause),
    /// They wrote something that may be an opt-out, and nobody has decided what it means.
    Review(ReviewId),
}

impl Hold {
    /// What a message says that waits for it.
    pub fn reason(&self) -> Reason {
        match self {
            Hold::Pause(_) => Reason::ContactPaused,
            Hold::Review(_) => Reason::ReviewOpen,
        }
    }

    /// Until when; none is until a person has said something.
    pub fn until(&self) -> Option<Time> {
        match self {
            Hold::Pause(pause) => pause.until,
            Hold::Review(_) => None,
        }
    }

    /// In a person's words, or by its number.
    pub fn detail(&self) -> String {
        match self {
            Hold::Pause(pause) => pause.why.clone(),
            Hold::Review(review) => format!("review {review}"),
        }
    }
}

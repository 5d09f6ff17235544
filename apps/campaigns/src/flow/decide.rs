//! What people decide: whether a call was made that nobody knows of, and whether a text or a mail meant an opt-out.

use serde::{Deserialize, Serialize};

use super::{inbound, optout};
use crate::{
    app::{App, AppError},
    channel::Channel,
    model::{
        ReviewId,
        touch::{EventKind, TouchStatus},
        words,
    },
    store::{
        audit, events,
        events::About,
        reviews::{self, Review, ReviewKind},
        touches,
    },
};

/// A person's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The call was made.
    Made,
    /// The call was not made; it is not made now, either.
    NotMade,
    /// The contact wants no more.
    OptOut,
    /// The contact meant something else.
    NoOptOut,
}

words!(Decision);

/// Decides one of what people have to decide.
///
/// # Errors
/// A review that is none or decided, a decision that does not fit it; the database's, or the queue's.
pub async fn decide(app: &App, id: ReviewId, decision: Decision, who: &str) -> Result<Review, AppError> {
    let (now, name) = (app.now(), who.to_owned());
    let review = app
        .db()
        .write(move |tx| {
            let review = reviews::get(tx, id)?.ok_or_else(|| AppError::unknown("undecided review", id))?;
            let fits = match review.kind {
                ReviewKind::UnknownCall => matches!(decision, Decision::Made | Decision::NotMade),
                ReviewKind::PossibleOptOut => matches!(decision, Decision::OptOut | Decision::NoOptOut),
            };
            if !fits {
                let why = match review.kind {
                    ReviewKind::UnknownCall => "made or not_made",
                    ReviewKind::PossibleOptOut => "opt_out or no_opt_out",
                };
                return Err(AppError::invalid("decision", why));
            }
            if !reviews::decide(tx, id, &decision.to_string(), &name, now)? {
                return Err(AppError::Conflict("somebody else has decided it".to_owned()));
            }
            if let Some(touch) = review.touch {
                let said = match decision {
                    Decision::Made => Some(TouchStatus::Delivered),
                    Decision::NotMade => Some(TouchStatus::Failed),
                    Decision::OptOut | Decision::NoOptOut => None,
                };
                if let Some(status) = said
                    && let Some(touch) = touches::get(tx, touch)?
                {
                    let detail = format!("{name} decided: {decision}");
                    touches::told(tx, touch.id, status, "", &detail, now)?;
                    events::note(tx, &touch, EventKind::Decided, &name, &decision.to_string(), None, now)?;
                }
            }
            audit::note(tx, &name, "decide review", &id.to_string(), &decision.to_string(), now)?;
            Ok::<_, AppError>(review)
        })
        .await?;
    if decision == Decision::OptOut {
        end(app, &review, who).await?;
    }
    Ok(review)
}

/// Ends what the word itself would have ended.
async fn end(app: &App, review: &Review, who: &str) -> Result<(), AppError> {
    let channels = match review.channel {
        Channel::Email => vec![Channel::Email],
        Channel::Sms | Channel::Voicemail => optout::OF_A_NUMBER.to_vec(),
    };
    let reason = "opted out";
    if let Some(contact) = review.contact {
        let touch = match review.touch {
            Some(id) => app.db().read(move |tx| touches::get(tx, id)).await?,
            None => None,
        };
        // With its campaign, whose figures count it.
        let campaign = touch.map(|touch| touch.campaign);
        let about = About { touch: review.touch, contact: Some(contact), campaign };
        return optout::by_channels(app, contact, channels, about, reason, who).await;
    }
    if let Some(address) = inbound::writer_of(&review.text, review.channel) {
        for channel in channels {
            optout::suppress_address(app, address, None, Some(channel), reason, who).await?;
        }
    }
    Ok(())
}

//! What people decide: whether a call was made that nobody knows of, and whether a text or a mail meant an opt-out.

use serde::{Deserialize, Serialize};
use windlass::Time;

use super::{inbound, optout, pauses};
use crate::{
    app::{App, AppError},
    channel::Channel,
    db::Tx,
    model::{
        CampaignId, ReviewId,
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

/// Decides one of what people have to decide. What follows from it commits with it, so that nothing is sent in between to a
/// contact whom the question held.
///
/// # Errors
/// A review that is none or decided, a decision that does not fit it; the database's, or the queue's.
pub async fn decide(app: &App, id: ReviewId, decision: Decision, who: &str) -> Result<Review, AppError> {
    let (now, wall, name, inner) = (app.now(), app.client().now(), who.to_owned(), app.clone());
    let (review, ended) = app
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
            let ended = match decision {
                Decision::Made => told(tx, &review, TouchStatus::Delivered, (decision, &name), now)?,
                Decision::NotMade => told(tx, &review, TouchStatus::Failed, (decision, &name), now)?,
                Decision::OptOut => end(tx, &inner, &review, &name, now)?,
                Decision::NoOptOut => Vec::new(),
            };
            if review.kind == ReviewKind::PossibleOptOut
                && let Some(contact) = review.contact
            {
                pauses::woken(tx, contact, now, wall)?;
            }
            audit::note(tx, &name, "decide review", &id.to_string(), &decision.to_string(), now)?;
            Ok::<_, AppError>((review, ended))
        })
        .await?;
    optout::settle(app, ended).await?;
    Ok(review)
}

/// Writes down what became of a call.
fn told(
    tx: &mut Tx<'_>,
    review: &Review,
    status: TouchStatus,
    (decision, who): (Decision, &str),
    now: Time,
) -> Result<Vec<CampaignId>, AppError> {
    if let Some(touch) = review.touch.map_or(Ok(None), |id| touches::get(tx, id))? {
        let detail = format!("{who} decided: {decision}");
        touches::told(tx, touch.id, status, "", &detail, now)?;
        events::note(tx, &touch, EventKind::Decided, who, &decision.to_string(), None, now)?;
    }
    Ok(Vec::new())
}

/// Ends what the word itself would have ended; the campaigns that this ended for the contact.
fn end(
    tx: &mut Tx<'_>,
    app: &App,
    review: &Review,
    who: &str,
    now: Time,
) -> Result<Vec<CampaignId>, AppError> {
    let channels = match review.channel {
        Channel::Email => vec![Channel::Email],
        Channel::Sms | Channel::Voicemail => optout::OF_A_NUMBER.to_vec(),
    };
    let said = ("opted out", who);
    if let Some(contact) = review.contact {
        let touch = review.touch.map_or(Ok(None), |id| touches::get(tx, id))?;
        // With its campaign, whose figures count it.
        let campaign = touch.map(|touch| touch.campaign);
        let about = About { touch: review.touch, contact: Some(contact), campaign };
        return optout::by_channels(tx, app, &channels, (contact, about), said, now);
    }
    if let Some(address) = inbound::writer_of(&review.text, review.channel) {
        let address = optout::addressed(app, address);
        for channel in channels {
            optout::shut(tx, &address, (None, Some(channel)), said, now)?;
        }
    }
    Ok(Vec::new())
}

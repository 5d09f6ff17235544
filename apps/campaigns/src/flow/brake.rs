//! The brake on a sender whose mails bounce, or are reported as spam, too often: it is paused at once, with the figures, and
//! stays so until a person has looked.
//!
//! It is looked at with the news of each such mail, never by the clock, over the last mails alone, so that its cost does not
//! grow with what a sender has behind it. Whoever resumes a sender begins with a clean sheet: what was sent before is judged
//! no more, so that old bounces which come late do not stop it again. Mailbox providers judge by these two rates; carriers
//! filter texts by other signs, and for what they say the table of errors has an action of its own.

use windlass::Time;

use crate::{
    app::AppError,
    channel::Channel,
    db::Tx,
    model::{
        SenderId,
        sender::{BOUNCES_OF, COMPLAINTS_OF},
        touch::Touch,
    },
    store::{audit, senders},
};

/// Looks at a sender one of whose mails has bounced.
pub(super) fn after_bounce(tx: &mut Tx<'_>, touch: &Touch, now: Time) -> Result<(), AppError> {
    let Some(sender) = judged(touch) else { return Ok(()) };
    let health = senders::bounces_of_late(tx, sender, BOUNCES_OF)?;
    stop(tx, sender, health.too_many_bounces(), now)
}

/// Looks at a sender one of whose mails was reported as spam.
pub(super) fn after_complaint(tx: &mut Tx<'_>, touch: &Touch, now: Time) -> Result<(), AppError> {
    let Some(sender) = judged(touch) else { return Ok(()) };
    let health = senders::complaints_of_late(tx, sender, COMPLAINTS_OF)?;
    stop(tx, sender, health.too_many_complaints(), now)
}

fn judged(touch: &Touch) -> Option<SenderId> {
    touch.sender.filter(|_| touch.channel == Channel::Email)
}

fn stop(tx: &mut Tx<'_>, sender: SenderId, why: Option<String>, now: Time) -> Result<(), AppError> {
    // The queue hears of it from the first message that finds its sender paused.
    if let Some(why) = why
        && senders::brake(tx, sender, &why)?
    {
        audit::note(tx, "windlass", "pause sender", &sender.to_string(), &why, now)?;
    }
    Ok(())
}

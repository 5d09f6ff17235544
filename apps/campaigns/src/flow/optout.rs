//! The end of a contact's messages: an opt-out is in force for everything that waits when this answers.
//!
//! Whatever way it came (a link, a word, a complaint, a person), the address is suppressed for everybody, consent is taken
//! back, every message that waits is skipped and every sequence ends, in one transaction. A message that a provider is being
//! asked for at this moment cannot be called back; the next one looks here first.

use windlass::Time;

use super::{erasure::not_erased, share};
use crate::{
    app::{App, AppError},
    channel::Channel,
    db::Tx,
    model::{
        CampaignId, ContactId, TouchId, UserId,
        campaign::StopReason,
        contact::{Consent, Contact},
        touch::{EventKind, Reason, Touch},
    },
    optout::{EmailAddress, PhoneNumber, Unsubscribe},
    store::{
        audit, contacts, enrolments, events,
        events::About,
        suppressions::{self, Addressed},
        touches, users,
    },
};

/// What an order by text ends: it is said to a number by a number, and both ways lead to it. Mail is another address.
pub(super) const OF_A_NUMBER: [Channel; 2] = [Channel::Sms, Channel::Voicemail];
/// Why a number is suppressed whose owner has ended messages by a text.
pub const BY_TEXT: &str = "STOP by text";
/// Why texts to a number may be suppressed by a word of its owner: the second is what their provider says of one whose word
/// we have not heard.
const ENDED_BY_TEXT: [&str; 2] = [BY_TEXT, "twilio/21610"];

/// An address is not used any more by its channel, whatever else it is good for.
pub(super) fn suppress(
    tx: &mut Tx<'_>,
    app: &App,
    touch: &Touch,
    reason: &str,
    source: &str,
    now: Time,
) -> Result<(), AppError> {
    if touch.address.is_empty() {
        return Ok(());
    }
    let address = Addressed { hash: app.hash_of(&touch.address), text: Some(touch.address.clone()) };
    suppressions::add(tx, None, Some(touch.channel), &address, reason, source, now)?;
    touches::skip_all(tx, touch.contact, None, Some(touch.channel), Reason::Suppressed, now)?;
    Ok(())
}

/// The contact of a message wants no more by its channel; the campaigns that this ended for them.
pub(super) fn opt_out(
    tx: &mut Tx<'_>,
    app: &App,
    touch: &Touch,
    (reason, stopped): (&str, StopReason),
    source: &str,
    now: Time,
) -> Result<Vec<CampaignId>, AppError> {
    suppress(tx, app, touch, reason, source, now)?;
    end(tx, touch.contact, &[touch.channel], stopped, now)
}

/// Nothing that waits for the contact goes out, and none of their sequences goes on.
fn end(
    tx: &mut Tx<'_>,
    contact: ContactId,
    channels: &[Channel],
    stopped: StopReason,
    now: Time,
) -> Result<Vec<CampaignId>, AppError> {
    for channel in channels {
        contacts::revoke_consent(tx, contact, *channel, now)?;
        touches::skip_all(tx, contact, None, Some(*channel), Reason::Suppressed, now)?;
    }
    touches::skip_all(tx, contact, None, None, Reason::Stopped, now)?;
    Ok(enrolments::stop_all(tx, contact, stopped, now)?)
}

/// Somebody wants no more.
#[derive(Clone, Debug)]
pub(super) struct Order<'a> {
    /// Who, if that is known.
    pub(super) contact: Option<ContactId>,
    /// By which channels.
    pub(super) channels: &'a [Channel],
    /// At which addresses: each is suppressed by those of the channels that reach it.
    pub(super) addresses: &'a [(Channel, String)],
    pub(super) reason: &'a str,
    /// What their sequences are stopped for.
    pub(super) stopped: StopReason,
    pub(super) source: &'a str,
}

/// What obeying an order has changed.
#[derive(Clone, Debug, Default)]
pub(super) struct Obeyed {
    /// Whether an address is suppressed now that was not.
    pub(super) is_new: bool,
    /// The campaigns that it ended for the contact.
    pub(super) ended: Vec<CampaignId>,
}

/// Suppresses the addresses, and ends everything that waits for the contact.
pub(super) fn obey(tx: &mut Tx<'_>, app: &App, order: &Order<'_>, now: Time) -> Result<Obeyed, AppError> {
    let mut obeyed = Obeyed::default();
    for (channel, address) in order.addresses {
        if order.channels.contains(channel) && !address.is_empty() {
            let address = addressed(app, address);
            let (reason, source) = (order.reason, order.source);
            obeyed.is_new |= suppressions::add(tx, None, Some(*channel), &address, reason, source, now)?;
        }
    }
    if let Some(contact) = order.contact {
        obeyed.ended = end(tx, contact, order.channels, order.stopped, now)?;
    }
    Ok(obeyed)
}

/// A contact wants no more: by that channel, or by any.
///
/// # Errors
/// A contact that is none or was erased; the database's, or the queue's.
pub async fn by_contact(
    app: &App,
    contact: ContactId,
    channel: Option<Channel>,
    about: About,
    reason: &str,
    source: &str,
) -> Result<(), AppError> {
    reasoned(reason)?;
    let channels = match channel {
        Some(channel) => vec![channel],
        None => Channel::ALL.to_vec(),
    };
    let said = Said { about, reason, stopped: StopReason::ByAPerson, source };
    order(app, (contact, not_erased), channels, said).await
}

/// Ends everything for a contact who is erased.
pub(super) async fn by_erasure(app: &App, contact: ContactId, source: &str) -> Result<(), AppError> {
    let about = About { contact: Some(contact), ..About::default() };
    let said = Said { about, reason: "erased", stopped: StopReason::Erased, source };
    order(app, (contact, not_erased), Channel::ALL.to_vec(), said).await
}

/// The longest reason, in characters: a sentence or two, which pages show in full.
const REASON_CHARS_MAX: usize = 500;

fn reasoned(reason: &str) -> Result<(), AppError> {
    match reason.chars().count() {
        0..=REASON_CHARS_MAX => Ok(()),
        _ => Err(AppError::invalid("reason", format!("at most {REASON_CHARS_MAX} characters"))),
    }
}

/// A contact wanted no more by these channels when they wrote: it counts also of one who was erased since. The campaigns that
/// this ended for them.
pub(super) fn by_channels(
    tx: &mut Tx<'_>,
    app: &App,
    channels: &[Channel],
    (contact, about): (ContactId, About),
    (reason, source): (&str, &str),
    now: Time,
) -> Result<Vec<CampaignId>, AppError> {
    let find: Find = |tx, id| contacts::get(tx, id)?.ok_or_else(|| AppError::unknown("contact", id));
    let said = Said { about, reason, stopped: StopReason::OptedOut, source };
    order_in(tx, app, (contact, find), channels, &said, now)
}

/// How a contact is looked up whose messages end.
type Find = fn(&mut Tx<'_>, ContactId) -> Result<Contact, AppError>;

/// What is said of the end of a contact's messages, and by whom.
struct Said<'a> {
    about: About,
    reason: &'a str,
    stopped: StopReason,
    source: &'a str,
}

async fn order(
    app: &App,
    whose: (ContactId, Find),
    channels: Vec<Channel>,
    said: Said<'_>,
) -> Result<(), AppError> {
    let (now, inner) = (app.now(), app.clone());
    let Said { about, stopped, .. } = said;
    let (reason, source) = (said.reason.to_owned(), said.source.to_owned());
    let ended = app
        .db()
        .write(move |tx| {
            let said = Said { about, reason: &reason, stopped, source: &source };
            order_in(tx, &inner, whose, &channels, &said, now)
        })
        .await?;
    settle(app, ended).await
}

fn order_in(
    tx: &mut Tx<'_>,
    app: &App,
    (contact, find): (ContactId, Find),
    channels: &[Channel],
    said: &Said<'_>,
    now: Time,
) -> Result<Vec<CampaignId>, AppError> {
    let Said { about, reason, stopped, source } = *said;
    let person = find(tx, contact)?;
    let addresses = &addresses_of(&person)[..];
    let order = Order { contact: Some(contact), channels, addresses, reason, stopped, source };
    let obeyed = obey(tx, app, &order, now)?;
    events::note(tx, about, EventKind::OptedOut, source, reason, None, now)?;
    Ok(obeyed.ended)
}

/// Whoever has the link of a message wants no more by its channel. However often the link is used, it says so once, unless
/// something has brought the address back in between.
///
/// # Errors
/// A contact that is none; the database's, or the queue's.
pub async fn by_link(app: &App, link: &Unsubscribe) -> Result<(), AppError> {
    let (now, inner, link) = (app.now(), app.clone(), *link);
    let key = format!("link:{}", link.touch);
    let ended = app.db().write(move |tx| obey_link(tx, &inner, &link, "link", &key, now)).await?;
    settle(app, ended).await
}

/// Ends what the link of a message ends, whichever way its token came; the campaigns that it ended.
pub(super) fn obey_link(
    tx: &mut Tx<'_>,
    app: &App,
    link: &Unsubscribe,
    source: &str,
    key: &str,
    now: Time,
) -> Result<Vec<CampaignId>, AppError> {
    let id = ContactId(link.contact);
    let person = contacts::get(tx, id)?.ok_or_else(|| AppError::unknown("contact", id))?;
    let touch = touches::get(tx, TouchId(link.touch))?;
    let mut addresses = addresses_of(&person);
    // The contact may have another address by now: the one that the message went to is meant as well.
    addresses.extend(touch.iter().map(|touch| (touch.channel, touch.address.clone())));
    let (channels, addresses) = (&[link.channel][..], &addresses[..]);
    let reason = "unsubscribed";
    let stopped = StopReason::OptedOut;
    let order = Order { contact: Some(id), channels, addresses, reason, stopped, source };
    let obeyed = obey(tx, app, &order, now)?;
    let about = match &touch {
        Some(touch) => About::from(touch),
        None => About { contact: Some(id), ..About::default() },
    };
    let is_first = events::note(tx, about, EventKind::OptedOut, source, reason, Some(key), now)?;
    if !is_first && obeyed.is_new {
        events::note(tx, about, EventKind::OptedOut, source, reason, None, now)?;
    }
    Ok(obeyed.ended)
}

/// Ends the campaigns that may be over now.
pub(super) async fn settle(app: &App, ended: Vec<CampaignId>) -> Result<(), AppError> {
    for campaign in ended {
        share::end_if_over(app, campaign).await?;
    }
    Ok(())
}

fn addresses_of(person: &Contact) -> Vec<(Channel, String)> {
    let address = |channel| Some((channel, person.address(channel)?.to_owned()));
    Channel::ALL.into_iter().filter_map(address).collect()
}

/// Whether the owner of a number has ended texts to it by a text of theirs.
pub(super) fn has_stopped_by_text(tx: &mut Tx<'_>, app: &App, number: &str) -> Result<bool, AppError> {
    let hash = app.hash_of(number);
    for reason in ENDED_BY_TEXT {
        if suppressions::is_for(tx, Channel::Sms, &hash, reason)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The owner of a number that had ended texts by a text of theirs wants them again. What an error or a person has
/// suppressed stays so, and so do calls: they take a consent of their own.
pub(super) fn opt_in_by_text(
    tx: &mut Tx<'_>,
    app: &App,
    contact: Option<ContactId>,
    number: &str,
    said: &Consent,
) -> Result<(), AppError> {
    let hash = app.hash_of(number);
    for reason in ENDED_BY_TEXT {
        suppressions::lift(tx, Channel::Sms, &hash, reason)?;
    }
    // The order has taken their consent back, so their word is what gives it again.
    if let Some(contact) = contact {
        contacts::give_consent(tx, contact, said)?;
    }
    Ok(())
}

/// An address as it is compared and shown.
pub fn addressed(app: &App, address: &str) -> Addressed {
    Addressed { hash: app.hash_of(address), text: Some(address.to_owned()) }
}

/// An address must not be reached any more, whoever's it is, by one user's campaigns or by anybody's; false when it was
/// suppressed.
///
/// # Errors
/// A user who is none; the database's.
pub async fn suppress_address(
    app: &App,
    address: &str,
    user: Option<UserId>,
    channel: Option<Channel>,
    reason: &str,
    who: &str,
) -> Result<bool, AppError> {
    reasoned(reason)?;
    let now = app.now();
    let address = addressed(app, address);
    let (reason, who) = (reason.to_owned(), who.to_owned());
    let end = move |tx: &mut Tx<'_>| {
        if let Some(user) = user
            && users::get(tx, user)?.is_none()
        {
            return Err(AppError::unknown("user", user));
        }
        shut(tx, &address, (user, channel), (&reason, &who), now)
    };
    app.db().write(end).await
}

/// An address must not be reached any more by that channel, or by any, in that user's campaigns, or in anybody's; false when it
/// was suppressed.
pub(super) fn shut(
    tx: &mut Tx<'_>,
    address: &Addressed,
    (user, channel): (Option<UserId>, Option<Channel>),
    (reason, who): (&str, &str),
    now: Time,
) -> Result<bool, AppError> {
    let text = address.text.clone().unwrap_or_default();
    let done = suppressions::add(tx, user, channel, address, reason, who, now)?;
    // What others may send is left to the look before each message.
    let everybodys = Channel::ALL.into_iter().filter(|_| user.is_none());
    for one in everybodys.filter(|one| channel.is_none_or(|meant| meant == *one)) {
        if let Some(contact) = contacts::by_address(tx, one, &text)? {
            touches::skip_all(tx, contact.id, None, Some(one), Reason::Suppressed, now)?;
        }
    }
    audit::note(tx, who, "suppress address", &text, reason, now)?;
    Ok(done)
}

/// Why an address is suppressed when a person who says so gives no reason.
pub const BY_A_PERSON: &str = "by a person";

/// An address as it is suppressed, whatever kind it is of.
///
/// # Errors
/// What is neither a mailbox nor a number.
pub fn address_of(text: &str) -> Result<String, AppError> {
    if let Ok(email) = EmailAddress::parse(text) {
        return Ok(email.as_str().to_owned());
    }
    let number = PhoneNumber::parse(text, None)
        .map_err(|_| AppError::invalid("address", "neither a mailbox nor a number with its + and country"))?;
    Ok(number.as_str().to_owned())
}

/// Takes one suppression back.
///
/// # Errors
/// One that is none; the database's.
pub async fn lift(app: &App, id: i64, who: &str) -> Result<(), AppError> {
    let (now, who) = (app.now(), who.to_owned());
    app.db()
        .write(move |tx| {
            if !suppressions::delete(tx, id)? {
                return Err(AppError::unknown("suppression", id));
            }
            Ok(audit::note(tx, &who, "lift suppression", &id.to_string(), "", now)?)
        })
        .await
}

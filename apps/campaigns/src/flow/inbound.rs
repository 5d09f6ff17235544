//! A text that comes in: an order to end messages, a wish to get them again, a question, or an answer.
//!
//! A word that ends messages is obeyed at once, whoever sent it: it suppresses the number, for texts and for calls, also where
//! no contact has it ([`super::strangers`] bounds that). What may be such a wish in other words goes to a person, and counts as
//! an answer: a sequence that ends with an answer has ended, and nothing of any other is sent to them before the person has
//! decided ([`super::pauses`]). Each text is taken in once, by the provider's own name for it, however often it is told and
//! whatever was said after it.

use windlass::Time;

use super::{
    news::{self, Ending},
    optout::{self, BY_TEXT, OF_A_NUMBER, Order},
    pauses,
    strangers::{self, Fate, Question},
};
use crate::{
    app::{App, AppError},
    channel::Channel,
    db::Tx,
    hooks::CallbackEvent,
    model::{
        CampaignId, ContactId,
        campaign::StopReason,
        contact::Consent,
        provider::Provider,
        touch::{EventKind, Touch},
    },
    optout::{EmailAddress, Inbound, PhoneNumber, classify},
    store::{
        contacts, events,
        events::About,
        reviews::{self, ReviewKind},
        senders, touches,
    },
};

/// Between the address of a writer whom nobody knows and what they wrote, where people read both.
pub(super) const AFTER_WRITER: &str = ": ";

/// The number or mailbox of a writer whom nobody knows, from what people read of their text or mail.
pub(super) fn writer_of(shown: &str, channel: Channel) -> Option<&str> {
    let (address, _) = shown.split_once(AFTER_WRITER)?;
    let is_one = match channel {
        Channel::Email => EmailAddress::parse(address).is_ok(),
        Channel::Sms | Channel::Voicemail => PhoneNumber::parse(address, None).is_ok(),
    };
    is_one.then_some(address)
}

/// A text as it came.
#[derive(Clone, Debug)]
pub struct Text {
    /// The person's number.
    pub from: String,
    /// Our number.
    pub to: String,
    /// What they wrote.
    pub body: String,
    /// What the provider took it for, where it has answered by itself.
    pub read_as: Option<String>,
}

/// Takes a text in, and says what is answered, if anything is.
///
/// # Errors
/// The database's, or the queue's; the text may be told again then.
pub async fn text(
    app: &App,
    provider: &Provider,
    event: &CallbackEvent,
    text: Text,
) -> Result<Option<String>, AppError> {
    // A short code or a name is nobody's number: nothing is sent there, and nothing can be ended.
    let Ok(number) = PhoneNumber::parse(&text.from, None) else { return Ok(None) };
    let text = Text { from: number.as_str().to_owned(), ..text };
    let (now, inner, source) = (app.now(), app.clone(), provider.name.clone());
    let key = news::key(provider, &event.event_id);
    let (answer, ended) = app
        .db()
        .write(move |tx| {
            let writer = Writer::of(tx, &text)?;
            let heard = Heard { app: &inner, text: &text, writer: &writer, source: &source, key: &key, now };
            heard.take_in(tx)
        })
        .await?;
    news::settle(app, ended).await?;
    Ok(answer)
}

/// Who wrote, as far as that is known.
struct Writer {
    contact: Option<ContactId>,
    /// The message that they most likely mean.
    latest: Option<Touch>,
    /// The name behind our number.
    ours: String,
}

impl Writer {
    fn of(tx: &mut Tx<'_>, text: &Text) -> Result<Self, AppError> {
        let known = contacts::by_address(tx, Channel::Sms, &text.from)?.map(|contact| contact.id);
        let latest = touches::latest_to(tx, &text.from, &text.to)?;
        // A number that has gone from one contact to another is the one's who has it.
        let latest = latest.filter(|touch| known.is_none_or(|known| known == touch.contact));
        let contact = known.or(latest.as_ref().map(|touch| touch.contact));
        let ours = senders::by_address(tx, Channel::Sms, &text.to)?.map(|sender| sender.name);
        Ok(Self { contact, latest, ours: ours.unwrap_or_default() })
    }

    fn about(&self) -> About {
        match &self.latest {
            Some(touch) => About::from(touch),
            None => About { contact: self.contact, ..About::default() },
        }
    }

    /// A sentence in the name that the person knows.
    fn told(&self, sentence: &str) -> String {
        match self.ours.trim() {
            "" => sentence.to_owned(),
            name => format!("{name}: {sentence}"),
        }
    }
}

struct Heard<'a> {
    app: &'a App,
    text: &'a Text,
    writer: &'a Writer,
    source: &'a str,
    key: &'a str,
    now: Time,
}

/// What is answered, and the campaigns in which a sequence has ended.
type Taken = (Option<String>, Vec<CampaignId>);

impl Heard<'_> {
    fn take_in(&self, tx: &mut Tx<'_>) -> Result<Taken, AppError> {
        // The provider may know words that we do not, and has answered them then.
        let read_as = self.text.read_as.as_deref().map(str::to_ascii_uppercase);
        let may_answer = read_as.is_none();
        let meant = match read_as.as_deref() {
            Some("STOP") => Inbound::Stop { word: "stop" },
            Some("START") => Inbound::Start { word: "start" },
            Some("HELP") => Inbound::Help,
            _ => classify(&self.text.body),
        };
        let (answer, ended) = match meant {
            Inbound::Stop { .. } => self.stop(tx)?,
            Inbound::Start { .. } if optout::has_stopped_by_text(tx, self.app, &self.text.from)? => {
                (self.start(tx)?, Vec::new())
            }
            Inbound::Help => (Some(self.writer.told("Reply STOP to get no more messages.")), Vec::new()),
            Inbound::Review { .. } => (None, self.review(tx)?),
            Inbound::Start { .. } | Inbound::Reply => (None, self.reply(tx)?),
        };
        Ok((answer.filter(|_| may_answer), ended))
    }

    fn note(&self, tx: &mut Tx<'_>, kind: EventKind) -> Result<bool, AppError> {
        let about = self.writer.about();
        Ok(events::note(tx, about, kind, self.source, &self.text.body, Some(self.key), self.now)?)
    }

    fn stop(&self, tx: &mut Tx<'_>) -> Result<Taken, AppError> {
        if self.writer.contact.is_none()
            && strangers::order(tx, self.app, &OF_A_NUMBER, &self.text.from, self.now)? != Fate::Kept
        {
            return Ok((None, Vec::new()));
        }
        // A repeat that comes after a START must not undo it.
        if !self.note(tx, EventKind::OptedOut)? {
            return Ok((None, Vec::new()));
        }
        let addresses = OF_A_NUMBER.map(|channel| (channel, self.text.from.clone()));
        let order = Order {
            contact: self.writer.contact,
            channels: &OF_A_NUMBER,
            addresses: &addresses,
            reason: BY_TEXT,
            stopped: StopReason::OptedOut,
            source: self.source,
        };
        let obeyed = optout::obey(tx, self.app, &order, self.now)?;
        // One confirmation is what may still be sent (47 CFR 64.1200(a)(12)).
        let confirmed =
            self.writer.told("You get no more messages at this number. Reply START to get them again.");
        Ok((obeyed.is_new.then_some(confirmed), obeyed.ended))
    }

    fn start(&self, tx: &mut Tx<'_>) -> Result<Option<String>, AppError> {
        if !self.note(tx, EventKind::OptedIn)? {
            return Ok(None);
        }
        let said = Consent {
            channel: Channel::Sms,
            basis: "express".to_owned(),
            proof: format!("text {}: {}", self.key, self.text.body),
            source: self.source.to_owned(),
            given_at: self.now,
            revoked_at: None,
        };
        optout::opt_in_by_text(tx, self.app, self.writer.contact, &self.text.from, &said)?;
        Ok(Some(self.writer.told("You get messages at this number again. Reply STOP to end them.")))
    }

    fn review(&self, tx: &mut Tx<'_>) -> Result<Vec<CampaignId>, AppError> {
        let touch = self.writer.latest.as_ref().map(|touch| touch.id);
        let about = (touch, self.writer.contact, Channel::Sms);
        if self.writer.contact.is_some() {
            let kind = ReviewKind::PossibleOptOut;
            reviews::open(tx, kind, about, &self.text.body, self.key, self.now)?;
        } else {
            let from = &self.text.from;
            let text = format!("{from}{AFTER_WRITER}{}", self.text.body);
            let question = Question { from: Some(from), about, text: &text, key: self.key };
            strangers::ask(tx, self.app, &question, self.now)?;
        }
        let ended = self.reply(tx)?;
        if let Some(contact) = self.writer.contact {
            pauses::tell(tx, contact, self.now)?;
        }
        Ok(ended)
    }

    /// Of somebody who is nobody's contact an answer is not kept.
    fn reply(&self, tx: &mut Tx<'_>) -> Result<Vec<CampaignId>, AppError> {
        if self.writer.contact.is_none() || !self.note(tx, EventKind::Replied)? {
            return Ok(Vec::new());
        }
        match &self.writer.latest {
            Some(touch) => news::stop(tx, touch, Ending::Reply, self.now),
            None => Ok(Vec::new()),
        }
    }
}

//! A mail that comes in: a bounce, a complaint, a wish to get no more, an answer.
//!
//! Everything in a mail can be forged, so each consequence has its proof. A message is known by its Message-ID, which is
//! signed. A report of a mail server must name it **and** the address that the message went to before anything is done about
//! it; a complaint, too, or it returns our own unsubscribe link. A mail to the `mailto:` of List-Unsubscribe shows the token of
//! that link, whoever sends it. An order to end messages ends those to the address that it comes from: whoever forges an
//! address can end its mail, and nothing else. What might concern somebody else goes to a person.
//!
//! What a machine answers in somebody's place is noted and has no consequence: an absence is no answer, so that the sequence
//! goes on. Each mail is taken in once, by [`InboundMail::key`], whichever way and however often it comes.

use serde::{Deserialize, Serialize};
use windlass::Time;

use super::{
    inbound::AFTER_WRITER,
    news::{self, Ending},
    optout::{self, Order},
    pauses,
    strangers::{self, Fate, Question},
};
use crate::{
    app::{App, AppError},
    channel::Channel,
    db::Tx,
    hooks::{
        What,
        inbound_mail::{Complaint, Done, InboundMail, Kind, Notice, Returned},
    },
    model::{
        CampaignId, ContactId, TouchId,
        campaign::StopReason,
        touch::{EventKind, Touch, TouchStatus},
        words,
    },
    optout::{EmailAddress, Inbound, Unsubscribe, classify_mail},
    store::{
        contacts, events,
        events::About,
        reviews::{self, ReviewKind},
        senders, touches,
    },
};

/// Why a mailbox is suppressed whose owner has ended messages by a mail.
pub const BY_MAIL: &str = "STOP by mail";
/// The messages to one address among which the one is looked for that an answer without a thread most likely means.
const LATEST: u32 = 20;
/// Where the token stands in a link that ends messages.
const LINK: &str = "/u/";

/// What a mail was taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Became {
    /// A message has come back.
    Bounced,
    /// A message could not be delivered in time.
    Failed,
    /// A message has arrived.
    Delivered,
    /// A message is not delivered yet.
    Delayed,
    /// A contact has called a message unwanted.
    Complained,
    /// Its writer gets no more.
    OptedOut,
    /// It may mean that its writer wants no more: a person decides.
    Doubtful,
    /// A contact has answered.
    Replied,
    /// A machine has answered.
    AutoAnswered,
    /// It was taken in before, or changes nothing of what is known.
    Known,
    /// Its writer is no contact, and there were too many of them: nothing is kept of it ([`super::strangers`]).
    Dropped,
    /// It has nothing to do with any message of ours.
    Nothing,
}

words!(Became);

/// What was made of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Taken {
    /// What it was taken for.
    pub became: Became,
    /// The message that it is about, if there is one.
    pub message: Option<TouchId>,
}

impl Taken {
    const NOTHING: Taken = Taken { became: Became::Nothing, message: None };

    fn of(became: Became, touch: Option<&Touch>) -> Self {
        Self { became, message: touch.map(|touch| touch.id) }
    }
}

/// Takes a mail in; `source` is who has brought it, as the events of messages name them.
///
/// # Errors
/// The database's, or the queue's; the mail may be brought again then.
pub async fn take(app: &App, mail: InboundMail, source: &str) -> Result<Taken, AppError> {
    let (now, inner, source) = (app.now(), app.clone(), source.to_owned());
    let (taken, ended) = app
        .db()
        .write(move |tx| Heard { app: &inner, mail: &mail, source: &source, now }.take_in(tx))
        .await?;
    news::settle(app, ended).await?;
    Ok(taken)
}

/// What was made of it, and the campaigns in which a sequence has ended.
type Outcome = (Taken, Vec<CampaignId>);

struct Heard<'a> {
    app: &'a App,
    mail: &'a InboundMail,
    source: &'a str,
    now: Time,
}

/// Who wrote, as far as that is known.
struct Writer {
    /// Their address, as addresses are compared.
    address: Option<String>,
    /// The contact who has that address.
    known: Option<ContactId>,
    /// The contact whom it is about: they, or whom the message that they answer went to.
    contact: Option<ContactId>,
    /// The message that they answer, or most likely mean.
    touch: Option<Touch>,
    /// Whether that message went to them.
    is_addressee: bool,
}

impl Writer {
    fn about(&self) -> About {
        match &self.touch {
            Some(touch) => About::from(touch),
            None => About { contact: self.contact, ..About::default() },
        }
    }

    /// Whether nobody of ours has their address, and no message of ours that they mean went to it.
    fn is_stranger(&self) -> bool {
        self.known.is_none() && (self.touch.is_none() || !self.is_addressee)
    }

    /// Whom a question about what they wrote concerns.
    fn meant(&self) -> Option<ContactId> {
        self.touch.as_ref().map(|touch| touch.contact).or(self.contact)
    }
}

impl Heard<'_> {
    fn take_in(&self, tx: &mut Tx<'_>) -> Result<Outcome, AppError> {
        // What was said since must not be undone by a mail of before.
        if let Some(message) = events::of_key(tx, &self.mail.key)? {
            return Ok((Taken { became: Became::Known, message }, Vec::new()));
        }
        // What one of us writes in a thread comes by here, too, where a mail server copies what goes out.
        let is_theirs =
            |from: &String| from.eq_ignore_ascii_case(self.mail.from.as_deref().unwrap_or_default());
        if senders::all(tx)?
            .iter()
            .any(|sender| sender.channel == Channel::Email && is_theirs(&sender.address))
        {
            return Ok((Taken::NOTHING, Vec::new()));
        }
        match &self.mail.kind {
            Kind::Report { returned, notices } => self.report(tx, returned, notices),
            Kind::Complaint(complaint) => self.complaint(tx, complaint),
            Kind::Unsubscribe { proof } => self.unsubscribe(tx, proof),
            Kind::Automatic { sign } => self.automatic(tx, sign),
            Kind::Written { text } => self.written(tx, text),
        }
    }

    /// The mail of ours that one of these is the Message-ID of.
    fn ours<'i>(
        &self,
        tx: &mut Tx<'_>,
        ids: impl Iterator<Item = &'i String>,
    ) -> Result<Option<Touch>, AppError> {
        for id in ids {
            let Some(number) = self.app.message_of(id) else { continue };
            let touch = touches::get(tx, number)?.filter(is_mail_to_somebody);
            if touch.is_some() {
                return Ok(touch);
            }
        }
        Ok(None)
    }

    /// The mail of ours that a report returns, or answers.
    fn returned(&self, tx: &mut Tx<'_>, returned: &Returned) -> Result<Option<Touch>, AppError> {
        self.ours(tx, returned.message_id.iter().chain(&self.mail.answers))
    }

    /// Whether one of these is the address that a message went to.
    fn names(&self, touch: &Touch, recipients: &[String]) -> bool {
        let address = self.app.hash_of(&touch.address);
        !touch.address.is_empty() && recipients.iter().any(|one| self.app.hash_of(one) == address)
    }

    fn report(&self, tx: &mut Tx<'_>, returned: &Returned, notices: &[Notice]) -> Result<Outcome, AppError> {
        let Some(touch) = self.returned(tx, returned)? else { return Ok((Taken::NOTHING, Vec::new())) };
        // A forwarded mail that comes back from where it went on is about another address than ours.
        let Some(notice) = notices.iter().find(|notice| self.names(&touch, &notice.recipients)) else {
            return Ok((Taken::NOTHING, Vec::new()));
        };
        let touch = self.as_sent(tx, touch)?;
        let became = match notice.done {
            Done::Failed | Done::Delivered => return self.over(tx, touch, notice),
            Done::Delayed if touch.status == TouchStatus::Sent => {
                let why = notice.progress.why.as_deref().unwrap_or_default();
                let is_new = self.note(tx, &touch, EventKind::Delayed, why)?;
                if is_new { Became::Delayed } else { Became::Known }
            }
            Done::Delayed | Done::HandedOn | Done::Other => Became::Known,
        };
        Ok((Taken::of(became, Some(&touch)), Vec::new()))
    }

    /// A message has arrived or come back: the same follows as where its provider says so.
    fn over(&self, tx: &mut Tx<'_>, touch: Touch, notice: &Notice) -> Result<Outcome, AppError> {
        let (what, key) = (What::Progress(notice.progress.clone()), self.mail.key.as_str());
        let ended = news::take_in(tx, self.app, &touch, &what, self.source, key, self.now)?;
        let status = touches::get(tx, touch.id)?.map_or(touch.status, |touch| touch.status);
        let became = match status {
            _ if status == touch.status => Became::Known,
            TouchStatus::Bounced => Became::Bounced,
            TouchStatus::Failed => Became::Failed,
            _ => Became::Delivered,
        };
        Ok((Taken::of(became, Some(&touch)), ended))
    }

    /// A message of which a mail server tells was sent, whatever became of the worker that did.
    fn as_sent(&self, tx: &mut Tx<'_>, touch: Touch) -> Result<Touch, AppError> {
        if touches::seen(tx, touch.id, self.now)? {
            let said = "a mail server has told of it";
            events::note(tx, &touch, EventKind::Sent, self.source, said, None, self.now)?;
        }
        // Also where the worker was quicker than this, a moment ago.
        touches::get(tx, touch.id)?.ok_or_else(|| AppError::unknown("touch", touch.id))
    }

    fn complaint(&self, tx: &mut Tx<'_>, complaint: &Complaint) -> Result<Outcome, AppError> {
        let links =
            complaint.returned.list_unsubscribe.as_deref().map_or(Vec::new(), |value| self.links(value));
        let touch = match links.first() {
            // Whoever returns our link has the mail, whatever else their report leaves out.
            Some(link) => touches::get(tx, TouchId(link.touch))?,
            None => {
                let touch = self.returned(tx, &complaint.returned)?;
                touch.filter(|touch| self.names(touch, &complaint.recipients))
            }
        };
        let Some(touch) = touch else { return Ok((Taken::NOTHING, Vec::new())) };
        let ended =
            news::take_in(tx, self.app, &touch, &What::Complained, self.source, &self.mail.key, self.now)?;
        Ok((Taken::of(Became::Complained, Some(&touch)), ended))
    }

    /// The links of ours in a List-Unsubscribe.
    fn links(&self, value: &str) -> Vec<Unsubscribe> {
        let within = value.split(['<', '>', ',', ' ']);
        let tokens = within.filter_map(|address| Some(address.rsplit_once(LINK)?.1));
        let links = tokens.filter_map(|token| Unsubscribe::from_token(token, self.app.secrets()).ok());
        links.filter(|link| link.channel == Channel::Email).collect()
    }

    fn unsubscribe(&self, tx: &mut Tx<'_>, proof: &str) -> Result<Outcome, AppError> {
        if let Ok(link) = Unsubscribe::from_token(proof, self.app.secrets()) {
            return match optout::obey_link(tx, self.app, &link, self.source, &self.mail.key, self.now) {
                Ok(ended) => {
                    Ok((Taken { became: Became::OptedOut, message: Some(TouchId(link.touch)) }, ended))
                }
                // Who has been erased gets nothing anyway.
                Err(AppError::Unknown { .. }) => Ok((Taken::NOTHING, Vec::new())),
                Err(error) => Err(error),
            };
        }
        // A number alone is anybody's guess: it says which message, and the writer's address whether it was theirs.
        let number = proof.parse().ok().map(TouchId);
        let touch = number.map_or(Ok(None), |id| touches::get(tx, id))?;
        let touch = touch.filter(is_mail_to_somebody);
        let writer = self.writer(tx, touch)?;
        let writer = if writer.is_addressee { writer } else { self.writer(tx, None)? };
        self.stop(tx, &writer, "unsubscribe")
    }

    fn automatic(&self, tx: &mut Tx<'_>, sign: &str) -> Result<Outcome, AppError> {
        let thread = self.ours(tx, self.mail.answers.iter())?;
        let writer = self.writer(tx, thread)?;
        if writer.contact.is_none() {
            return Ok((Taken::NOTHING, Vec::new()));
        }
        let detail = format!("{} ({sign})", self.mail.subject);
        let is_new = self.note(tx, writer.about(), EventKind::AutoAnswered, detail.trim())?;
        let became = if is_new { Became::AutoAnswered } else { Became::Known };
        Ok((Taken::of(became, writer.touch.as_ref()), Vec::new()))
    }

    fn written(&self, tx: &mut Tx<'_>, text: &str) -> Result<Outcome, AppError> {
        let thread = self.ours(tx, self.mail.answers.iter())?;
        let writer = self.writer(tx, thread)?;
        match classify_mail(&self.mail.subject, text) {
            Inbound::Stop { word } => self.stop(tx, &writer, word),
            Inbound::Review { .. } => {
                let asked = self.doubt(tx, &writer, text)?;
                let (taken, ended) = self.reply(tx, &writer, text)?;
                self.hold(tx, &writer)?;
                let became = match asked {
                    Fate::Kept => Became::Doubtful,
                    Fate::Dropped if taken.became == Became::Nothing => Became::Dropped,
                    Fate::Known | Fate::Dropped => taken.became,
                };
                Ok((Taken { became, ..taken }, ended))
            }
            Inbound::Start { .. } | Inbound::Help | Inbound::Reply => self.reply(tx, &writer, text),
        }
    }

    /// Who wrote; `touch` is the message that they say they mean.
    fn writer(&self, tx: &mut Tx<'_>, touch: Option<Touch>) -> Result<Writer, AppError> {
        let address = self.mail.from.as_deref().and_then(|from| EmailAddress::parse(from).ok());
        let address = address.map(|address| address.key());
        let known = match &address {
            Some(address) => contacts::by_address(tx, Channel::Email, address)?.map(|contact| contact.id),
            None => None,
        };
        let touch = match (touch, &address) {
            (Some(touch), _) => Some(touch),
            (None, Some(address)) => {
                let latest = touches::latest_mails_to(tx, address, LATEST)?;
                // A mailbox that has gone from one contact to another is the one's who has it.
                let latest: Vec<Touch> = latest
                    .into_iter()
                    .filter(|touch| known.is_none_or(|known| known == touch.contact))
                    .collect();
                self.most_likely(tx, latest)?
            }
            (None, None) => None,
        };
        let is_addressee = touch
            .as_ref()
            .is_none_or(|touch| known == Some(touch.contact) || self.names(touch, address.as_slice()));
        let contact = known.or(touch.as_ref().map(|touch| touch.contact));
        Ok(Writer { address, known, contact, touch, is_addressee })
    }

    /// Of the latest messages to somebody, the one in the name of whom they write to; else the latest.
    fn most_likely(&self, tx: &mut Tx<'_>, latest: Vec<Touch>) -> Result<Option<Touch>, AppError> {
        for touch in &latest {
            let sender = touch.sender.map_or(Ok(None), |id| senders::get(tx, id))?;
            let is_of =
                |to: &String| sender.as_ref().is_some_and(|sender| sender.address.eq_ignore_ascii_case(to));
            if self.mail.to.iter().any(is_of) {
                return Ok(Some(touch.clone()));
            }
        }
        Ok(latest.into_iter().next())
    }

    fn note(
        &self,
        tx: &mut Tx<'_>,
        about: impl Into<About>,
        kind: EventKind,
        detail: &str,
    ) -> Result<bool, AppError> {
        Ok(events::note(tx, about, kind, self.source, detail, Some(&self.mail.key), self.now)?)
    }

    /// Ends mail to whoever wrote. Where the message that they mean went to somebody else, a person decides about that one.
    fn stop(&self, tx: &mut Tx<'_>, writer: &Writer, word: &str) -> Result<Outcome, AppError> {
        let Some(address) = &writer.address else { return Ok((Taken::NOTHING, Vec::new())) };
        let (contact, touch) = match writer.is_addressee {
            true => (writer.contact, writer.touch.as_ref()),
            false => (writer.known, None),
        };
        let fate = match writer.is_stranger() {
            true => strangers::order(tx, self.app, &[Channel::Email], address, self.now)?,
            false => Fate::Kept,
        };
        let about = match touch {
            Some(touch) => About::from(touch),
            None => About { contact, ..About::default() },
        };
        if fate == Fate::Kept && !self.note(tx, about, EventKind::OptedOut, word)? {
            return Ok((Taken::of(Became::Known, touch), Vec::new()));
        }
        let mut addresses = vec![(Channel::Email, address.clone())];
        // The contact may have another address by now: the one that the message went to is meant as well.
        addresses.extend(touch.iter().map(|touch| (Channel::Email, touch.address.clone())));
        let order = Order {
            contact,
            channels: &[Channel::Email],
            addresses: &addresses,
            reason: BY_MAIL,
            stopped: StopReason::OptedOut,
            source: self.source,
        };
        let mut ended = Vec::new();
        if !writer.is_addressee {
            self.doubt(tx, writer, word)?;
            // Whoever writes in the thread of a message answers it: nothing goes on while a person decides. It comes before
            // what ends messages, as `colleagues` wants it.
            if let Some(touch) = &writer.touch {
                let key = format!("{}#answer", self.mail.key);
                events::note(tx, touch, EventKind::Replied, self.source, word, Some(&key), self.now)?;
                ended.extend(news::stop(tx, touch, Ending::Reply, self.now)?);
            }
        }
        if fate == Fate::Kept {
            ended.extend(optout::obey(tx, self.app, &order, self.now)?.ended);
        }
        if !writer.is_addressee {
            self.hold(tx, writer)?;
        }
        let became = if fate == Fate::Dropped { Became::Dropped } else { Became::OptedOut };
        Ok((Taken::of(became, touch.or(writer.touch.as_ref())), ended))
    }

    /// Puts the question before people, about the contact of the message that is meant. Of a stranger who gets no mail
    /// anyway, as one who was erased does not, nothing is kept.
    fn doubt(&self, tx: &mut Tx<'_>, writer: &Writer, text: &str) -> Result<Fate, AppError> {
        let touch = writer.touch.as_ref();
        let contact = writer.meant();
        let address = writer.address.as_deref();
        let is_nothing = match address {
            _ if contact.is_some() => false,
            Some(address) => strangers::is_suppressed(tx, self.app, &[Channel::Email], address)?,
            None => true,
        };
        if is_nothing {
            return Ok(Fate::Known);
        }
        let text = match address {
            Some(address) if contact.is_none() || !writer.is_addressee => {
                format!("{address}{AFTER_WRITER}{text}")
            }
            _ => text.to_owned(),
        };
        let about = (touch.map(|touch| touch.id), contact, Channel::Email);
        let key = &self.mail.key;
        if writer.is_stranger() {
            let question = Question { from: address, about, text: &text, key };
            return strangers::ask(tx, self.app, &question, self.now);
        }
        let is_new = reviews::open(tx, ReviewKind::PossibleOptOut, about, &text, key, self.now)?;
        Ok(if is_new { Fate::Kept } else { Fate::Known })
    }

    /// Has what waits for the contact whom the question is about wait for a person.
    fn hold(&self, tx: &mut Tx<'_>, writer: &Writer) -> Result<(), AppError> {
        writer.meant().map_or(Ok(()), |contact| pauses::tell(tx, contact, self.now))
    }

    /// Of somebody who is nobody's contact an answer is not kept.
    fn reply(&self, tx: &mut Tx<'_>, writer: &Writer, text: &str) -> Result<Outcome, AppError> {
        if writer.contact.is_none() {
            return Ok((Taken::NOTHING, Vec::new()));
        }
        let touch = writer.touch.as_ref();
        if !self.note(tx, writer.about(), EventKind::Replied, text)? {
            return Ok((Taken::of(Became::Known, touch), Vec::new()));
        }
        let ended = match touch {
            Some(touch) => news::stop(tx, touch, Ending::Reply, self.now)?,
            None => Vec::new(),
        };
        Ok((Taken::of(Became::Replied, touch), ended))
    }
}

/// Whether it is a mail that may have gone out, to somebody who has not been erased since.
fn is_mail_to_somebody(touch: &Touch) -> bool {
    touch.channel == Channel::Email && touch.sending_at.is_some() && !touch.address.is_empty()
}

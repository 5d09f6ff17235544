//! Whether a text whose reply was lost is with the provider: the list of messages, asked before it is sent again.
//!
//! The provider has no idempotency and no tag of ours, so a message is recognised by its sender, its recipient, its
//! text and its time. The list is not narrowed by `DateSent`: a message that still waits in the provider's queue has
//! no such date, and it is the very one that must not be sent twice. Sender and recipient narrow it well enough, and
//! the newest come first.

use jiff::fmt::rfc2822::DateTimeParser;
use serde::Deserialize;
use windlass::Time;

use super::{super::sms::is_messaging_service, SendError, TwilioClient, read_bounded, whole_text};

/// How much earlier than ours the provider's clock may put a message that we sent at `since`; its times are cut to
/// whole seconds, which takes up to one of the two.
const CLOCK_DIFFERENCE_MS: u64 = 2_000;
/// How many messages are asked for at once.
const PAGE_SIZE: &str = "50";
/// How many pages are read; 1,000 texts between two numbers since a crash are no campaign's.
const MAX_PAGES: usize = 20;
/// The most that is read of a page: 50 messages of 1,600 characters, each escaped to six bytes, and their fields.
const MAX_PAGE_BYTES: usize = 1024 * 1024;
/// What a trial account puts in front of every text.
const TRIAL_PREFIX: &str = "Sent from your Twilio trial account - ";

/// A message that the provider has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What the provider calls it.
    pub sid: String,
    /// How far it is, in the provider's words.
    pub status: String,
}

#[derive(Deserialize)]
struct Page {
    messages: Vec<Message>,
    #[serde(default)]
    next_page_uri: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    sid: String,
    status: String,
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    messaging_service_sid: Option<String>,
    #[serde(default)]
    body: Option<String>,
    date_created: String,
}

impl TwilioClient {
    /// The message from `from` to `to` with this text that was created at or after `since` and whose id is not
    /// `known`; the earliest when there are several, none when the provider has none.
    ///
    /// `since` is the moment before the attempt whose reply was lost, and may be two seconds ahead of the provider's
    /// clock. `known` says of an id whether another touch has it already, so that two touches with the same text do
    /// not claim one message. `from` may be a messaging service's id.
    ///
    /// # Errors
    /// When the provider does not answer, answers with an error, or has more messages than are read: then nothing is
    /// known, and the message may have arrived.
    pub async fn find_sms(
        &self,
        to: &str,
        from: &str,
        body: &str,
        since: Time,
        known: &(dyn Fn(&str) -> bool + Sync),
    ) -> Result<Option<Found>, SendError> {
        let service = is_messaging_service(from);
        let mut url = self.account.join("Messages.json").map_err(SendError::reply_lost)?;
        url.query_pairs_mut().append_pair("To", to).append_pair("PageSize", PAGE_SIZE);
        if !service {
            url.query_pairs_mut().append_pair("From", from);
        }
        let earliest = since.minus_ms(CLOCK_DIFFERENCE_MS);
        let mut found: Option<(Time, Found)> = None;
        for _ in 0..MAX_PAGES {
            let page = self.page(url).await?;
            let mut all_older = true;
            for message in page.messages {
                let created = created(&message)?;
                all_older &= created < earliest;
                let sender = if service { &message.messaging_service_sid } else { &message.from };
                let ours = created >= earliest
                    && message.to.as_deref() == Some(to)
                    && sender.as_deref() == Some(from)
                    && message.body.as_deref().is_some_and(|seen| is_same_text(seen, body))
                    && !known(&message.sid);
                if ours && found.as_ref().is_none_or(|(earlier, _)| created <= *earlier) {
                    found = Some((created, Found { sid: message.sid, status: message.status }));
                }
            }
            let next = page.next_page_uri.filter(|uri| !uri.is_empty());
            let Some(next) = next.filter(|_| !all_older) else {
                return Ok(found.map(|(_, found)| found));
            };
            url = self.same_origin(&next)?;
        }
        Err(SendError::reply_lost(format!("more than {MAX_PAGES} pages of messages from {from} to {to}")))
    }

    async fn page(&self, url: reqwest::Url) -> Result<Page, SendError> {
        // Whatever goes wrong with this question, the message that it is about may have arrived.
        let request = self.http.get(url).basic_auth(&self.account_sid, Some(&self.auth_token));
        let answer = request.send().await.map_err(|error| SendError::reply_lost(whole_text(&error)))?;
        let status = answer.status();
        let body = read_bounded(answer, MAX_PAGE_BYTES).await.map_err(SendError::reply_lost)?;
        if !status.is_success() {
            return Err(SendError::reply_lost(format!("{status} for the list of messages")));
        }
        serde_json::from_slice(&body)
            .map_err(|error| SendError::reply_lost(format!("the list of messages: {error}")))
    }

    /// The address of the next page, which must be the provider's own: the token goes with it.
    fn same_origin(&self, uri: &str) -> Result<reqwest::Url, SendError> {
        let url = self.account.join(uri).map_err(SendError::reply_lost)?;
        if url.origin() == self.account.origin() {
            return Ok(url);
        }
        Err(SendError::reply_lost(format!("the list of messages goes on elsewhere, at {url}")))
    }
}

fn created(message: &Message) -> Result<Time, SendError> {
    let parsed = DateTimeParser::new().parse_timestamp(&message.date_created);
    let ms = parsed.ok().and_then(|at| u64::try_from(at.as_millisecond()).ok());
    let why = || format!("{} was created at {:?}, which is no time", message.sid, message.date_created);
    ms.map(Time).ok_or_else(|| SendError::reply_lost(why()))
}

/// Whether the provider's text is ours: it may have been put behind the trial's words, and cut at its white end.
fn is_same_text(seen: &str, ours: &str) -> bool {
    seen.strip_prefix(TRIAL_PREFIX).unwrap_or(seen).trim_end() == ours.trim_end()
}

//! What is handed out to somebody who asks why a message was sent: every message of a campaign or of a contact with what was
//! checked right before it, and everything that is known of one contact.
//!
//! An export is a stream of lines that reads the database page by page, so that its size does not matter. CSV is for people:
//! one line for each message, no cell a formula to a spreadsheet. JSON lines have everything, each line with the kind of
//! `record` that it is. What a page has is of one state of the database; what changes between two pages may be told late.

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use windlass::Time;

use crate::{
    app::{App, AppError},
    db::{DbError, Tx},
    import::guard,
    model::{CampaignId, ContactId, TouchId, touch::Touch},
    store::{contacts, enrolments, events, lists, senders, suppressions, touches},
    window::Zone,
};

/// Messages of one piece of the stream.
const PAGE: u32 = 500;

/// How an export is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A table with a row of headings.
    #[default]
    Csv,
    /// A JSON object on each line.
    JsonLines,
}

impl Format {
    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Csv => "text/csv; charset=utf-8",
            Format::JsonLines => "application/x-ndjson",
        }
    }
}

/// The headings of the table of messages.
const HEADINGS: [&str; 33] = [
    "touch",
    "campaign",
    "contact",
    "step",
    "channel",
    "version",
    "template",
    "variant",
    "status",
    "reason",
    "detail",
    "address",
    "sender",
    "job",
    "provider_ref",
    "provider_status",
    "sends",
    "content_hash",
    "created_at",
    "sending_at",
    "sent_at",
    "ended_at",
    "checked_at",
    "recipient_zones",
    "recipient_local",
    "zone_source",
    "campaign_local",
    "places",
    "rules",
    "rules_edition",
    "consent_basis",
    "consent_proof",
    "consent_given_at",
];

/// The messages of a campaign with their evidence, by contact and step.
pub fn of_campaign(
    app: &App,
    id: CampaignId,
    format: Format,
) -> impl Stream<Item = Result<Bytes, AppError>> + use<> {
    let pages = Pages { app: app.clone(), cursor: Some((ContactId(0), 0, String::new())), begun: false };
    stream::try_unfold(pages, move |mut pages| async move {
        let Some(after) = pages.cursor.take() else { return Ok(None) };
        let read = move |tx: &mut Tx<'_>| {
            let (contact, key, channel) = &after;
            touches::of_campaign(tx, id, (*contact, *key, channel), PAGE)
                .and_then(|page| with_senders(tx, page))
        };
        let page = pages.app.db().read(read).await?;
        if let Some((last, _)) = page.last().filter(|_| page.len() >= PAGE as usize) {
            pages.cursor = Some((last.contact, last.step_key, last.channel.name().to_owned()));
        }
        let lines = written(&page, format, !pages.begun)?;
        pages.begun = true;
        Ok(Some((lines, pages)))
    })
}

/// Where the stream of a campaign's messages is.
struct Pages {
    app: App,
    cursor: Option<(ContactId, u32, String)>,
    begun: bool,
}

/// Everything that is known of a contact: as JSON lines all of it, as a table their messages.
///
/// # Errors
/// A contact that is none; the database's.
pub async fn of_contact(app: &App, id: ContactId, format: Format) -> Result<Bytes, AppError> {
    let inner = app.clone();
    app.db()
        .read(move |tx| {
            let contact = contacts::get(tx, id)?.ok_or_else(|| AppError::unknown("contact", id))?;
            let sent = touches::of_contact(tx, id, u32::MAX)?;
            let sent = with_senders(tx, sent)?;
            if format == Format::Csv {
                return written(&sent, format, true);
            }
            let mut lines = vec![line("contact", &json!(contact))];
            lines.push(line("lists", &json!({ "names": lists::names_of(tx, id)? })));
            for consent in contacts::consents(tx, id)? {
                lines.push(line("consent", &json!(consent)));
            }
            for address in [&contact.email, &contact.phone].into_iter().flatten() {
                for hash in inner.hashes_of(address) {
                    for suppression in suppressions::of_address(tx, &hash)? {
                        lines.push(line("suppression", &json!(suppression)));
                    }
                }
            }
            for enrolment in enrolments::of_contact(tx, id)? {
                lines.push(line("enrolment", &json!(enrolment)));
            }
            lines.push(String::from_utf8_lossy(&written(&sent, format, false)?).into_owned());
            for (touch, event) in events::of_contact(tx, id)? {
                let mut about = json!(event);
                about["touch"] = json!(touch);
                lines.push(line("event", &about));
            }
            Ok(Bytes::from(lines.concat()))
        })
        .await
}

/// A line of JSON that says of what kind it is.
fn line(kind: &str, what: &serde_json::Value) -> String {
    let mut line = json!({ "record": kind });
    if let (Some(line), Some(what)) = (line.as_object_mut(), what.as_object()) {
        line.extend(what.clone());
    }
    line.to_string() + "\n"
}

/// Each message with the address in whose name it was sent.
fn with_senders(tx: &mut Tx<'_>, page: Vec<Touch>) -> Result<Vec<(Touch, String)>, DbError> {
    let mut known = std::collections::HashMap::new();
    let mut all = Vec::with_capacity(page.len());
    for touch in page {
        let address = match touch.sender {
            None => String::new(),
            Some(id) => match known.get(&id) {
                Some(address) => String::clone(address),
                None => {
                    let address = senders::get(tx, id)?.map_or(String::new(), |sender| sender.address);
                    known.insert(id, address.clone());
                    address
                }
            },
        };
        all.push((touch, address));
    }
    Ok(all)
}

fn written(page: &[(Touch, String)], format: Format, is_first: bool) -> Result<Bytes, AppError> {
    if format == Format::JsonLines {
        let lines = page.iter().map(|(touch, sender)| {
            let mut about = json!(touch);
            about["sender_address"] = json!(sender);
            line("touch", &about)
        });
        return Ok(Bytes::from(lines.collect::<String>()));
    }
    let mut csv = csv::Writer::from_writer(Vec::new());
    let failed = |error: csv::Error| AppError::Db(DbError::Row(error.to_string()));
    if is_first {
        csv.write_record(HEADINGS).map_err(failed)?;
    }
    for (touch, sender) in page {
        csv.write_record(cells(touch, sender).iter().map(|cell| guard(cell).into_owned())).map_err(failed)?;
    }
    let bytes = csv.into_inner().map_err(|error| AppError::Db(DbError::Row(error.to_string())))?;
    Ok(Bytes::from(bytes))
}

/// A moment as people and programs read it: RFC 3339 in UTC.
fn moment(at: Option<Time>) -> String {
    at.zip(Zone::named("UTC").ok()).map_or(String::new(), |(at, utc)| utc.text(at))
}

fn cells(touch: &Touch, sender: &str) -> [String; HEADINGS.len()] {
    let TouchId(id) = touch.id;
    let evidence = touch.evidence.as_ref();
    let window = evidence.map(|evidence| &evidence.window);
    let consent = evidence.and_then(|evidence| evidence.consent.as_ref());
    let joined = |texts: Vec<String>| texts.join(" ");
    let readings = |local: bool| {
        let zones = window.map_or(&[][..], |window| &window.recipient);
        let said = zones.iter().map(|one| if local { one.local.clone() } else { one.zone.to_string() });
        joined(said.collect())
    };
    let source = window.and_then(|window| window.zone_source).map(|source| json!(source));
    [
        id.to_string(),
        touch.campaign.to_string(),
        touch.contact.to_string(),
        touch.step.to_string(),
        touch.channel.to_string(),
        touch.version.to_string(),
        touch.template.map_or(String::new(), |template| template.to_string()),
        touch.variant.map_or(String::new(), |variant| variant.to_string()),
        touch.status.to_string(),
        touch.reason.map_or(String::new(), |reason| reason.to_string()),
        touch.detail.clone(),
        touch.address.clone(),
        sender.to_owned(),
        touch.job.clone(),
        touch.provider_ref.clone().unwrap_or_default(),
        touch.provider_status.clone(),
        touch.sends.to_string(),
        touch.content_hash.clone(),
        moment(Some(touch.created_at)),
        moment(touch.sending_at),
        moment(touch.sent_at),
        moment(touch.ended_at),
        moment(evidence.map(|evidence| evidence.checked_at)),
        readings(false),
        readings(true),
        source.and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default(),
        window.map_or(String::new(), |window| window.campaign.local.clone()),
        joined(window.map_or(Vec::new(), |window| window.places.iter().map(ToString::to_string).collect())),
        joined(window.map_or(Vec::new(), |window| window.rules.clone())),
        window.map_or(String::new(), |window| window.rules_edition.clone()),
        consent.map_or(String::new(), |consent| consent.basis.clone()),
        consent.map_or(String::new(), |consent| consent.proof.clone()),
        moment(consent.map(|consent| consent.given_at)),
    ]
}

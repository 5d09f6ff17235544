//! Templates that people write, and a test of what they say: sent at once, counted for no campaign, noted in the log of
//! changes.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    app::{App, AppError},
    channel::{Channel, Email, MachineDetection, SendOutcome, Sms, Twiml, Voicemail},
    flow::{
        content::Content,
        gateways::Gateway,
        optout,
        send::{RING_S, quoted},
    },
    model::{UserId, provider::Provider, sender::Sender},
    store::{
        audit, providers, suppressions,
        templates::{self, StoredTemplate},
    },
    template::{Draft, Finding, Template, Variable, lint},
};

/// The longest name of anything, in characters: what fits into a table.
const NAME_CHARS_MAX: usize = 100;

/// The next version of a template.
#[derive(Clone, Debug)]
pub struct NewText {
    /// Its name.
    pub name: String,
    /// For which channel.
    pub channel: Channel,
    /// A mail's subject.
    pub subject: String,
    /// The text.
    pub body: String,
    /// A mail's HTML, if it has one.
    pub html: Option<String>,
}

/// A name as it is kept.
///
/// # Errors
/// An empty one, or one that fits into no table.
pub fn named(name: &str) -> Result<String, AppError> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX {
        return Err(AppError::invalid("name", format!("1 to {NAME_CHARS_MAX} characters")));
    }
    Ok(name.to_owned())
}

/// Writes the next version of a template.
///
/// # Errors
/// A text that makes no sense, with its field; the database's.
pub async fn write(app: &App, text: NewText, who: &str) -> Result<StoredTemplate, AppError> {
    let name = named(&text.name)?;
    for (field, part) in [
        ("subject", text.subject.as_str()),
        ("body", &text.body),
        ("html", text.html.as_deref().unwrap_or_default()),
    ] {
        Template::parse(part).map_err(|why| AppError::invalid(field, why))?;
    }
    let (now, who) = (app.now(), who.to_owned());
    app.db()
        .write(move |tx| {
            let NewText { channel, subject, body, html, .. } = &text;
            let id = templates::write(tx, &name, *channel, subject, body, html.as_deref(), now)?;
            audit::note(tx, &who, "write template", &name, &id.to_string(), now)?;
            templates::get(tx, id)?.ok_or_else(|| AppError::unknown("template", id))
        })
        .await
}

/// What a launch would say of a template, as far as that is known before anybody is chosen to get it.
pub fn findings(template: &StoredTemplate) -> Vec<Finding> {
    let parse = |text: &str| Template::parse(text).ok();
    let html = template.html.as_deref().unwrap_or_default();
    let (Some(subject), Some(body), Some(html)) =
        (parse(&template.subject), parse(&template.body), parse(html))
    else {
        return Vec::new();
    };
    // Nobody can lack a field where nobody is asked.
    let used = [&subject, &body, &html].into_iter().flat_map(Template::variables);
    let fields: BTreeSet<String> = used.filter_map(Variable::field).map(str::to_owned).collect();
    lint(&Draft {
        channel: template.channel,
        first_touch: true,
        subject: (template.channel == Channel::Email).then_some(&subject),
        text: (!template.body.is_empty()).then_some(&body),
        html: template.html.as_ref().map(|_| &html),
        fields: &fields,
        contacts: 0,
        lacking: &BTreeMap::new(),
        sample: None,
    })
}

/// Sends that content once, in the name of that sender. It is no message of any campaign: no cap counts it and no window
/// holds it back, but nobody who is suppressed gets it.
///
/// # Errors
/// An address that is none or is suppressed, a sender that is paused, an account whose settings make no sense; the
/// database's. What the provider says is the outcome.
pub(crate) async fn test(
    app: &App,
    sender: &Sender,
    to: &str,
    name: &str,
    content: &Content,
    who: &str,
) -> Result<SendOutcome, AppError> {
    let to = optout::address_of(to)?;
    if to.contains('@') != (sender.channel == Channel::Email) {
        let why = format!("{} goes to another kind of address", sender.channel);
        return Err(AppError::invalid("address", why));
    }
    if sender.paused {
        return Err(AppError::Conflict(format!("{} is paused", sender.address)));
    }
    let (hashes, channel, id) = (app.hashes_of(&to), sender.channel, sender.provider);
    let provider = app
        .db()
        .read(move |tx| {
            for hash in &hashes {
                if let Some(why) = suppressions::why(tx, UserId(0), channel, hash)? {
                    return Err(AppError::invalid("address", format!("it is suppressed: {why}")));
                }
            }
            providers::get(tx, id)?.ok_or_else(|| AppError::unknown("provider", id))
        })
        .await?;
    let outcome = ask(app, &provider, sender, &to, content).await?;
    let said = match &outcome {
        SendOutcome::Sent { provider_id } => format!("sent as {provider_id}"),
        SendOutcome::Refused(no) => format!("{}: {}", no.code, no.why),
        SendOutcome::Unanswered(error) => error.to_string(),
    };
    let detail = format!("{} to {to} in the name of {}: {said}", sender.channel, sender.address);
    let (now, who, name) = (app.now(), who.to_owned(), name.to_owned());
    app.db().write(move |tx| audit::note(tx, &who, "send test", &name, &detail, now)).await?;
    Ok(outcome)
}

async fn ask(
    app: &App,
    provider: &Provider,
    sender: &Sender,
    to: &str,
    content: &Content,
) -> Result<SendOutcome, AppError> {
    let gateway = app.gateways().of(provider).map_err(|why| AppError::invalid("provider", why))?;
    let domain = sender.address.rsplit_once('@').map_or("localhost", |(_, domain)| domain);
    let message_id = format!("<test{}.{}@{domain}>", app.client().now().0, app.instance());
    let from = format!("{} <{}>", quoted(&sender.name), sender.address);
    let email = Email {
        message_id: &message_id,
        touch: "test",
        campaign: "test",
        from: if sender.name.is_empty() { &sender.address } else { &from },
        reply_to: None,
        to,
        to_name: "",
        subject: &content.subject,
        text: &content.text,
        html: content.html.as_deref(),
        unsubscribe: None,
        feedback_id: None,
        date: app.now(),
        headers: &[],
    };
    Ok(match (gateway, sender.channel) {
        (Gateway::Smtp(smtp), Channel::Email) => smtp.send(&email).await,
        (Gateway::HttpMail(http), Channel::Email) => http.send(&email).await,
        (Gateway::Twilio(twilio), Channel::Sms) => {
            let (from, body) = (sender.address.as_str(), content.text.as_str());
            twilio.send_sms(&Sms { to, from, body, status_callback: None, headers: &[] }).await
        }
        (Gateway::Twilio(twilio), Channel::Voicemail) => {
            let call = Voicemail {
                to,
                from: &sender.address,
                twiml: Twiml::Inline(&content.text),
                status_callback: None,
                machine_detection: MachineDetection::BeforeSpeech,
                ring_s: Some(RING_S),
                headers: &[],
            };
            twilio.place_call(&call).await
        }
        (_, channel) => {
            return Err(AppError::invalid("provider", format!("it does not carry {channel}")));
        }
    })
}

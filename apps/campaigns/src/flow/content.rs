//! What a message says: a template, a contact, a campaign and a sender make one text.

use ring::digest::{SHA256, digest};

use super::{check, next::Place};
use crate::{
    app::{App, AppError},
    channel::Channel,
    db::Tx,
    model::{campaign::Campaign, contact::Contact, sender::Sender, touch::Touch},
    store::{
        senders,
        settings::hex,
        templates::{self, StoredTemplate},
    },
    template::{Mode, RenderError, Template, TemplateError, Values},
};

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// A mail's subject; empty otherwise.
    pub subject: String,
    /// The text.
    pub text: String,
    /// A mail's HTML, if it has one.
    pub html: Option<String>,
}

/// The variable of the link that ends all mail.
pub(crate) const UNSUBSCRIBE_URL: &str = "unsubscribe_url";

/// Why there is nothing to say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// The template cannot be read.
    #[error("the template makes no sense: {0}")]
    Template(#[from] TemplateError),
    /// A variable has no value.
    #[error(transparent)]
    Render(#[from] RenderError),
}

impl ContentError {
    /// Whether that variable is one of those without a value.
    pub fn lacks(&self, name: &str) -> bool {
        matches!(self, Self::Render(RenderError::Missing(names)) if names.iter().any(|lacking| lacking.as_str() == name))
    }
}

impl Content {
    /// What that template says to that contact.
    ///
    /// # Errors
    /// When the template makes no sense, or a variable has no value.
    pub fn of(template: &StoredTemplate, values: &Values) -> Result<Self, ContentError> {
        let subject = Template::parse(&template.subject)?.render(values, Mode::Line)?;
        let text = Template::parse(&template.body)?.render(values, Mode::Text)?;
        let html = match &template.html {
            Some(html) => Some(Template::parse(html)?.render(values, Mode::Html)?),
            None => None,
        };
        Ok(Self { subject, text, html })
    }

    /// Its hash, which is kept with the message.
    pub fn hash(&self) -> String {
        let parts = [self.subject.as_str(), &self.text, self.html.as_deref().unwrap_or_default()];
        hex(digest(&SHA256, parts.join("\u{0}").as_bytes()).as_ref())
    }
}

/// What a template's variables stand for in one message.
pub fn values(
    campaign: &Campaign,
    contact: &Contact,
    sender: &Sender,
    unsubscribe_url: Option<&str>,
) -> Values {
    let mut values = values_of(contact);
    values.set("campaign.name", campaign.name.as_str());
    values.set("sender.name", sender.name.as_str());
    let own = if sender.channel == Channel::Email { "sender.email" } else { "sender.phone" };
    values.set(own, sender.address.as_str());
    values.set("postal_address", campaign.postal_address.as_str());
    if let Some(url) = unsubscribe_url {
        values.set(UNSUBSCRIBE_URL, url);
    }
    values
}

/// Those of them that are the contact's own.
pub fn values_of(contact: &Contact) -> Values {
    let mut values = Values::new();
    let fields: serde_json::Map<String, serde_json::Value> =
        contact.fields.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    values.set_fields(&fields);
    // Columns of an import that have a standard name are no fields to whoever writes a template.
    for name in ["first_name", "last_name", "company", "title", "city"] {
        if let Some(value) = contact.fields.get(name) {
            values.set(name, value.as_str());
        }
    }
    if let Some((first, last)) = contact.name.trim().split_once(' ') {
        if !contact.fields.contains_key("first_name") {
            values.set("first_name", first);
        }
        if !contact.fields.contains_key("last_name") {
            values.set("last_name", last.trim());
        }
    } else if !contact.fields.contains_key("first_name") {
        values.set("first_name", contact.name.trim());
    }
    values.set("name", contact.name.as_str());
    for (name, value) in [
        ("email", &contact.email),
        ("phone", &contact.phone),
        ("state", &contact.state),
        ("zip", &contact.zip),
        ("country", &contact.country),
    ] {
        if let Some(value) = value {
            values.set(name, value.as_str());
        }
    }
    values
}

/// What a message says, by the template, the campaign, the contact and the sender as they are now; none where there is no
/// sender yet, or a variable has no value.
///
/// # Errors
/// The database's.
pub(crate) fn of_touch(tx: &mut Tx<'_>, app: &App, touch: &Touch) -> Result<Option<Content>, AppError> {
    let Some(sender) = touch.sender.map_or(Ok(None), |id| senders::get(tx, id))? else { return Ok(None) };
    let place = Place::of(tx, touch.campaign, touch.contact)?;
    let said = check::said_by(&place, touch)?;
    let Some(template) = templates::get(tx, said.template)? else { return Ok(None) };
    let url = check::unsubscribe_url(app, touch);
    let values = values(&place.campaign, &place.contact, &sender, url.as_deref());
    Ok(Content::of(&template, &values).ok())
}

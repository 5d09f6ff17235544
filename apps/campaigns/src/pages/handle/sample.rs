//! A campaign, a sender and a contact that are made up, for a preview of what is written.

use std::collections::BTreeMap;

use windlass::Time;

use crate::{
    app::App,
    channel::Channel,
    flow::content,
    model::{ContactId, ProviderId, contact::Contact, sender::Sender},
    template::Values,
};

/// A sender of that channel.
pub(super) fn sender(channel: Channel) -> Sender {
    let address = if channel == Channel::Email { "sam@example.com" } else { "+12125550100" };
    Sender { name: "Sam Sender".to_owned(), ..Sender::new(channel, address, ProviderId(0), "UTC", 0) }
}

/// Somebody of whom everything is known, with those fields besides.
pub(super) fn contact<'a>(fields: impl Iterator<Item = &'a str>) -> Contact {
    let known = [("company", "Example Inc."), ("title", "Head of Examples"), ("city", "Springfield")];
    let mut all: BTreeMap<String, String> =
        known.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    all.extend(fields.map(|name| (name.to_owned(), format!("[{name}]"))));
    let text = |text: &str| Some(text.to_owned());
    Contact {
        id: ContactId(0),
        email: text("alex@example.org"),
        phone: text("+12125550123"),
        name: "Alex Example".to_owned(),
        time_zone: text("America/New_York"),
        country: text("US"),
        state: text("NY"),
        zip: text("10001"),
        account: text("Example Inc."),
        fields: all,
        created_at: Time(0),
        erased_at: None,
    }
}

/// What a template's variables stand for in a message to that contact, of a campaign that is made up.
pub(super) fn values(app: &App, contact: &Contact, sender: &Sender) -> Values {
    let url = format!("{}/u/a-link-of-their-own", app.public_url().unwrap_or("https://send.example.com"));
    let mut values = content::values_of(contact);
    let own = if sender.channel == Channel::Email { "sender.email" } else { "sender.phone" };
    values
        .set("campaign.name", "The campaign")
        .set("postal_address", "1 Main Street, Springfield")
        .set("sender.name", sender.name.as_str())
        .set(own, sender.address.as_str())
        .set("unsubscribe_url", url);
    values
}

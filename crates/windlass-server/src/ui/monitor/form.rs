//! The forms of a rule and of a channel: texts as people write them, and what they mean.

use windlass_api::monitor::{Channel, ChannelShape, Rule, RuleShape};
use windlass_api::spell::span::{self, Span};

use crate::ui::form::Fields;

/// A rule's form.
pub(super) struct RuleForm {
    pub(super) name: String,
    pub(super) when: String,
    pub(super) queue: String,
    pub(super) above: String,
    pub(super) longer_than: String,
    pub(super) within: String,
    pub(super) held_for: String,
    pub(super) recover_after: String,
    pub(super) severity: String,
    pub(super) channels: String,
    pub(super) remind_every: String,
    pub(super) enabled: bool,
}

impl Default for RuleForm {
    fn default() -> Self {
        Self {
            name: String::new(),
            when: "dead".to_owned(),
            queue: "*".to_owned(),
            above: String::new(),
            longer_than: String::new(),
            within: String::new(),
            held_for: "0s".to_owned(),
            recover_after: "1m".to_owned(),
            severity: "warning".to_owned(),
            channels: String::new(),
            remind_every: String::new(),
            enabled: true,
        }
    }
}

fn spell(span: Option<Span>) -> String {
    span.map(|span| span::exact(span.ms)).unwrap_or_default()
}

/// Names with commas or spaces between.
fn list(text: &str) -> Vec<String> {
    let parts = text.split([',', '\n']).map(str::trim);
    parts.filter(|part| !part.is_empty()).map(ToOwned::to_owned).collect()
}

impl RuleForm {
    pub(super) fn of(shape: &RuleShape) -> Self {
        let rule = &shape.rule;
        Self {
            name: shape.name.clone(),
            when: rule.when.as_str().to_owned(),
            queue: rule.queue.clone(),
            above: rule.above.map(|n| n.to_string()).unwrap_or_default(),
            longer_than: spell(rule.longer_than),
            within: spell(rule.within),
            held_for: spell(Some(rule.held_for)),
            recover_after: spell(Some(rule.recover_after)),
            severity: rule.severity.as_str().to_owned(),
            channels: rule.channels.join(", "),
            remind_every: spell(rule.remind_every),
            enabled: rule.enabled,
        }
    }

    pub(super) fn read(fields: &Fields) -> Self {
        let word = |name: &str| fields.word(name).to_owned();
        Self {
            name: word("name"),
            when: word("when"),
            queue: word("queue"),
            above: word("above"),
            longer_than: word("longer_than"),
            within: word("within"),
            held_for: word("for"),
            recover_after: word("recover_after"),
            severity: word("severity"),
            channels: word("channels"),
            remind_every: word("remind_every"),
            enabled: fields.ticked("enabled"),
        }
    }

    /// The rule that is meant; what its condition has no use for must be empty.
    pub(super) fn rule(&self) -> Result<Rule, String> {
        let of_field = |name: &str, why: String| format!("{name}: {why}");
        let optional = |name: &str, text: &str| match text {
            "" => Ok(None),
            text => text.parse::<Span>().map(Some).map_err(|why| of_field(name, why)),
        };
        let above = match self.above.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| format!("above: {text:?} is no whole number"))?),
        };
        let usual = Rule::of(self.when.parse().map_err(|why| of_field("when", why))?);
        Ok(Rule {
            queue: if self.queue.is_empty() { usual.queue } else { self.queue.clone() },
            above,
            longer_than: optional("longer_than", &self.longer_than)?,
            within: optional("within", &self.within)?,
            held_for: optional("for", &self.held_for)?.unwrap_or(usual.held_for),
            recover_after: optional("recover_after", &self.recover_after)?.unwrap_or(usual.recover_after),
            severity: self.severity.parse().map_err(|why| of_field("severity", why))?,
            channels: list(&self.channels),
            remind_every: optional("remind_every", &self.remind_every)?,
            enabled: self.enabled,
            ..usual
        })
    }
}

/// A channel's form.
#[derive(Default)]
pub(super) struct ChannelForm {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) has_secret: bool,
    pub(super) url: String,
    secret: String,
    pub(super) host: String,
    pub(super) port: String,
    pub(super) tls: String,
    pub(super) user: String,
    password: String,
    pub(super) from: String,
    pub(super) to: String,
}

impl ChannelForm {
    pub(super) fn of(shape: &ChannelShape) -> Self {
        let kind = shape.channel.as_str().to_owned();
        let form = Self { name: shape.name.clone(), kind, has_secret: shape.has_secret, ..Self::default() };
        match shape.channel.clone() {
            Channel::Log => form,
            Channel::Webhook { url, .. } => Self { url, ..form },
            Channel::Mail { host, port, tls, user, from, to, .. } => Self {
                host,
                port: port.map(|port| port.to_string()).unwrap_or_default(),
                tls: tls.as_str().to_owned(),
                user: user.unwrap_or_default(),
                from,
                to: to.join(", "),
                ..form
            },
        }
    }

    pub(super) fn read(fields: &Fields) -> Self {
        let word = |name: &str| fields.word(name).to_owned();
        Self {
            name: word("name"),
            kind: word("type"),
            has_secret: false,
            url: word("url"),
            secret: word("secret"),
            host: word("host"),
            port: word("port"),
            tls: word("tls"),
            user: word("user"),
            password: fields.text("password").to_owned(),
            from: word("from"),
            to: word("to"),
        }
    }

    /// The form to be shown again.
    pub(super) fn without_secrets(self) -> Self {
        Self { secret: String::new(), password: String::new(), ..self }
    }

    /// The channel that is meant.
    pub(super) fn channel(&self) -> Result<Channel, String> {
        let filled = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        match self.kind.as_str() {
            "log" => Ok(Channel::Log),
            "webhook" => Ok(Channel::Webhook { url: self.url.clone(), secret: filled(&self.secret) }),
            "mail" => Ok(Channel::Mail {
                host: self.host.clone(),
                port: match self.port.as_str() {
                    "" => None,
                    text => Some(text.parse().map_err(|_| format!("port: {text:?} is no port"))?),
                },
                tls: self.tls.parse().map_err(|why| format!("tls: {why}"))?,
                user: filled(&self.user),
                password: filled(&self.password),
                from: self.from.clone(),
                to: list(&self.to),
            }),
            other => Err(format!("type: there is no channel of type {other:?}")),
        }
    }
}

/// Where a channel leads, in a few words.
pub(super) fn to_words(channel: &Channel) -> String {
    match channel {
        Channel::Log => "the server's log, target alert".to_owned(),
        Channel::Webhook { url, .. } => url.clone(),
        Channel::Mail { to, host, .. } => format!("{} by {host}", to.join(", ")),
    }
}

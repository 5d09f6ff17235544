//! What people do with the monitor: rules and channels are looked at, set and removed, incidents quieted, channels tried.

use std::time::Instant;

use windlass_api::monitor::{
    Channel, ChannelSet, ChannelShape, Incident, Quiet, Rule, RuleShape, Stage, Tested,
};
use windlass_core::Time;

use super::config::{self, Config};
use super::record::{self, Post, Record, Silence};
use super::{notice, rules as rule_words};
use crate::answer::Fault;
use crate::app::App;

/// Channels of one store: what waits at each is kept beside the incidents.
const CHANNELS_MOST: usize = 8;
/// Silences at once.
const SILENCES_MOST: usize = 200;
/// How long nothing is told, unless said.
const SILENCE_MS: u64 = 3_600_000;
/// The longest time of quiet: what is to be quiet for longer is a rule to be switched off.
const QUIET_MS_MOST: u64 = 30 * 86_400_000;

/// What a key that is limited to queues may not see: rules, channels and incidents are of all of them.
const WHAT: &str = "alerts";

fn invalid(why: String) -> Fault {
    Fault::bad_request(why)
}

fn shape(config: &Config, name: &str, rule: &Rule) -> RuleShape {
    let is_default = !config.set.rules.contains_key(name);
    RuleShape { name: name.to_owned(), is_default, rule: rule.clone() }
}

/// All rules by name.
pub(crate) async fn rules(app: &App) -> Result<Vec<RuleShape>, Fault> {
    app.caller().whole(WHAT)?;
    let config = config::read(app).await?;
    Ok(config.rules.iter().map(|(name, rule)| shape(&config, name, rule)).collect())
}

/// One rule.
pub(crate) async fn rule(app: &App, name: &str) -> Result<RuleShape, Fault> {
    app.caller().whole(WHAT)?;
    let config = config::read(app).await?;
    let rule = config.rules.get(name).ok_or_else(|| Fault::not_found(format!("rule {name}")))?;
    Ok(shape(&config, name, rule))
}

/// Sets a rule; it takes the place of the one under its name.
pub(crate) async fn set_rule(app: &App, name: &str, rule: Rule) -> Result<RuleShape, Fault> {
    app.caller().whole(WHAT)?;
    rule_words::check_name("rule", name).and_then(|()| rule_words::check(&rule)).map_err(invalid)?;
    let done = config::change(app, |config, set| {
        if let Some(missing) = rule.channels.iter().find(|channel| !config.channels.contains_key(*channel)) {
            let all: Vec<&str> = config.channels.keys().map(String::as_str).collect();
            return Err(invalid(format!("there is no channel {missing:?}; there are {}", all.join(", "))));
        }
        if !config.rules.contains_key(name) && config.rules.len() >= rule_words::RULES_MOST {
            return Err(invalid(format!(
                "there are {} rules already, as many as may be",
                config.rules.len()
            )));
        }
        set.rules.insert(name.to_owned(), rule.clone());
        Ok(RuleShape { name: name.to_owned(), is_default: false, rule: rule.clone() })
    })
    .await?;
    app.note(&format!("set rule {name}"));
    Ok(done)
}

/// Removes a rule; where every server has one of that name, that one is in force again.
pub(crate) async fn remove_rule(app: &App, name: &str) -> Result<(), Fault> {
    app.caller().whole(WHAT)?;
    config::change(app, |config, set| match set.rules.remove(name) {
        Some(_) => Ok(()),
        None if config.rules.contains_key(name) => Err(invalid(format!("every server has rule {name}"))
            .hint("set it with enabled=false to switch it off")),
        None => Err(Fault::not_found(format!("rule {name}"))),
    })
    .await?;
    app.note(&format!("remove rule {name}"));
    Ok(())
}

fn channel_shape(config: &Config, record: &Record, name: &str) -> Option<ChannelShape> {
    let mut channel = config.channels.get(name)?.clone();
    let has_secret = channel.take_secret().is_some();
    if let Channel::Webhook { url, .. } = &mut channel {
        *url = shown(url);
    }
    let none = Post::default();
    let post = record.posts.get(name).unwrap_or(&none);
    let sending = post.sending.as_ref();
    let in_notice = sending.map_or(0, |sending| {
        let data = &sending.notice.data;
        data.firing.len() + data.reminded.len() + data.recovered.len()
    });
    Some(ChannelShape {
        name: name.to_owned(),
        is_default: !config.set.channels.contains_key(name),
        channel,
        has_secret,
        delivered_at: post.delivered_at,
        waiting: (post.waiting.len() + in_notice) as u64,
        failures: post.failures,
        error: post.error.clone(),
        next_try_at: sending.filter(|sending| sending.owner.is_none()).map(|sending| sending.until),
    })
}

/// All channels by name, without what is secret, and how they do.
pub(crate) async fn channels(app: &App) -> Result<Vec<ChannelShape>, Fault> {
    app.caller().whole(WHAT)?;
    let (config, record) = tokio::try_join!(config::read(app), record::read(app))?;
    Ok(config.channels.keys().filter_map(|name| channel_shape(&config, &record, name)).collect())
}

/// One channel.
pub(crate) async fn channel(app: &App, name: &str) -> Result<ChannelShape, Fault> {
    app.caller().whole(WHAT)?;
    let (config, record) = tokio::try_join!(config::read(app), record::read(app))?;
    channel_shape(&config, &record, name).ok_or_else(|| no_channel(name))
}

fn no_channel(name: &str) -> Fault {
    Fault::not_found(format!("channel {name}"))
}

/// Sets a channel. A secret that is not said stays as it is; for a webhook without one, one is made and told this once.
///
/// A secret belongs to the address that it was said for: with another one it has to be said again, or whoever may set
/// channels could have it sent to themselves.
pub(crate) async fn set_channel(app: &App, name: &str, channel: Channel) -> Result<ChannelSet, Fault> {
    app.caller().whole(WHAT)?;
    rule_words::check_name("channel", name).map_err(invalid)?;
    let made = windlass_webhook::Secret::generate().map_err(|why| Fault::new("internal", why.to_string()))?;
    let (channel, secret) = {
        let kept = config::read(app).await?.channels.get(name).cloned();
        complete(channel, kept, &made.reveal())
    };
    app.monitor().channels.check(&channel).await.map_err(invalid)?;
    config::change(app, |config, set| {
        if !config.channels.contains_key(name) && config.channels.len() >= CHANNELS_MOST {
            return Err(invalid(format!("there are {CHANNELS_MOST} channels already, as many as may be")));
        }
        set.channels.insert(name.to_owned(), channel.clone());
        Ok(())
    })
    .await?;
    app.note(&format!("set channel {name}"));
    Ok(ChannelSet { name: name.to_owned(), secret })
}

/// The channel with the secret that it has or gets, and that secret if it was made now.
fn complete(mut channel: Channel, kept: Option<Channel>, made: &str) -> (Channel, Option<String>) {
    let said = channel.take_secret();
    if let (Channel::Webhook { url, .. }, Some(Channel::Webhook { url: was, .. })) = (&mut channel, &kept)
        && *url == shown(was)
    {
        // What was read is sent back.
        url.clone_from(was);
    }
    let is_there = |old: &Channel| match (old, &channel) {
        (Channel::Webhook { url: was, .. }, Channel::Webhook { url, .. }) => was == url,
        (
            Channel::Mail { host: was, port: was_port, user: was_user, tls: was_tls, .. },
            Channel::Mail { host, port, user, tls, .. },
        ) => (was, was_port, was_user, was_tls) == (host, port, user, tls),
        _ => false,
    };
    let old = kept.filter(is_there).and_then(|mut old| old.take_secret());
    let found = said.or(old);
    let new = (found.is_none() && matches!(channel, Channel::Webhook { .. })).then(|| made.to_owned());
    channel.put_secret(found.or_else(|| new.clone()));
    (channel, new)
}

/// An address without what comes after its host: many services put a secret there.
fn shown(url: &str) -> String {
    let host_at = url.find("://").map_or(0, |at| at + 3);
    match url[host_at..].find('/') {
        Some(at) if host_at + at + 1 < url.len() => format!("{}/…", &url[..host_at + at]),
        _ => url.to_owned(),
    }
}

/// Removes a channel; what waits there is told to nobody.
pub(crate) async fn remove_channel(app: &App, name: &str) -> Result<(), Fault> {
    app.caller().whole(WHAT)?;
    config::change(app, |config, set| {
        if let Some((rule, _)) =
            config.set.rules.iter().find(|(_, rule)| rule.channels.iter().any(|one| one == name))
        {
            return Err(invalid(format!("rule {rule} tells channel {name}")).hint("change the rule first"));
        }
        match set.channels.remove(name) {
            Some(_) => Ok(()),
            None if config.channels.contains_key(name) => {
                Err(invalid(format!("every server has channel {name}"))
                    .hint("name other channels in the rules"))
            }
            None => Err(no_channel(name)),
        }
    })
    .await?;
    app.note(&format!("remove channel {name}"));
    Ok(())
}

/// Sends a notice to try a channel out, at once, whatever waits there.
pub(crate) async fn test(app: &App, name: &str) -> Result<Tested, Fault> {
    app.caller().whole(WHAT)?;
    app.note(&format!("try channel {name}"));
    let config = config::read(app).await?;
    let channel = config.channels.get(name).ok_or_else(|| no_channel(name))?;
    let mut notice = notice::trial(app.client().new_id().to_string(), app.client().now());
    notice::link(&mut notice, app.options().public_url.as_deref());
    let began = Instant::now();
    let sent = app.monitor().channels.send(channel, name, &notice).await;
    sent.map_err(|why| Fault::new("not_delivered", format!("channel {name}: {why}")))?;
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Tested { channel: name.to_owned(), took_ms })
}

/// What fires and what is pending, the newest first, then what is over.
pub(crate) async fn incidents(app: &App) -> Result<Vec<Incident>, Fault> {
    app.caller().whole(WHAT)?;
    let record = record::read(app).await?;
    let order = |stage| match stage {
        Stage::Firing => 0,
        Stage::Pending => 1,
        Stage::Recovered => 2,
    };
    let mut all: Vec<Incident> = record.incidents.into_iter().rev().map(|kept| kept.incident).collect();
    all.sort_by_key(|incident| order(incident.stage));
    Ok(all)
}

/// What [`incidents`] says, beside other things: nothing to a key that is limited to queues.
pub(crate) async fn incidents_shown(app: &App) -> Result<Vec<Incident>, Fault> {
    if app.caller().whole(WHAT).is_err() { Ok(Vec::new()) } else { incidents(app).await }
}

/// What [`channels`] says, in the same way.
pub(crate) async fn channels_shown(app: &App) -> Result<Vec<ChannelShape>, Fault> {
    if app.caller().whole(WHAT).is_err() { Ok(Vec::new()) } else { channels(app).await }
}

/// Somebody looks into it: no reminders come, until it is over or for that long.
pub(crate) async fn acknowledge(app: &App, id: &str, quiet: &Quiet) -> Result<Incident, Fault> {
    app.caller().whole(WHAT)?;
    let now = app.client().now();
    let until = until(quiet, now, Time::NEVER)?;
    let done = record::change(app, |record| {
        let incident = open(record, id)?;
        incident.acknowledged_until = Some(until).filter(|until| *until > now);
        Ok(incident.clone())
    })
    .await?;
    app.note(&format!("acknowledge incident {id}"));
    Ok(done)
}

/// Nothing is told of that rule and subject, for that long.
pub(crate) async fn silence(app: &App, id: &str, quiet: &Quiet) -> Result<Incident, Fault> {
    app.caller().whole(WHAT)?;
    let now = app.client().now();
    let until = until(quiet, now, now.plus_ms(SILENCE_MS))?;
    let done = record::change(app, |record| {
        let incident = open(record, id)?;
        incident.silenced_until = Some(until).filter(|until| *until > now);
        let incident = incident.clone();
        let silences = &mut record.silences;
        silences.retain(|other| (&other.rule, &other.subject) != (&incident.rule, &incident.subject));
        if incident.silenced_until.is_some() {
            if silences.len() >= SILENCES_MOST {
                return Err(invalid(format!(
                    "there are {SILENCES_MOST} silences already, as many as may be"
                )));
            }
            let (rule, subject) = (incident.rule.clone(), incident.subject.clone());
            silences.push(Silence { rule, subject, until });
            // What waits to be told of it is not told.
            for post in record.posts.values_mut() {
                post.waiting.retain(|(waiting, _)| *waiting != incident.id);
            }
        }
        Ok(incident)
    })
    .await?;
    app.note(&format!("silence incident {id}"));
    Ok(done)
}

fn open<'a>(record: &'a mut Record, id: &str) -> Result<&'a mut Incident, Fault> {
    let kept = record.incident(id).ok_or_else(|| Fault::not_found(format!("incident {id}")))?;
    match kept.is_open() {
        true => Ok(&mut kept.incident),
        false => Err(invalid(format!("incident {id} is over"))),
    }
}

fn until(quiet: &Quiet, now: Time, usual: Time) -> Result<Time, Fault> {
    match quiet.length {
        None => Ok(usual),
        Some(span) if span.ms > QUIET_MS_MOST => {
            Err(invalid("for is at most 30d".to_owned())
                .hint("set the rule with enabled=false to switch it off"))
        }
        Some(span) => Ok(now.plus_ms(span.ms)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_the_host_is_shown() {
        for (url, told) in [
            ("https://h.example/services/T/B/x?y", "https://h.example/…"),
            ("https://h.example/", "https://h.example/"),
            ("https://h.example", "https://h.example"),
        ] {
            assert_eq!(shown(url), told);
        }
    }

    fn hook(url: &str, secret: Option<&str>) -> Channel {
        Channel::Webhook { url: url.to_owned(), secret: secret.map(ToOwned::to_owned) }
    }

    #[test]
    fn a_secret_stays_with_its_address_and_goes_to_no_other() {
        let kept = || Some(hook("https://a", Some("old")));
        assert_eq!(complete(hook("https://a", None), kept(), "made"), (hook("https://a", Some("old")), None));
        assert_eq!(
            complete(hook("https://b", None), kept(), "made"),
            (hook("https://b", Some("made")), Some("made".to_owned()))
        );
        let kept = || Some(hook("https://a/T0/x", Some("old")));
        let read = hook(&shown("https://a/T0/x"), None);
        assert_eq!(
            complete(read, kept(), "made"),
            (hook("https://a/T0/x", Some("old")), None),
            "as it was read"
        );
        assert_eq!(
            complete(hook("https://b", Some("said")), kept(), "made"),
            (hook("https://b", Some("said")), None)
        );
    }
}

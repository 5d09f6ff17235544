//! What the monitor is told to do: rules and channels, as the store keeps them over those that every server has.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use windlass_api::monitor::{Channel, Rule};
use windlass_core::{Rejection, StoreError};

use super::rules;
use crate::answer::Fault;
use crate::app::App;

/// Where the store keeps them. Channels have secrets: `/v1/meta` shows this key to nobody.
pub(crate) const KEY: &str = "windlass.monitor";
/// Writers that were faster, after which something is wrong.
const TRIES: usize = 50;

/// Rules and channels that somebody has set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Set {
    #[serde(default)]
    pub(super) rules: BTreeMap<String, Rule>,
    #[serde(default)]
    pub(super) channels: BTreeMap<String, Channel>,
}

/// What is in force: what was set, and beside it what every server has.
#[derive(Clone, Debug, Default)]
pub(super) struct Config {
    pub(super) rules: BTreeMap<String, Rule>,
    pub(super) channels: BTreeMap<String, Channel>,
    /// What was set of it.
    pub(super) set: Set,
}

impl Config {
    fn of(set: Set) -> Self {
        let mut config =
            Self { rules: rules::defaults(), channels: rules::default_channels(), set: Set::default() };
        config.rules.extend(set.rules.clone());
        config.channels.extend(set.channels.clone());
        config.set = set;
        config
    }

    /// What every server has.
    #[cfg(test)]
    pub(super) fn in_force_without_set_up() -> Self {
        Self::of(Set::default())
    }

    /// The rules that watch.
    pub(super) fn watching(&self) -> impl Iterator<Item = (&String, &Rule)> {
        self.rules.iter().filter(|(_, rule)| rule.enabled)
    }

    /// The channels that a rule tells: those that it names and that there are, or all.
    pub(super) fn channels_of<'a>(&'a self, rule: &'a Rule) -> impl Iterator<Item = &'a String> {
        self.channels.keys().filter(|name| rule.channels.is_empty() || rule.channels.contains(name))
    }
}

/// What is in force now.
pub(super) async fn read(app: &App) -> Result<Config, StoreError> {
    Ok(Config::of(read_set(app).await?.0))
}

async fn read_set(app: &App) -> Result<(Set, u64), StoreError> {
    let (value, version) = app.by_itself().store().meta(KEY.to_owned()).await?;
    if value.is_empty() {
        return Ok((Set::default(), version));
    }
    let set = serde_json::from_slice(&value).map_err(|error| {
        StoreError::refused("meta", format!("the rules of the monitor are unreadable: {error}"))
    })?;
    Ok((set, version))
}

/// Changes what was set, as often as somebody else was faster.
pub(super) async fn change<T>(
    app: &App,
    mut how: impl FnMut(&Config, &mut Set) -> Result<T, Fault>,
) -> Result<T, Fault> {
    for _ in 0..TRIES {
        let (mut set, version) = read_set(app).await?;
        let answer = how(&Config::of(set.clone()), &mut set)?;
        let value = serde_json::to_vec(&set).map_err(|error| Fault::new("internal", error.to_string()))?;
        match app.by_itself().store().set_meta(KEY.to_owned(), value, version).await? {
            Ok(_) => {
                app.monitor().ring();
                return Ok(answer);
            }
            Err(Rejection::VersionConflict { .. }) => {}
            Err(refused) => return Err(refused.into()),
        }
    }
    Err(Fault::new("too_busy", "others change the rules of the monitor all the time"))
}

//! What the monitor is told to do: rules and channels, as the store keeps them over those that every server has.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use windlass_api::monitor::{Channel, Rule};
use windlass_core::StoreError;

use super::rules;
use crate::answer::Fault;
use crate::app::App;
use crate::kept::Place;

/// Where the store keeps them. Channels have secrets: `/v1/meta` shows this key to nobody.
const PLACE: Place<Set> = Place::new("windlass.monitor", "the list of the monitor's rules");

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
    Ok(Config::of(PLACE.read(app.by_itself().store().as_ref()).await?.0))
}

/// Changes what was set.
pub(super) async fn change<T>(
    app: &App,
    mut how: impl FnMut(&Config, &mut Set) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let change = |set: &mut Set| how(&Config::of(set.clone()), set);
    let answer = PLACE.change(app.by_itself().store().as_ref(), change).await?;
    app.monitor().ring();
    Ok(answer)
}

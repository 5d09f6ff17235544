//! What is done while the store does not answer: nothing can be read or written down then, so this server tells what it
//! remembers to tell, by itself. Each server speaks for itself: another one may still reach the store.

use std::sync::{Mutex, PoisonError};

use windlass_api::monitor::{Channel, Incident, Rule, Stage, When};
use windlass_core::Time;

use super::config::Config;
use super::notice;
use super::record::Change;
use crate::answer::Fault;
use crate::app::App;

/// What this server remembers for the time when the store is away.
#[derive(Default)]
pub(crate) struct Silent(Mutex<State>);

/// Channels by their names.
type Outs = Vec<(String, Channel)>;

#[derive(Default)]
struct State {
    /// The rules on a silent store, with their channels.
    rules: Vec<(String, Rule, Outs)>,
    /// Since when it does not answer, and what it said.
    since: Option<(Time, String)>,
    /// What was told, and is to be taken back.
    told: Vec<Incident>,
}

impl Silent {
    /// Remembers the rules that are in force.
    pub(super) fn remember(&self, config: &Config) {
        let rules = config.watching().filter(|(_, rule)| rule.when == When::StoreSilent);
        let with_channels = rules.map(|(name, rule)| {
            let channels = config
                .channels_of(rule)
                .filter_map(|name| Some((name.clone(), config.channels.get(name)?.clone())));
            (name.clone(), rule.clone(), channels.collect())
        });
        self.state().rules = with_channels.collect();
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What of the silence is to be told now, and to whom.
    fn told(
        &self,
        fault: Option<Fault>,
        now: Time,
        id: impl Fn() -> String,
    ) -> Vec<(Change, Incident, Outs)> {
        let mut state = self.state();
        let fault = fault.filter(|fault| fault.0.code == "store");
        let State { rules, since, told } = &mut *state;
        let channels = |name: &str| {
            rules
                .iter()
                .find(|(rule, ..)| rule == name)
                .map(|(_, _, channels)| channels.clone())
                .unwrap_or_default()
        };
        let Some(fault) = fault else {
            *since = None;
            let over = std::mem::take(told).into_iter().map(|mut incident| {
                (incident.stage, incident.recovered_at) = (Stage::Recovered, Some(now));
                let channels = channels(&incident.rule);
                (Change::Recovered, incident, channels)
            });
            return over.collect();
        };
        let (from, why) = since.get_or_insert((now, fault.0.detail.clone())).clone();
        let mut all = Vec::new();
        for (name, rule, channels) in rules.iter() {
            let wait = rule.longer_than.unwrap_or_default().ms + rule.held_for.ms;
            if now.since(from) < wait || told.iter().any(|incident| incident.rule == *name) {
                continue;
            }
            let incident = incident(id(), name, rule, from, now, &why);
            told.push(incident.clone());
            all.push((Change::Fired, incident, channels.clone()));
        }
        all
    }
}

fn incident(id: String, name: &str, rule: &Rule, since: Time, now: Time, why: &str) -> Incident {
    Incident {
        id,
        rule: name.to_owned(),
        when: rule.when,
        severity: rule.severity,
        subject: "store".to_owned(),
        fingerprint: None,
        text: format!("does not answer this server: {}", windlass_core::bounds::cut(why, 200)),
        stage: Stage::Firing,
        since,
        fired_at: Some(now),
        recovered_at: None,
        told_at: Some(now),
        acknowledged_until: None,
        silenced_until: None,
        page: "/readyz".to_owned(),
    }
}

/// Takes in how the last look went, and tells what is to be told. A channel that fails here is not tried again: there is
/// nowhere to write that down.
pub(super) async fn go_on(app: &App, fault: Option<Fault>, now: Time) {
    let told = app.monitor().silent.told(fault, now, || app.client().new_id().to_string());
    for (change, incident, channels) in told {
        let Some(mut notice) = notice::of(vec![(change, incident)], now) else { continue };
        notice::link(&mut notice, app.options().public_url.as_deref());
        for (name, channel) in channels {
            let (app, notice) = (app.clone(), notice.clone());
            tokio::spawn(async move {
                if let Err(why) = app.monitor().channels.send(&channel, &name, &notice).await {
                    tracing::warn!(channel = name, why, "a notice did not arrive");
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_core::StoreError;

    fn away() -> Option<Fault> {
        Some(StoreError::refused("meta", "nobody is there").into())
    }

    #[test]
    fn a_silent_store_is_told_once_after_its_time_and_taken_back_when_it_answers() {
        let silent = Silent::default();
        let config = super::super::config::Config::in_force_without_set_up();
        silent.remember(&config);
        let id = || "1".to_owned();
        let told = |fault, at| {
            let all = silent.told(fault, Time(at), id);
            all.into_iter()
                .map(|(change, incident, channels)| (change, incident.text, channels.len()))
                .collect::<Vec<_>>()
        };
        assert_eq!(told(away(), 1_000), []);
        assert_eq!(told(away(), 30_999), []);
        let text = "does not answer this server: nobody is there".to_owned();
        assert_eq!(told(away(), 31_000), [(Change::Fired, text.clone(), 1)]);
        assert_eq!(told(away(), 90_000), [], "once");
        assert_eq!(told(None, 91_000), [(Change::Recovered, text, 1)]);
        assert_eq!(told(None, 92_000), []);
        assert_eq!(told(away(), 93_000), [], "its time begins anew");
    }

    #[test]
    fn another_fault_than_the_stores_is_no_silence() {
        let silent = Silent::default();
        silent.remember(&super::super::config::Config::in_force_without_set_up());
        for at in [0, 1_000_000] {
            assert!(silent.told(Some(Fault::new("internal", "x")), Time(at), || "1".to_owned()).is_empty());
        }
    }
}

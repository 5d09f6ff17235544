//! Queues, limits and schedules of the file, brought into the store.
//!
//! What the file said last is kept in the store beside what is in force. So it is known who changed a setting: where the
//! two are equal nobody did, and the file may; where they differ somebody changed it live, and `managed` decides. With
//! `live` (as long as nothing is said) the change stays and is told as drift, with `file` it lasts until the next start.

use std::collections::BTreeMap;

use clap::{Args, Command, FromArgMatches};
use serde::Serialize;
use serde_json::Value;
use windlass_core::limit::LimitSettings;
use windlass_core::queue::QueueSettings;
use windlass_core::store::Store;
use windlass_core::{LimitName, QueueName, ScheduleName};

use super::ConfigFile;
use super::file::{Managed, Section};
use super::origin::in_one_line;
use crate::commands::{limits, queues, schedules};
use crate::fault::{Exit, Fault};

/// Letters of a value that are shown of a difference: a payload may be long.
const SHOWN_CHARS: usize = 60;

/// What a section is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Queue,
    Limit,
    Schedule,
}

impl Kind {
    pub(crate) const ALL: [Kind; 3] = [Kind::Queue, Kind::Limit, Kind::Schedule];

    /// The table of its sections.
    pub(crate) const fn table(self) -> &'static str {
        match self {
            Kind::Queue => "queues",
            Kind::Limit => "limits",
            Kind::Schedule => "schedules",
        }
    }

    pub(crate) fn of_table(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.table() == name)
    }

    /// The command whose options are its keys.
    pub(crate) fn command(self) -> Command {
        let command = Command::new("set").no_binary_name(true);
        match self {
            Kind::Queue => queues::SetArgs::augment_args(command),
            Kind::Limit => limits::SetArgs::augment_args(command),
            Kind::Schedule => schedules::SetArgs::augment_args(command),
        }
    }
}

impl Section {
    fn what(&self) -> String {
        format!("{} {}", self.kind.table().trim_end_matches('s'), self.name)
    }

    /// Where the store keeps what the file said last.
    fn meta_key(&self) -> String {
        format!("config/{}/{}", self.kind.table(), self.name)
    }

    /// The arguments as that command reads them.
    fn parsed<T: FromArgMatches>(&self, file: &ConfigFile) -> Result<T, Fault> {
        let values = self
            .entries
            .iter()
            .flat_map(|entry| entry.values.iter().map(move |value| format!("--{}={value}", entry.key)));
        let line: Vec<String> = values.chain(["--".to_owned(), self.name.clone()]).collect();
        let parsed =
            self.kind.command().try_get_matches_from(line).and_then(|matches| T::from_arg_matches(&matches));
        parsed.map_err(|why| {
            let key =
                self.entries.iter().find(|entry| why.to_string().contains(&format!("--{} ", entry.key)));
            let line = key.map_or(self.line, |entry| entry.line);
            file.fault(line, format!("[{}.{}] {}", self.kind.table(), self.name, in_one_line(&why)))
        })
    }

    /// Refuses what the command would refuse.
    ///
    /// # Errors
    /// With the line, and exit code 2.
    pub(crate) fn check(&self, file: &ConfigFile) -> Result<(), Fault> {
        let checked = match self.kind {
            Kind::Queue => {
                let set = self.parsed::<queues::SetArgs>(file)?;
                set.settings(QueueSettings::default()).validate().map_err(Fault::from)
            }
            Kind::Limit => {
                let set = self.parsed::<limits::SetArgs>(file)?;
                set.settings(LimitSettings::default()).validate().map_err(Fault::from)
            }
            // All of it: what a schedule does must not hang on what somebody had set before.
            Kind::Schedule => self.parsed::<schedules::SetArgs>(file)?.spec(None).map(drop),
        };
        checked.map_err(|fault| self.at(file, fault))
    }

    /// The fault with the section's line.
    fn at(&self, file: &ConfigFile, fault: Fault) -> Fault {
        let (path, table) = (file.path.display(), self.kind.table());
        let message = format!("{path}:{}: [{table}.{}] {}", self.line, self.name, fault.message);
        Fault { exit: Exit::Usage, message, ..fault }
    }

    /// What is in force, and what the file makes of it.
    async fn looked_up(&self, file: &ConfigFile, store: &dyn Store) -> Result<(Option<Value>, Value), Fault> {
        let at = |fault: Fault| self.at(file, fault);
        match self.kind {
            Kind::Queue => {
                let name = QueueName::new(&self.name).map_err(|why| at(why.into()))?;
                let found =
                    store.queues(Some(name.clone()), None).await?.into_iter().find(|info| info.name == name);
                let old = found.map(|info| info.settings);
                let new = self.parsed::<queues::SetArgs>(file)?.settings(old.clone().unwrap_or_default());
                Ok((old.map(|old| value(&old)), value(&new)))
            }
            Kind::Limit => {
                let name = LimitName::new(&self.name).map_err(|why| at(why.into()))?;
                let old = limits::find(store, &name).await?.map(|info| info.settings);
                let new = self.parsed::<limits::SetArgs>(file)?.settings(old.unwrap_or_default());
                Ok((old.map(|old| value(&old)), value(&new)))
            }
            Kind::Schedule => {
                let name = ScheduleName::new(&self.name).map_err(|why| at(why.into()))?;
                let old = schedules::find(store, &name).await?.map(|info| info.spec);
                let new = self.parsed::<schedules::SetArgs>(file)?.spec(old.clone()).map_err(at)?;
                Ok((old.map(|old| value(&old)), value(&new)))
            }
        }
    }

    async fn set(&self, store: &dyn Store, new: &Value) -> Result<(), Fault> {
        let misread = |why: serde_json::Error| Fault::failed(format!("{}: {why}", self.what()));
        let new = new.clone();
        match self.kind {
            Kind::Queue => {
                let name = QueueName::new(&self.name)?;
                store.set_queue(name, serde_json::from_value(new).map_err(misread)?, None).await??;
            }
            Kind::Limit => {
                let name = LimitName::new(&self.name)?;
                store.set_limit(name, Some(serde_json::from_value(new).map_err(misread)?), None).await??;
            }
            Kind::Schedule => {
                store.set_schedule(serde_json::from_value(new).map_err(misread)?, None).await??;
            }
        }
        Ok(())
    }
}

/// Settings are plain data, and their JSON is what stores keep.
fn value<T: Serialize>(settings: &T) -> Value {
    serde_json::to_value(settings).unwrap_or_default()
}

/// What became, or would become, of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// The store has what the file says.
    Same,
    /// The file's settings are set.
    Set,
    /// They were changed live, and stay.
    Kept,
}

/// A section, and what became of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Step {
    pub(crate) what: String,
    pub(crate) outcome: Outcome,
    /// Each difference: what is in force, and what the file says.
    pub(crate) differs: Vec<String>,
}

/// Brings every section into the store, or only says what that would do.
///
/// # Errors
/// What a section says that no store takes, with its line; or a store that fails.
pub(crate) async fn bring(file: &ConfigFile, store: &dyn Store, only_look: bool) -> Result<Vec<Step>, Fault> {
    // Nothing is set of a file that is wrong somewhere.
    file.sections.iter().try_for_each(|section| section.check(file))?;
    let mut planned = Vec::with_capacity(file.sections.len());
    for section in &file.sections {
        planned.push((section, section.looked_up(file, store).await?));
    }
    let mut steps = Vec::with_capacity(planned.len());
    for (section, (old, new)) in planned {
        steps.push(bring_one(file, section, store, only_look, old, new).await?);
    }
    Ok(steps)
}

async fn bring_one(
    file: &ConfigFile,
    section: &Section,
    store: &dyn Store,
    only_look: bool,
    old: Option<Value>,
    new: Value,
) -> Result<Step, Fault> {
    let (said, version) = store.meta(section.meta_key()).await?;
    let said: Option<Value> = serde_json::from_slice(&said).ok();
    let changed_live = said.is_some() && said != old && old.is_some();
    let outcome = match &old {
        Some(old) if *old == new => Outcome::Same,
        Some(_) if changed_live && file.managed == Managed::Live => Outcome::Kept,
        _ => Outcome::Set,
    };
    if !only_look && outcome != Outcome::Kept {
        if outcome == Outcome::Set {
            section.set(store, &new).await?;
        }
        if said.as_ref() != Some(&new) {
            let bytes = serde_json::to_vec(&new).map_err(|why| Fault::failed(why.to_string()))?;
            store.set_meta(section.meta_key(), bytes, version).await??;
        }
    }
    let differs = differences(old.as_ref().unwrap_or(&Value::Null), &new);
    Ok(Step { what: section.what(), outcome, differs })
}

/// Each value that differs, by its path.
fn differences(old: &Value, new: &Value) -> Vec<String> {
    let (old, new) = (leaves(old), leaves(new));
    let changed = new.iter().filter(|(path, value)| old.get(*path) != Some(value));
    changed
        .map(|(path, value)| match old.get(path) {
            Some(old) => format!("{path}: {} in force, {} in the file", shown(old), shown(value)),
            None => format!("{path}: {}", shown(value)),
        })
        .collect()
}

fn leaves(value: &Value) -> BTreeMap<String, String> {
    fn walk(path: &str, value: &Value, into: &mut BTreeMap<String, String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    walk(&path, value, into);
                }
            }
            other => {
                into.insert(path.to_owned(), other.to_string());
            }
        }
    }
    let mut all = BTreeMap::new();
    walk("", value, &mut all);
    all
}

fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::origin::serve_command;

    fn file(text: &str) -> ConfigFile {
        ConfigFile::parse(Path::new("w.toml"), text, &serve_command()).expect("it is good")
    }

    async fn brought(store: &dyn Store, text: &str) -> Vec<(String, Outcome)> {
        let steps = bring(&file(text), store, false).await.expect("it is taken");
        steps.into_iter().map(|step| (step.what, step.outcome)).collect()
    }

    async fn concurrency(store: &dyn Store) -> Option<u32> {
        let email = QueueName::new("email").expect("a name");
        store.queues(Some(email), None).await.expect("queues")[0].settings.limits.concurrency
    }

    async fn live(store: &dyn Store, concurrency: u32) {
        let email = QueueName::new("email").expect("a name");
        let mut settings = store.queues(Some(email.clone()), None).await.expect("queues")[0].settings.clone();
        settings.limits.concurrency = Some(concurrency);
        store.set_queue(email, settings, None).await.expect("set").expect("set");
    }

    #[tokio::test]
    async fn what_was_changed_live_stays_unless_the_file_manages_it() {
        let client = windlass::open("memory:").await.expect("a store");
        let store = client.store().as_ref();
        let queue = |n: u32| format!("[queues.email]\nconcurrency = {n}\n");
        let email = |outcome| vec![("queue email".to_owned(), outcome)];
        assert_eq!(brought(store, &queue(30)).await, email(Outcome::Set));
        assert_eq!(brought(store, &queue(30)).await, email(Outcome::Same));
        // Nobody else has changed it, so the file may.
        assert_eq!(brought(store, &queue(40)).await, email(Outcome::Set));
        live(store, 5).await;
        let steps = bring(&file(&queue(40)), store, false).await.expect("it is taken");
        assert_eq!(steps[0].outcome, Outcome::Kept);
        assert_eq!(steps[0].differs, ["concurrency: 5 in force, 40 in the file"]);
        assert_eq!(concurrency(store).await, Some(5));
        let managed = format!("managed = \"file\"\n{}", queue(40));
        let looked = bring(&file(&managed), store, true).await.expect("it is looked at");
        assert_eq!((looked[0].outcome, concurrency(store).await), (Outcome::Set, Some(5)), "only a look");
        assert_eq!(brought(store, &managed).await, email(Outcome::Set));
        assert_eq!(concurrency(store).await, Some(40));
        // A change that says what the file says is none.
        live(store, 7).await;
        assert_eq!(brought(store, &queue(7)).await, email(Outcome::Same));
        assert_eq!(brought(store, &queue(8)).await, email(Outcome::Set));
    }

    #[tokio::test]
    async fn limits_and_schedules_are_brought_as_their_commands_would() {
        let client = windlass::open("memory:").await.expect("a store");
        let store = client.store().as_ref();
        let text = "[limits.twilio]\nconcurrency = 10\nrate = \"1/s,burst=5\"\n\
                    [schedules.nightly]\ncron = \"0 3 * * *\"\ntz = \"Europe/Berlin\"\nqueue = \"reports\"\nkind = \"build\"\n";
        let all = brought(store, text).await;
        assert!(all.iter().all(|(_, outcome)| *outcome == Outcome::Set) && all.len() == 2, "{all:?}");
        let all = brought(store, text).await;
        assert!(all.iter().all(|(_, outcome)| *outcome == Outcome::Same), "{all:?}");
        assert_eq!(store.schedules().await.expect("schedules")[0].spec.kind.as_str(), "build");
    }

    #[tokio::test]
    async fn nothing_is_set_of_a_file_that_is_wrong_somewhere() {
        let client = windlass::open("memory:").await.expect("a store");
        let store = client.store().as_ref();
        let schedule = "queue = \"q\"\nkind = \"k\"";
        for (wrong, line) in [
            ("[limits.x]\nrate = \"fast\"", 5),
            ("[limits.x]\n", 4),
            ("[limits.\"a b\"]\nrate = \"1/s\"", 4),
            (&format!("[schedules.x]\ncron = \"61 * * * *\"\n{schedule}"), 4),
            (&format!("[schedules.x]\ncron = \"0 1 * * *\"\ntz = \"Mars/X\"\n{schedule}"), 4),
            (&format!("[schedules.x]\n{schedule}"), 4),
            ("[schedules.x]\nevery = \"5m\"\nqueue = \"q\"", 4),
            ("[queues.y]\ngroup_concurrency = 3\nlease = \"0s\"", 4),
        ] {
            let text = format!("[queues.email]\nconcurrency = 3\n\n{wrong}");
            let told = bring(&file(&text), store, false).await.expect_err(wrong).message;
            assert!(told.starts_with(&format!("w.toml:{line}: ")), "{wrong}: {told}");
            assert!(store.queues(None, None).await.expect("queues").is_empty(), "{wrong}");
        }
    }
}

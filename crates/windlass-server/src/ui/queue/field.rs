//! Fields of settings: each value spelled as the command line spells it; and the settings of a group as a form.

use windlass_api::spell::rate;
use windlass_api::spell::rate::{Maybe, or_none};
use windlass_core::limit::LimitSettings;
use windlass_core::queue::{GroupSettings, OnHeadDeath};
use windlass_core::rate::Rate;

use super::super::form::Fields;

/// A field of a form: what stands in it, and what is wrong with that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) text: String,
    pub(crate) fault: Option<String>,
}

impl Field {
    pub(crate) fn of(text: impl Into<String>) -> Self {
        Self { text: text.into(), fault: None }
    }

    /// Reads the text, or keeps what is wrong with it.
    pub(crate) fn read<T, E: std::fmt::Display>(
        &mut self,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match read(&self.text) {
            Ok(value) => Some(value),
            Err(why) => {
                self.fault = Some(why.to_string());
                None
            }
        }
    }
}

/// What is wrong with fields, a line for each.
pub(crate) fn faults<const N: usize>(fields: [(&str, &Field); N]) -> Vec<String> {
    let told = |(label, field): (&str, &Field)| field.fault.as_ref().map(|fault| format!("{label}: {fault}"));
    fields.into_iter().filter_map(told).collect()
}

fn spell_on_head_death(policy: OnHeadDeath) -> &'static str {
    match policy {
        OnHeadDeath::Block => "block",
        OnHeadDeath::Park => "park",
    }
}

fn read_on_head_death(text: &str) -> Result<OnHeadDeath, String> {
    match text {
        "block" | "" => Ok(OnHeadDeath::Block),
        "park" => Ok(OnHeadDeath::Park),
        _ => Err(format!("{text:?} is neither `block` nor `park`")),
    }
}

/// A number or `none`, which an empty field means too.
pub(crate) fn number<T>(text: &str) -> Result<Option<T>, String>
where
    Maybe<T>: std::str::FromStr<Err = String>,
{
    if text.is_empty() { Ok(None) } else { text.parse::<Maybe<T>>().map(|maybe| maybe.0) }
}

fn a_rate(text: &str) -> Result<Option<Rate>, String> {
    if text.is_empty() { Ok(None) } else { text.parse::<Maybe<Rate>>().map(|maybe| maybe.0) }
}

/// Reads concurrency and rate.
pub(crate) fn limits(concurrency: &mut Field, rate: &mut Field) -> Option<LimitSettings> {
    let (concurrency, rate) = (concurrency.read(number::<u32>), rate.read(a_rate));
    Some(LimitSettings { concurrency: concurrency?, rate: rate? })
}

pub(crate) fn spell_concurrency(settings: &LimitSettings) -> String {
    or_none(settings.concurrency, |n| n.to_string())
}

pub(crate) fn spell_rate(settings: &LimitSettings) -> String {
    or_none(settings.rate, |limit| rate::spell(&limit))
}

/// Settings of a group, or the defaults of a queue's groups.
#[derive(Clone, Debug, Default)]
pub(crate) struct GroupForm {
    pub(crate) weight: Field,
    pub(crate) concurrency: Field,
    pub(crate) rate: Field,
    pub(crate) ordered: bool,
    pub(crate) on_head_death: Field,
    /// What is wrong with all of it together.
    pub(crate) fault: Option<String>,
}

impl GroupForm {
    pub(crate) fn of(settings: &GroupSettings) -> Self {
        Self {
            weight: Field::of(settings.weight.to_string()),
            concurrency: Field::of(spell_concurrency(&settings.limits)),
            rate: Field::of(spell_rate(&settings.limits)),
            ordered: settings.ordered,
            on_head_death: Field::of(spell_on_head_death(settings.on_head_death)),
            fault: None,
        }
    }

    /// The form as it came in; `prefix` stands before each name.
    pub(crate) fn from_fields(fields: &Fields, prefix: &str) -> Self {
        let field = |name: &str| Field::of(fields.word(&format!("{prefix}{name}")));
        Self {
            weight: field("weight"),
            concurrency: field("concurrency"),
            rate: field("rate"),
            ordered: fields.ticked(&format!("{prefix}ordered")),
            on_head_death: field("on_head_death"),
            fault: None,
        }
    }

    /// The settings that are meant; what is wrong stands with its field.
    pub(crate) fn settings(&mut self) -> Option<GroupSettings> {
        let weight = self
            .weight
            .read(|text| text.parse::<u16>().map_err(|_| format!("{text:?} is not between 1 and 1,000")));
        let limits = limits(&mut self.concurrency, &mut self.rate);
        let on_head_death = self.on_head_death.read(read_on_head_death);
        Some(GroupSettings {
            weight: weight?,
            limits: limits?,
            ordered: self.ordered,
            on_head_death: on_head_death?,
        })
    }

    /// What is wrong, a line for each field.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut all = faults([
            ("Weight", &self.weight),
            ("Concurrency", &self.concurrency),
            ("Rate", &self.rate),
            ("Dead head", &self.on_head_death),
        ]);
        all.extend(self.fault.clone());
        all
    }

    pub(crate) fn pairs(&self) -> Vec<(&'static str, String)> {
        vec![
            ("group_weight", self.weight.text.clone()),
            ("group_concurrency", self.concurrency.text.clone()),
            ("group_rate", self.rate.text.clone()),
            ("group_ordered", if self.ordered { "yes" } else { "" }.to_owned()),
            ("group_on_head_death", self.on_head_death.text.clone()),
        ]
    }
}

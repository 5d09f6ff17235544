//! The sequence of a campaign while it is written: its steps, their variants, and what a button does to them.
//!
//! A button that adds, removes or moves a step sends the form as it stands, and gets it back with the sequence changed and
//! nothing saved: so it works with the keyboard and without scripts, and the step that was moved keeps the focus.
//! [`SequenceForm::apply`] is that change.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use super::{Choice, Input};
use crate::{
    channel::Channel,
    model::{
        campaign::MAX_STEPS,
        variant::{MAX_VARIANTS, USUAL_WEIGHT},
    },
    pages::form::Fields,
};

/// What a delay is counted in.
pub const DELAY_UNITS: [(&str, &str); 5] = [
    ("minutes", "minutes"),
    ("hours", "hours"),
    ("days", "days"),
    ("business_hours", "hours of the window"),
    ("business_days", "days of the window"),
];

/// When a step is taken.
pub const CONDITIONS: [(&str, &str); 7] = [
    ("always", "in any case"),
    ("not_replied", "if they have not answered"),
    ("opened", "if they opened a mail"),
    ("not_opened", "if they opened no mail"),
    ("clicked", "if they followed a link"),
    ("not_clicked", "if they followed no link"),
    ("not_delivered", "if the step before was not delivered"),
];

/// What the variants besides A are called, those that are too many among them.
const OTHER_LETTERS: RangeInclusive<char> = 'B'..='Z';

/// Another text of a step while it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariantForm {
    /// The number of what is said.
    pub template: String,
    /// Its share against the others.
    pub weight: Input,
}

impl Default for VariantForm {
    fn default() -> Self {
        Self { template: String::new(), weight: Input::of(USUAL_WEIGHT) }
    }
}

/// One of the texts among which a step's contacts are shared, as it stands in the form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArmForm {
    /// Its letter.
    pub letter: String,
    /// What its fields are called: `1` for the first step's own template, `1-B` for its first variant.
    pub place: String,
    /// The number of what is said.
    pub template: String,
    /// Its share against the others.
    pub weight: Input,
    /// How many of a hundred contacts that are; none while somebody's weight is no number.
    pub percent: Option<u32>,
    /// Whether its text gets the focus.
    pub has_focus: bool,
}

/// How many of a hundred each of these weights is, a hundred together; none where all of them are nothing.
fn hundredths(weights: &[u32]) -> Vec<Option<u32>> {
    let sum: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    let part = |before: u64| (before * 100 + sum / 2).checked_div(sum);
    let mut before = 0;
    weights
        .iter()
        .map(|weight| {
            let from = part(before)?;
            before += u64::from(*weight);
            u32::try_from(part(before)? - from).ok()
        })
        .collect()
}

/// A step while it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepForm {
    /// Its key; 0 before it is kept.
    pub key: u32,
    /// By which channel.
    pub channel: String,
    /// How long after the one before.
    pub delay: Input,
    /// In what that is counted ([`DELAY_UNITS`]).
    pub unit: String,
    /// Whether it is taken ([`CONDITIONS`]).
    pub condition: String,
    /// The number of what is said; where there are variants, by variant A.
    pub template: String,
    /// The share of variant A; nothing without others.
    pub weight: Input,
    /// Its other variants.
    pub variants: Vec<VariantForm>,
    /// Which of its variants gets the focus, from 0; one more than there are is the button that adds one.
    pub focus: Option<usize>,
    /// By which other channel, for those who cannot be reached so; empty for none.
    pub fallback: String,
    /// The number of what is said then.
    pub fallback_template: String,
    /// What is wrong with it.
    pub fault: Option<String>,
}

impl StepForm {
    /// A step that nobody has written yet.
    fn new(is_first: bool) -> Self {
        Self {
            channel: Channel::Email.name().to_owned(),
            delay: Input::of(if is_first { 0 } else { 2 }),
            unit: "business_days".to_owned(),
            condition: if is_first { "always" } else { "not_replied" }.to_owned(),
            ..Self::default()
        }
    }

    /// The texts among which the contacts of the step of that number are shared; empty where there is only one.
    pub fn arms(&self, number: impl std::fmt::Display) -> Vec<ArmForm> {
        if self.variants.is_empty() {
            return Vec::new();
        }
        let own = (&self.template, &self.weight);
        let all: Vec<_> = std::iter::once(own)
            .chain(self.variants.iter().map(|other| (&other.template, &other.weight)))
            .collect();
        let weights: Option<Vec<u32>> =
            all.iter().map(|(_, weight)| weight.text.trim().parse().ok()).collect();
        let shares = weights.map(|weights| hundredths(&weights));
        let lettered = ('A'..='Z').zip(all).enumerate();
        lettered
            .map(|(nth, (letter, (template, weight)))| ArmForm {
                letter: letter.to_string(),
                place: if nth == 0 { number.to_string() } else { format!("{number}-{letter}") },
                template: template.clone(),
                weight: weight.clone(),
                percent: shares.as_ref().and_then(|shares| shares[nth]),
                has_focus: self.focus == Some(nth),
            })
            .collect()
    }

    /// Whether another variant fits.
    pub fn may_vary(&self) -> bool {
        self.variants.len() + 1 < MAX_VARIANTS
    }

    /// Whether the button that adds a variant gets the focus.
    pub fn adds_next(&self) -> bool {
        self.focus.is_some_and(|nth| nth > self.variants.len())
    }

    fn vary(&mut self) {
        if !self.may_vary() {
            return;
        }
        if self.variants.is_empty() {
            self.weight = Input::of(USUAL_WEIGHT);
        }
        self.variants.push(VariantForm::default());
        self.focus = Some(self.variants.len());
    }

    /// Takes one of its variants away; the last that is left is the step's only text, and has no weight.
    fn drop_variant(&mut self, nth: usize) {
        match nth.checked_sub(1) {
            None => {
                let next = self.variants.remove(0);
                (self.template, self.weight) = (next.template, next.weight);
            }
            Some(other) => drop(self.variants.remove(other)),
        }
        if self.variants.is_empty() {
            self.weight = Input::default();
        }
        self.focus = Some(self.variants.len() + 1);
    }

    /// Channels to choose from.
    pub fn channels(&self) -> Vec<Choice> {
        Channel::ALL
            .into_iter()
            .map(|channel| Choice::of(channel.name(), channel.name(), &self.channel))
            .collect()
    }

    /// Other channels to choose from; the first is none.
    pub fn fallbacks(&self) -> Vec<Choice> {
        let none = std::iter::once(Choice::of("", "none: skip the step", &self.fallback));
        let others = Channel::ALL
            .into_iter()
            .map(|channel| Choice::of(channel.name(), channel.name(), &self.fallback));
        none.chain(others).collect()
    }

    /// Units to choose from.
    pub fn units(&self) -> Vec<Choice> {
        Choice::all(&DELAY_UNITS, &self.unit)
    }

    /// Conditions to choose from.
    pub fn conditions(&self) -> Vec<Choice> {
        Choice::all(&CONDITIONS, &self.condition)
    }
}

/// What a button of the form asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// To keep it.
    Save,
    /// To keep it and to look what stands in the way of a launch.
    Check,
    /// To show it again: the sequence was changed, and nothing is kept.
    Again,
}

/// The sequence while it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SequenceForm {
    /// Its steps.
    pub steps: Vec<StepForm>,
    /// The step that was changed, from 1: it gets the focus.
    pub focus: Option<usize>,
}

/// The step and the letter of another variant, from the end of its field's name: `3-B`.
fn variant_place(place: &str) -> Option<(usize, char)> {
    let (number, letter) = place.split_once('-')?;
    let letter = letter.parse().ok().filter(|letter| OTHER_LETTERS.contains(letter))?;
    Some((number.parse().ok()?, letter))
}

impl SequenceForm {
    /// What the form says: all of its steps and variants in their order, also more than there may be, which whoever
    /// checks the sequence refuses.
    pub fn read(fields: &Fields) -> Self {
        let mut places: BTreeMap<usize, BTreeSet<char>> = BTreeMap::new();
        for name in fields.names() {
            if let Some(n) = name.strip_prefix("channel-").and_then(|n| n.parse().ok()) {
                places.entry(n).or_default();
            } else if let Some((n, letter)) = name.strip_prefix("template-").and_then(variant_place) {
                places.entry(n).or_default().insert(letter);
            }
        }
        let step = |(n, letters): (usize, BTreeSet<char>)| {
            let variant = |letter: char| VariantForm {
                template: fields.word(&format!("template-{n}-{letter}")).to_owned(),
                weight: Input::of(fields.word(&format!("weight-{n}-{letter}"))),
            };
            let word = |name: &str| fields.word(&format!("{name}-{n}")).to_owned();
            StepForm {
                key: word("key").parse().unwrap_or(0),
                channel: word("channel"),
                delay: Input::of(word("delay")),
                unit: word("unit"),
                condition: word("condition"),
                template: word("template"),
                weight: Input::of(word("weight")),
                variants: letters.into_iter().map(variant).collect(),
                focus: None,
                fallback: word("fallback"),
                fallback_template: word("fallback-template"),
                fault: None,
            }
        };
        Self { steps: places.into_iter().map(step).collect(), focus: None }
    }

    /// Does what a button asks for: `save`, `sure` (the same, once it was said what that means), `check`, `add`, `up-3`,
    /// `down-3`, `remove-3`, `vary-3` (another variant of step 3), `drop-3-B`. What makes no sense (the first step up, a step that is not there) changes nothing.
    pub fn apply(&mut self, button: &str) -> Then {
        match button {
            "" | "save" | "sure" => return Then::Save,
            "check" => return Then::Check,
            "add" if self.steps.len() < MAX_STEPS => {
                self.steps.push(StepForm::new(self.steps.is_empty()));
                self.focus = Some(self.steps.len());
            }
            _ => self.change(button),
        }
        Then::Again
    }

    fn change(&mut self, button: &str) {
        let Some((verb, place)) = button.split_once('-') else { return };
        let (number, letter) = place.split_once('-').unwrap_or((place, ""));
        let all = self.steps.len();
        let Some(at) = number.parse().ok().filter(|n| (1..=all).contains(n)).map(|n: usize| n - 1) else {
            return;
        };
        let step = &mut self.steps[at];
        match (verb, letter) {
            ("vary", "") => return step.vary(),
            ("drop", letter) => {
                let is_it = |other: char| letter.parse().is_ok_and(|letter: char| letter == other);
                let nth = ('A'..='Z').position(is_it).unwrap_or(usize::MAX);
                if !step.variants.is_empty() && nth <= step.variants.len() {
                    step.drop_variant(nth);
                }
                return;
            }
            _ => {}
        }
        match verb {
            _ if !letter.is_empty() => {}
            "up" if at > 0 => {
                self.steps.swap(at, at - 1);
                self.focus = Some(at);
            }
            "down" if at + 1 < all => {
                self.steps.swap(at, at + 1);
                self.focus = Some(at + 2);
            }
            "remove" => {
                self.steps.remove(at);
                self.focus = (all > 1).then_some((at + 1).min(all - 1));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(channels: &[&str]) -> SequenceForm {
        let step = |channel: &&str| StepForm { channel: (*channel).to_owned(), ..StepForm::new(false) };
        SequenceForm { steps: channels.iter().map(step).collect(), focus: None }
    }

    fn channels(form: &SequenceForm) -> Vec<&str> {
        form.steps.iter().map(|step| step.channel.as_str()).collect()
    }

    #[test]
    fn a_button_moves_removes_or_adds_a_step_which_gets_the_focus_and_saves_nothing() {
        let mut form = sequence(&["email", "sms", "voicemail"]);
        assert_eq!((form.apply("up-3"), form.focus), (Then::Again, Some(2)));
        assert_eq!(channels(&form), ["email", "voicemail", "sms"]);
        assert_eq!((form.apply("down-1"), form.focus), (Then::Again, Some(2)));
        assert_eq!(channels(&form), ["voicemail", "email", "sms"]);
        assert_eq!((form.apply("remove-3"), form.focus), (Then::Again, Some(2)));
        assert_eq!((form.apply("add"), form.focus), (Then::Again, Some(3)));
        assert_eq!(channels(&form), ["voicemail", "email", "email"]);
        assert_eq!(
            (form.apply("save"), form.apply("check"), form.apply("")),
            (Then::Save, Then::Check, Then::Save)
        );
    }

    #[test]
    fn a_button_that_makes_no_sense_changes_nothing() {
        let before = sequence(&["email", "sms"]);
        for button in
            ["up-1", "down-2", "remove-0", "remove-3", "up-", "up-x", "sideways-1", "up-99999999999999999999"]
        {
            let mut form = before.clone();
            assert_eq!(form.apply(button), Then::Again, "{button}");
            assert_eq!(form, before, "{button}");
        }
        let mut empty = SequenceForm::default();
        assert_eq!(empty.apply("remove-1"), Then::Again);
        empty.apply("add");
        assert_eq!((empty.steps.len(), empty.steps[0].condition.as_str()), (1, "always"));
        empty.apply("remove-1");
        assert_eq!((empty.steps.len(), empty.focus), (0, None));
    }

    #[test]
    fn a_button_adds_and_removes_variants_of_a_step_and_the_last_text_has_no_weight() {
        let mut form = sequence(&["email", "sms"]);
        form.steps[1].template = "7".to_owned();
        for (added, focus) in [(2, 1), (3, 2), (4, 3), (5, 4), (5, 4)] {
            assert_eq!(form.apply("vary-2"), Then::Again);
            assert_eq!((form.steps[1].arms(2).len(), form.steps[1].focus), (added, Some(focus)));
        }
        assert!(!form.steps[1].may_vary() && form.steps[0].arms(1).is_empty());
        let arms = form.steps[1].arms(2);
        assert_eq!((arms[0].place.as_str(), arms[0].letter.as_str(), arms[0].percent), ("2", "A", Some(20)));
        assert_eq!((arms[4].place.as_str(), arms[4].has_focus), ("2-E", true));
        form.steps[1].variants[1].template = "9".to_owned();
        for letter in ["E", "D", "B"] {
            form.apply(&format!("drop-2-{letter}"));
        }
        let texts: Vec<_> = form.steps[1].arms(2).into_iter().map(|arm| arm.template).collect();
        assert_eq!(texts, ["7", "9"]);
        assert!(form.steps[1].adds_next());
        form.apply("drop-2-A");
        let step = &form.steps[1];
        assert_eq!((step.template.as_str(), step.weight.text.as_str(), step.variants.len()), ("9", "", 0));
        let before = form.clone();
        for button in ["drop-2-A", "drop-2-B", "drop-2", "drop-1-Z", "vary-3", "vary-0", "vary-1-B", "up-2-A"]
        {
            assert_eq!((form.apply(button), &form), (Then::Again, &before), "{button}");
        }
    }

    #[test]
    fn the_shares_of_variants_are_a_hundred_together() {
        let shares = |weights: &[u32]| hundredths(weights).into_iter().flatten().collect::<Vec<_>>();
        assert_eq!(shares(&[50, 30]), [63, 37]);
        assert_eq!(shares(&[1, 1, 1]), [33, 34, 33]);
        assert_eq!(shares(&[100, 0]), [100, 0]);
        assert_eq!(shares(&[0, 0]), [0_u32; 0]);
        assert_eq!(shares(&[u32::MAX; 5]).iter().sum::<u32>(), 100);
    }

    #[test]
    fn a_sequence_is_bounded_however_often_somebody_adds() {
        let mut form = SequenceForm::default();
        for _ in 0..MAX_STEPS + 3 {
            form.apply("add");
        }
        assert_eq!(form.steps.len(), MAX_STEPS);
        let many: Vec<_> = (1..=MAX_STEPS + 9).map(|n| (format!("channel-{n}"), "sms".to_owned())).collect();
        let many = SequenceForm::read(&many.into());
        assert_eq!(many.steps.len(), MAX_STEPS + 9, "whoever checks them says that they are too many");
    }

    #[test]
    fn what_a_form_shows_is_read_back() {
        let fields = [
            ("channel-1", "sms"),
            ("delay-1", " 3 "),
            ("unit-1", "days"),
            ("condition-1", "always"),
            ("template-1", "7"),
            ("weight-1", "30"),
            ("template-1-B", ""),
            ("weight-1-B", "70"),
            ("template-1-F", "4"),
            ("weight-1-F", "30"),
            ("template-1-b", "5"),
            ("fallback-1", "email"),
            ("fallback-template-1", "9"),
            ("channel-12", "sms"),
            ("channel-3", "email"),
        ];
        let fields: Vec<_> =
            fields.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let form = SequenceForm::read(&fields.into());
        assert_eq!(channels(&form), ["sms", "email", "sms"], "in their order, and nothing is left out");
        let step = &form.steps[0];
        assert_eq!((step.delay.text.as_str(), step.fallback_template.as_str()), ("3", "9"));
        let arms: Vec<_> = step.arms(1).into_iter().map(|arm| (arm.template, arm.percent)).collect();
        assert_eq!(arms, [("7".into(), Some(23)), (String::new(), Some(54)), ("4".to_owned(), Some(23))]);
        assert!(step.fallbacks().iter().any(|choice| choice.is_on && choice.value == "email"));
    }
}

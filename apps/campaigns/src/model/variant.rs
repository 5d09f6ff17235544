//! Variants of a step: the texts among which its contacts are shared, to see which of them does better.
//!
//! A step's own template is variant A, and the others follow in their order: the letter is how people, the API and a
//! message name it. What a step may say of its variants is checked with the sequence ([`super::campaign::check_sequence`]);
//! who gets which is [`crate::variants::choice`]'s, and what came of it [`crate::variants::results`]'s.

use serde::{Deserialize, Serialize};

use super::{TemplateId, words};

/// Variants of a step at most, its own template among them. Each takes contacts from the others: of 10,000, five get 2,000
/// each, which tell a reply rate of 3 % from one of 5.5 % four times in five. With more, lists as people have them decide
/// nothing.
pub const MAX_VARIANTS: usize = 5;
/// What a variant may weigh: as fine as a percent.
pub const WEIGHTS: std::ops::RangeInclusive<u32> = 1..=100;
/// The weight of a variant of which nobody says one, so that all get as many contacts.
pub const USUAL_WEIGHT: u32 = 50;

/// The letter of a variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Variant {
    /// The step's own template.
    A,
    /// The first other one.
    B,
    /// The second.
    C,
    /// The third.
    D,
    /// The fourth.
    E,
}

words!(Variant);

impl Variant {
    /// All of them, in their order.
    pub const ALL: [Variant; MAX_VARIANTS] = [Variant::A, Variant::B, Variant::C, Variant::D, Variant::E];

    /// The variant of that letter, small or capital.
    pub fn named(letter: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.to_string().eq_ignore_ascii_case(letter.trim()))
    }
}

/// What a step says to some of its contacts instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alternative {
    /// What is said.
    pub template: TemplateId,
    /// Its share against the step's other variants, 1 to 100.
    #[serde(default = "usual_weight")]
    pub weight: u32,
}

fn usual_weight() -> u32 {
    USUAL_WEIGHT
}

/// One of the texts among which a step's contacts are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Arm {
    /// Its letter.
    pub variant: Variant,
    /// What is said.
    pub template: TemplateId,
    /// Its share against the others.
    pub weight: u32,
}

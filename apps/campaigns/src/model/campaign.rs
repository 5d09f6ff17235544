//! A campaign: a versioned sequence of steps for the contacts of a list, within windows and caps.

use serde::{Deserialize, Serialize};
use windlass::Time;

use super::{
    CampaignId, ListId, TemplateId, UserId,
    variant::{Alternative, Arm, MAX_VARIANTS, USUAL_WEIGHT, Variant, WEIGHTS},
    words,
};
use crate::{channel::Channel, window};

/// Steps of a sequence at most: a year of weekly touches.
pub const MAX_STEPS: usize = 52;

/// Where a campaign stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CampaignStatus {
    /// It is being written.
    Draft,
    /// It is launched, and begins at a time to come.
    Scheduled,
    /// Its touches go out.
    Running,
    /// Nothing of it goes out until it is resumed.
    Paused,
    /// Every contact has come to the end of the sequence, or was stopped.
    Done,
    /// Somebody ended it.
    Cancelled,
}

words!(CampaignStatus, Condition, EnrolmentStatus, StopReason);

impl CampaignStatus {
    /// Whether it still has touches to send.
    pub fn is_live(self) -> bool {
        matches!(self, CampaignStatus::Scheduled | CampaignStatus::Running | CampaignStatus::Paused)
    }
}

/// The share of a campaign among its user's, unless somebody says otherwise.
pub const USUAL_SHARE: u32 = 10;

/// A campaign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Campaign {
    /// Its number.
    pub id: CampaignId,
    /// Whose it is.
    pub user: UserId,
    /// What people call it.
    pub name: String,
    /// Where it stands.
    pub status: CampaignStatus,
    /// Whom it reaches.
    pub list: Option<ListId>,
    /// The version of the sequence by which contacts are enrolled.
    pub version: u32,
    /// Its share among its user's campaigns, 1 to 100.
    pub weight: u32,
    /// Messages a day at most, over all channels; none is no cap.
    pub daily_cap: Option<u32>,
    /// When it may reach whom.
    pub policy: window::WindowPolicy,
    /// What ends the sequence for a contact.
    pub stop_rules: StopRules,
    /// The postal address that a commercial mail must show.
    pub postal_address: String,
    /// When it begins; none is at its launch.
    pub starts_at: Option<Time>,
    /// When it was launched.
    pub launched_at: Option<Time>,
    /// When every contact had their first step in the queue.
    pub paged_at: Option<Time>,
    /// When it was over.
    pub ended_at: Option<Time>,
    /// Contacts that were on the list at the launch.
    pub contacts: u32,
    /// Grows with every change, so that two people cannot overwrite each other.
    pub revision: i64,
    /// When it was made.
    pub created_at: Time,
    /// Contacts whom it begins with on a day at most; none is as many as the cap has room for. What the cap has beyond them
    /// is for those who are under way.
    pub new_per_day: Option<u32>,
    /// When it goes on by itself, if it is paused; none is when a person says so.
    pub paused_until: Option<Time>,
}

impl Campaign {
    /// Messages a day at most, also by these caps of others.
    pub fn capped_by(&self, others: [Option<u32>; 2]) -> Option<u64> {
        [self.daily_cap, others[0], others[1]].into_iter().flatten().min().map(u64::from)
    }

    /// A draft as it is before anybody says more of it: the usual weight and stop rules, no cap, nobody to reach.
    pub fn draft(user: UserId, name: impl Into<String>, policy: window::WindowPolicy, now: Time) -> Self {
        Self {
            id: CampaignId(0),
            user,
            name: name.into(),
            status: CampaignStatus::Draft,
            list: None,
            version: 1,
            weight: USUAL_SHARE,
            daily_cap: None,
            new_per_day: None,
            policy,
            stop_rules: StopRules::default(),
            postal_address: String::new(),
            starts_at: None,
            launched_at: None,
            paged_at: None,
            ended_at: None,
            contacts: 0,
            revision: 0,
            created_at: now,
            paused_until: None,
        }
    }

    /// Contacts whom it can begin with on a day; none is any number.
    pub fn begins_a_day(&self) -> Option<u32> {
        [self.daily_cap, self.new_per_day].into_iter().flatten().min()
    }
}

/// What ends the sequence for a contact, besides an opt-out, which always does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StopRules {
    /// They answered.
    pub reply: bool,
    /// They followed a link.
    pub click: bool,
    /// A message bounced ([`super::touch::TouchStatus::Bounced`]), and no fallback channel took its place. What failed for any
    /// other reason says nothing of the contact.
    pub bounce: bool,
    /// They answered, or a colleague of theirs in the same campaign did ([`super::account`]).
    pub account_reply: bool,
}

impl StopRules {
    /// Whether an answer ends the sequence of whoever gave it.
    pub fn end_with_reply(&self) -> bool {
        self.reply || self.account_reply
    }
}

impl Default for StopRules {
    fn default() -> Self {
        Self { reply: true, click: false, bounce: true, account_reply: false }
    }
}

/// Why a sequence has ended before its end for a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The contact has answered, and the campaign has that rule.
    Replied,
    /// A colleague of the contact has answered, and the campaign ends the sequence for all of their account.
    ColleagueAnswered,
    /// The contact has followed a link, and the campaign has that rule.
    Clicked,
    /// A message has bounced, and the campaign has that rule.
    Bounced,
    /// The contact wants no more, in whatever way they have said so.
    OptedOut,
    /// The contact has told their provider that it is spam.
    Complained,
    /// A person has passed on that the contact wants no more.
    ByAPerson,
    /// The contact was erased.
    Erased,
    /// The campaign was cancelled.
    CampaignCancelled,
    /// A person has ended this one sequence for the contact.
    StoppedByPerson,
}

impl StopReason {
    /// The reason in plain words.
    pub fn said(self) -> &'static str {
        match self {
            StopReason::Replied => "they answered",
            StopReason::ColleagueAnswered => "a colleague answered",
            StopReason::Clicked => "they followed a link",
            StopReason::Bounced => "a message bounced",
            StopReason::OptedOut => "they opted out",
            StopReason::Complained => "they reported spam",
            StopReason::ByAPerson => "a person opted them out",
            StopReason::Erased => "they were erased",
            StopReason::CampaignCancelled => "the campaign was cancelled",
            StopReason::StoppedByPerson => "a person ended it for them",
        }
    }
}

/// A step of a sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Which step it is, in every version of its campaign's sequence; 0 before somebody has said that or it is written
    /// ([`super::sequence`]).
    #[serde(default, skip_serializing_if = "is_unkeyed")]
    pub key: u32,
    /// By which channel.
    pub channel: Channel,
    /// How long after the touch before it; after the launch for the first.
    #[serde(default = "at_once")]
    pub delay: window::Delay,
    /// Whether it is taken.
    #[serde(default)]
    pub condition: Condition,
    /// What is said; where the step has other variants, this is variant A.
    pub template: TemplateId,
    /// The share of variant A against the others, 1 to 100; only where there are others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// What is said to some of the contacts instead: variants B to E, by the same channel.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Alternative>,
    /// Instead, when the contact cannot be reached by the step's channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
}

impl Step {
    /// A step that is taken in any case, and says one thing to everybody who can be reached so.
    pub fn new(channel: Channel, template: TemplateId, delay: window::Delay) -> Self {
        Self {
            key: 0,
            channel,
            delay,
            condition: Condition::Always,
            template,
            weight: None,
            variants: Vec::new(),
            fallback: None,
        }
    }

    /// The texts among which its contacts are shared, by their letters; empty where it says the same to everybody.
    pub fn arms(&self) -> Vec<Arm> {
        if self.variants.is_empty() {
            return Vec::new();
        }
        let own = (self.template, self.weight.unwrap_or(USUAL_WEIGHT));
        let others = self.variants.iter().map(|other| (other.template, other.weight));
        let all = std::iter::once(own).chain(others);
        let lettered = Variant::ALL.into_iter().zip(all);
        lettered.map(|(variant, (template, weight))| Arm { variant, template, weight }).collect()
    }

    /// Every text that it may say, with the channel by which.
    pub fn texts(&self) -> impl Iterator<Item = (Channel, TemplateId)> + use<> {
        let own = (self.channel, self.template);
        let others: Vec<_> = self.variants.iter().map(|other| (self.channel, other.template)).collect();
        let fallback = self.fallback.as_ref().map(|fallback| (fallback.channel, fallback.template));
        std::iter::once(own).chain(others).chain(fallback)
    }

    /// The same step with that variant alone; none where it has no such variant.
    #[must_use]
    pub fn keeping(&self, variant: Variant) -> Option<Self> {
        let kept = self.arms().into_iter().find(|arm| arm.variant == variant)?;
        Some(Self { template: kept.template, weight: None, variants: Vec::new(), ..self.clone() })
    }

    /// The same step with every weight written out, so that two that mean the same are equal.
    #[must_use]
    pub fn settled(self) -> Self {
        let weight = self.weight.or((!self.variants.is_empty()).then_some(USUAL_WEIGHT));
        Self { weight, ..self }
    }
}

/// Whether a step has no key yet.
fn is_unkeyed(key: &u32) -> bool {
    *key == 0
}

/// The delay of a step that says nothing about it.
fn at_once() -> window::Delay {
    window::Delay::Minutes(0)
}

/// Another channel for the same step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fallback {
    /// By which channel.
    pub channel: Channel,
    /// What is said.
    pub template: TemplateId,
}

/// When a step is taken; it looks at what the campaign knows of the contact then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// In any case.
    #[default]
    Always,
    /// The contact has not answered.
    NotReplied,
    /// A mail of the campaign was opened.
    Opened,
    /// No mail of the campaign was opened.
    NotOpened,
    /// A link of the campaign was followed.
    Clicked,
    /// No link of the campaign was followed.
    NotClicked,
    /// The message of the step before was not delivered.
    NotDelivered,
}

/// Where a contact stands in a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnrolmentStatus {
    /// They have steps before them.
    Active,
    /// They have come to the end of the sequence.
    Done,
    /// Something ended the sequence for them.
    Stopped,
}

/// What is wrong with a sequence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    /// It is empty.
    #[error("a campaign needs at least one step")]
    Empty,
    /// It is longer than [`MAX_STEPS`].
    #[error("a sequence has at most {MAX_STEPS} steps, this one has {0}")]
    TooLong(usize),
    /// A step's fallback is the channel that it stands in for.
    #[error("step {0} falls back from {1} to {1}: choose another channel")]
    SameFallback(usize, Channel),
    /// A delay is out of its bounds.
    #[error("step {0}: {1}")]
    Delay(usize, String),
    /// It has more than [`MAX_VARIANTS`].
    #[error("step {0} has {1} variants, its own template among them: {MAX_VARIANTS} are the most")]
    TooManyVariants(usize, usize),
    /// Two variants say the same, so that nothing could come of a comparison.
    #[error("step {0}: two of its variants say template {1}: choose another for one of them")]
    SameTemplate(usize, TemplateId),
    /// A variant weighs nothing, or too much.
    #[error("step {0}: a variant weighs 1 to 100, and not {1}; to leave one out, remove it")]
    Weight(usize, u32),
    /// A step with one text shares nothing.
    #[error("step {0}: a weight shares contacts among variants: give `variants`, or leave `weight` out")]
    LoneWeight(usize),
}

/// Refuses a sequence that cannot be carried out.
///
/// # Errors
/// The first fault.
pub fn check_sequence(steps: &[Step]) -> Result<(), SequenceError> {
    if steps.is_empty() {
        return Err(SequenceError::Empty);
    }
    if steps.len() > MAX_STEPS {
        return Err(SequenceError::TooLong(steps.len()));
    }
    for (number, step) in (1..).zip(steps) {
        if step.fallback.as_ref().is_some_and(|fallback| fallback.channel == step.channel) {
            return Err(SequenceError::SameFallback(number, step.channel));
        }
        step.delay.checked().map_err(|why| SequenceError::Delay(number, why.to_string()))?;
        check_variants(number, step)?;
    }
    Ok(())
}

fn check_variants(number: usize, step: &Step) -> Result<(), SequenceError> {
    if step.variants.is_empty() {
        return if step.weight.is_some() { Err(SequenceError::LoneWeight(number)) } else { Ok(()) };
    }
    let variants = step.variants.len() + 1;
    if variants > MAX_VARIANTS {
        return Err(SequenceError::TooManyVariants(number, variants));
    }
    let arms = step.arms();
    for (nth, arm) in arms.iter().enumerate() {
        if !WEIGHTS.contains(&arm.weight) {
            return Err(SequenceError::Weight(number, arm.weight));
        }
        if arms[..nth].iter().any(|earlier| earlier.template == arm.template) {
            return Err(SequenceError::SameTemplate(number, arm.template));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    fn step(written: serde_json::Value) -> Step {
        from_value(written).expect("a step")
    }

    #[test]
    fn a_step_as_it_was_always_written_has_one_text_and_is_written_as_it_was() {
        let written = json!({"channel": "email", "delay": {"unit": "minutes", "count": 0}, "condition": "always", "template": 1});
        let step = step(written.clone());
        assert_eq!((step.arms(), step.clone().settled()), (Vec::new(), step.clone()));
        assert_eq!(serde_json::to_value(&step).expect("JSON"), written);
        assert_eq!(check_sequence(&[step]), Ok(()));
    }

    #[test]
    fn variants_have_letters_in_their_order_and_weigh_the_same_unless_somebody_says_otherwise() {
        let step = step(
            json!({"channel": "sms", "template": 1, "variants": [{"template": 7}, {"template": 8, "weight": 20}]}),
        );
        let arms: Vec<_> = step.arms().iter().map(|arm| (arm.variant, arm.template.0, arm.weight)).collect();
        assert_eq!(arms, [(Variant::A, 1, 50), (Variant::B, 7, 50), (Variant::C, 8, 20)]);
        assert_eq!(step.clone().settled().weight, Some(50));
        assert_eq!(step.texts().map(|(_, id)| id.0).collect::<Vec<_>>(), [1, 7, 8]);
        let kept = step.keeping(Variant::B).expect("it has a B");
        assert_eq!((kept.template, kept.arms(), kept.weight), (TemplateId(7), Vec::new(), None));
        assert_eq!(step.keeping(Variant::D), None);
        assert_eq!(check_sequence(&[step]), Ok(()));
    }

    #[test]
    fn what_makes_no_sense_of_variants_is_refused_with_its_step() {
        let plain = json!({"channel": "email", "template": 1});
        let with = |field: &str, value: serde_json::Value| {
            let mut written = plain.clone();
            written[field] = value;
            written
        };
        let others = |ids: &[i64]| ids.iter().map(|id| json!({ "template": id })).collect::<Vec<_>>();
        let mut light = with("variants", json!(others(&[2])));
        light["weight"] = json!(0);
        for (wrong, why) in [
            (with("variants", json!(others(&[2, 3, 4, 5, 6]))), SequenceError::TooManyVariants(2, 6)),
            (with("variants", json!(others(&[1]))), SequenceError::SameTemplate(2, TemplateId(1))),
            (with("variants", json!(others(&[2, 2]))), SequenceError::SameTemplate(2, TemplateId(2))),
            (with("variants", json!([{"template": 2, "weight": 101}])), SequenceError::Weight(2, 101)),
            (light, SequenceError::Weight(2, 0)),
            (with("weight", json!(50)), SequenceError::LoneWeight(2)),
        ] {
            let steps = [step(plain.clone()), step(wrong)];
            assert_eq!(check_sequence(&steps), Err(why.clone()));
            assert!(why.to_string().starts_with("step 2"), "{why}");
        }
        assert!(from_value::<Step>(with("variants", json!([{"template": 2, "share": 9}]))).is_err());
    }

    #[test]
    fn a_letter_is_known_small_and_capital() {
        assert_eq!(
            (Variant::named("b"), Variant::named(" E "), Variant::named("F")),
            (Some(Variant::B), Some(Variant::E), None)
        );
        assert_eq!(Variant::C.to_string(), "C");
    }
}

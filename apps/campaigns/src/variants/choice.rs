//! Which variant of a step a contact gets: a function of campaign, step, contact and weights, and of nothing else.
//!
//! So a step that is taken once more after a crash says the same, in whatever process, and no order of contacts, no clock
//! and no chance has a part in it. The three numbers are hashed together, so that who gets variant A in one step has no
//! bearing on what they get in another, or in another campaign. The hash is written down in a test: another one would
//! change what running campaigns say to those whose step is decided again.

use ring::digest::{Context, SHA256};

use crate::{
    channel::Channel,
    model::{
        CampaignId, ContactId, TemplateId,
        campaign::Step,
        variant::{Arm, Variant},
    },
};

/// What keeps these hashes apart from any other that is made of the same numbers.
const PURPOSE: &[u8] = b"windlass campaigns: variant\0";

/// What a step says to a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// The text.
    pub template: TemplateId,
    /// Which variant that is; none where the step says the same to everybody.
    pub variant: Option<Variant>,
}

/// For whom a step is taken: its campaign, its key, and the contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct For {
    /// The campaign.
    pub campaign: CampaignId,
    /// The step's key: whoever moves a step does not share out its contacts anew.
    pub step: u32,
    /// The contact.
    pub contact: ContactId,
}

/// What that step says by that channel: one of its variants by its own, always the same by the one that it falls back on;
/// nothing by a third.
pub fn choose(step: &Step, channel: Channel, whose: For) -> Option<Said> {
    if channel == step.channel {
        let arms = step.arms();
        return Some(match drawn(&arms, whose) {
            Some(arm) => Said { template: arm.template, variant: Some(arm.variant) },
            None => Said { template: step.template, variant: None },
        });
    }
    let fallback = step.fallback.as_ref().filter(|fallback| fallback.channel == channel)?;
    Some(Said { template: fallback.template, variant: None })
}

/// The variant of these that is a contact's; none of none.
pub fn drawn(arms: &[Arm], whose: For) -> Option<Arm> {
    let weights: u64 = arms.iter().map(|arm| u64::from(arm.weight)).sum();
    // The upper half of the product is a number below `weights`, each as likely as any other to one in 2^55.
    let mut lot = u64::try_from((u128::from(hash(whose)) * u128::from(weights)) >> 64).unwrap_or(0);
    for arm in arms {
        match lot.checked_sub(u64::from(arm.weight)) {
            Some(rest) => lot = rest,
            None => return Some(*arm),
        }
    }
    arms.last().copied()
}

fn hash(whose: For) -> u64 {
    let For { campaign, step, contact } = whose;
    let mut context = Context::new(&SHA256);
    context.update(PURPOSE);
    context.update(&campaign.0.to_be_bytes());
    context.update(&step.to_be_bytes());
    context.update(&contact.0.to_be_bytes());
    let digest = context.finish();
    digest.as_ref().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const CONTACTS: i64 = 100_000;

    fn arms(weights: &[u32]) -> Vec<Arm> {
        let lettered = Variant::ALL.into_iter().zip(1..).zip(weights);
        lettered
            .map(|((variant, id), weight)| Arm { variant, template: TemplateId(id), weight: *weight })
            .collect()
    }

    fn of(campaign: i64, step: u32, contact: i64) -> For {
        For { campaign: CampaignId(campaign), step, contact: ContactId(contact) }
    }

    #[test]
    fn each_variant_gets_its_share_of_the_contacts() {
        for weights in [&[50, 50][..], &[90, 10], &[1, 1, 1], &[100, 1], &[30, 20, 25, 15, 10]] {
            let arms = arms(weights);
            let mut got: BTreeMap<Variant, f64> = BTreeMap::new();
            for contact in 1..=CONTACTS {
                *got.entry(drawn(&arms, of(7, 2, contact)).expect("there are some").variant).or_default() +=
                    1.0;
            }
            let sum = f64::from(weights.iter().sum::<u32>());
            for arm in &arms {
                let (n, share) = (CONTACTS as f64, f64::from(arm.weight) / sum);
                let deviations = (got[&arm.variant] - n * share) / (n * share * (1.0 - share)).sqrt();
                assert!(
                    deviations.abs() < 4.0,
                    "{weights:?} {}: {deviations:.2} standard deviations",
                    arm.variant
                );
            }
        }
    }

    #[test]
    fn what_a_contact_gets_in_one_step_says_nothing_of_another_step_or_campaign() {
        let arms = arms(&[50, 50]);
        let gets_a = |whose| drawn(&arms, whose).is_some_and(|arm| arm.variant == Variant::A);
        for (one, other) in [((7, 1), (7, 2)), ((7, 1), (8, 1)), ((7, 1), (8, 2)), ((1, 2), (2, 1))] {
            let mut table = [[0.0_f64; 2]; 2];
            for contact in 1..=CONTACTS {
                let row = usize::from(gets_a(of(one.0, one.1, contact)));
                let column = usize::from(gets_a(of(other.0, other.1, contact)));
                table[row][column] += 1.0;
            }
            // Pearson's chi-squared of two by two, one degree of freedom: above 15.1 in one case of ten thousand.
            let [[a, b], [c, d]] = table;
            let n = CONTACTS as f64;
            let chi = n * (a * d - b * c).powi(2) / ((a + b) * (c + d) * (a + c) * (b + d));
            assert!(chi < 15.1, "{one:?} and {other:?}: {chi:.1} of {table:?}");
        }
    }

    #[test]
    fn a_choice_is_the_same_for_ever() {
        let arms = arms(&[50, 50]);
        let letters: String = (1..=24)
            .filter_map(|contact| drawn(&arms, of(1, 1, contact)))
            .map(|arm| arm.variant.to_string())
            .collect();
        assert_eq!(letters, "BBABBAABBBABAABABBABAABA");
        assert_eq!(hash(of(1, 2, 3)), 0xd307_7b50_2048_0265);
    }

    #[test]
    fn whoever_has_the_greater_weight_takes_contacts_and_gives_none() {
        // A test whose weights are changed half way keeps most contacts where they are.
        let (before, after) = (arms(&[50, 50]), arms(&[80, 20]));
        for contact in 1..=1_000 {
            let (was, is) = (drawn(&before, of(1, 1, contact)), drawn(&after, of(1, 1, contact)));
            let moved = was.map(|arm| arm.variant) == Some(Variant::A)
                && is.map(|arm| arm.variant) == Some(Variant::B);
            assert!(!moved, "contact {contact}");
        }
    }

    #[test]
    fn the_channel_that_a_step_falls_back_on_says_one_thing_and_a_third_says_nothing() {
        let step: Step = serde_json::from_value(serde_json::json!({
            "channel": "email", "template": 1, "variants": [{"template": 2}], "fallback": {"channel": "sms", "template": 3}
        }))
        .expect("a step");
        let whose = of(1, 1, 1);
        let mail = choose(&step, Channel::Email, whose).expect("it says something");
        assert!(mail.variant.is_some());
        assert_eq!(choose(&step, Channel::Sms, whose), Some(Said { template: TemplateId(3), variant: None }));
        assert_eq!(choose(&step, Channel::Voicemail, whose), None);
        let plain = step.keeping(Variant::B).expect("it has a B");
        assert_eq!(
            choose(&plain, Channel::Email, whose),
            Some(Said { template: TemplateId(2), variant: None })
        );
        assert_eq!(drawn(&[], whose), None);
    }
}

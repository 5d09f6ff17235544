use std::collections::VecDeque;

use proptest::prelude::*;

use super::{super::Refusal, super::SendError, *};

const POLICY: Policy = Policy {
    window: 10,
    least_outcomes: 4,
    open_at_percent: 50,
    cool_down_ms: 1_000,
    longest_cool_down_ms: 5_000,
    probe_ms: 300,
};

fn pass(breaker: &mut Breaker, now: Time) -> Pass {
    match breaker.ask(now, &POLICY) {
        Answer::Pass(pass) => pass,
        Answer::Wait { why, .. } => panic!("{why}"),
    }
}

fn waits_until(breaker: &mut Breaker, now: Time) -> Option<Time> {
    match breaker.ask(now, &POLICY) {
        Answer::Wait { until, .. } => until,
        Answer::Pass(pass) => panic!("{pass:?}"),
    }
}

fn opened(now: Time) -> Breaker {
    let mut breaker = Breaker::default();
    breaker.trip("401 wrong password", now, &POLICY);
    breaker
}

#[test]
fn it_opens_at_the_rate_but_not_before_there_are_enough_outcomes() {
    let mut breaker = Breaker::default();
    for at in 0..3 {
        let pass = pass(&mut breaker, Time(at));
        breaker.record(pass, Sign::Ill, "timed out", Time(at), &POLICY);
        assert!(!breaker.holds_back(), "{at}: three outcomes are no rate");
    }
    let last = pass(&mut breaker, Time(3));
    breaker.record(last, Sign::Ill, "timed out", Time(3), &POLICY);
    assert!(breaker.holds_back());
    assert_eq!(waits_until(&mut breaker, Time(4)), Some(Time(1_003)));
    assert!(breaker.says().contains("timed out"), "{breaker}");
}

#[test]
fn the_cool_down_doubles_up_to_its_bound_and_success_ends_it() {
    let mut breaker = opened(Time(0));
    let mut now = Time(0);
    for cool_down in [1_000, 2_000, 4_000, 5_000, 5_000] {
        assert_eq!(waits_until(&mut breaker, now), Some(now.plus_ms(cool_down)));
        now = now.plus_ms(cool_down);
        assert!(waits_until(&mut breaker, now.minus_ms(1)).is_some(), "not a millisecond early");
        let probe = pass(&mut breaker, now);
        assert_eq!(waits_until(&mut breaker, now), Some(now.plus_ms(POLICY.probe_ms)), "one at a time");
        breaker.record(probe, Sign::Ill, "again", now, &POLICY);
    }
    now = now.plus_ms(5_000);
    let probe = pass(&mut breaker, now);
    breaker.record(probe, Sign::Well, "", now, &POLICY);
    assert_eq!(breaker.state(), "closed");
    breaker.trip("once more", now, &POLICY);
    assert_eq!(waits_until(&mut breaker, now), Some(now.plus_ms(1_000)), "it begins anew");
}

#[test]
fn an_attempt_from_before_it_opened_neither_closes_nor_opens_it() {
    let mut breaker = Breaker::default();
    let early = pass(&mut breaker, Time(0));
    breaker.trip("401", Time(1), &POLICY);
    let before = breaker.clone();
    breaker.record(early, Sign::Well, "", Time(2), &POLICY);
    breaker.record(early, Sign::Ill, "late", Time(2), &POLICY);
    assert_eq!(breaker, before);
}

#[test]
fn a_probe_whose_process_died_makes_room_for_another_and_counts_no_more() {
    let mut breaker = opened(Time(0));
    let lost = pass(&mut breaker, Time(1_000));
    let next = pass(&mut breaker, Time(1_300));
    breaker.record(lost, Sign::Ill, "late", Time(1_301), &POLICY);
    assert_eq!(breaker.state(), "probing", "the newer probe decides");
    breaker.record(next, Sign::Well, "", Time(1_302), &POLICY);
    assert_eq!(breaker.state(), "closed");
    breaker.record(lost, Sign::Ill, "late", Time(1_303), &POLICY);
    assert_eq!(breaker, Breaker { probes: 2, ..Breaker::default() });
}

#[test]
fn a_probe_that_was_not_made_leaves_its_place_to_the_next() {
    let mut breaker = opened(Time(0));
    let unused = pass(&mut breaker, Time(1_000));
    breaker.give_back(unused);
    let _ = pass(&mut breaker, Time(1_001));
    breaker.give_back(unused);
    assert!(waits_until(&mut breaker, Time(1_002)).is_some(), "an old pass frees nothing");
}

#[test]
fn a_person_goes_before_every_outcome_until_the_breaker_is_let_go() {
    let mut breaker = Breaker::default();
    breaker.force(Gate::Open, "ann", "the provider asked us to", Time(5));
    assert_eq!(waits_until(&mut breaker, Time(u64::MAX)), None, "no time lets it go");
    assert!(breaker.says().contains("ann") && breaker.says().contains("asked us"), "{breaker}");
    breaker.release(&POLICY);
    let probe = pass(&mut breaker, Time(6));
    assert!(breaker.holds_back(), "it begins with a probe");
    breaker.record(probe, Sign::Well, "", Time(7), &POLICY);
    assert!(!breaker.holds_back());

    breaker.force(Gate::Closed, "ann", "we know", Time(8));
    for _ in 0..20 {
        let pass = pass(&mut breaker, Time(9));
        breaker.record(pass, Sign::Ill, "x", Time(9), &POLICY);
        breaker.trip("x", Time(9), &POLICY);
    }
    assert_eq!(breaker.state(), "forced closed");
    breaker.release(&POLICY);
    assert_eq!(breaker.state(), "closed");
}

#[test]
fn a_recipients_error_never_says_that_the_provider_is_ill() {
    let refused = |class| {
        let (code, why) = ("x/1".to_owned(), String::new());
        SendOutcome::Refused(Refusal { code, why, class, retry_after_ms: None })
    };
    let unanswered = SendOutcome::Unanswered(SendError::not_sent("down"));
    use Action::{Brake, Fail, OpenBreaker, Retry, SlowDomain, SlowProvider, SlowSender, Suppress};
    for class in [RefusalClass::Temporary, RefusalClass::Permanent] {
        for action in [Retry, SlowSender, SlowDomain, SlowProvider, Fail, Suppress] {
            assert_eq!(Sign::of_provider(&refused(class), Some(action)), Sign::Well);
            assert_eq!(Sign::of_sender(&refused(class), Some(action)), Some(Sign::Well));
        }
    }
    let ours = refused(RefusalClass::Ours);
    assert_eq!(Sign::of_provider(&ours, Some(OpenBreaker)), Sign::Ill);
    assert_eq!(
        Sign::of_provider(&ours, Some(Brake)),
        Sign::Well,
        "one bad sender is not the provider's fault"
    );
    assert_eq!(Sign::of_sender(&ours, Some(Brake)), Some(Sign::Ill));
    assert_eq!(Sign::of_sender(&ours, Some(OpenBreaker)), None);
    assert_eq!(Sign::of_provider(&unanswered, None), Sign::Ill);
    assert_eq!(Sign::of_sender(&unanswered, None), None, "a provider that is down is not the sender's fault");
}

#[derive(Clone, Debug)]
enum Step {
    Ask,
    /// Reports one of the passes that are out.
    Report(prop::sample::Index, Sign),
    GiveBack(prop::sample::Index),
    Trip,
    Force(Gate),
    Release,
    Later(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let sign = prop::bool::ANY.prop_map(|ill| if ill { Sign::Ill } else { Sign::Well });
    let step = prop_oneof![
        6 => Just(Step::Ask),
        6 => (any::<prop::sample::Index>(), sign).prop_map(|(which, sign)| Step::Report(which, sign)),
        1 => any::<prop::sample::Index>().prop_map(Step::GiveBack),
        1 => Just(Step::Trip),
        1 => prop::bool::ANY.prop_map(|open| Step::Force(if open { Gate::Open } else { Gate::Closed })),
        2 => Just(Step::Release),
        4 => (0u64..3_000).prop_map(Step::Later),
    ];
    prop::collection::vec(step, 1..200)
}

fn policies() -> impl Strategy<Value = Policy> {
    (0u32..100, 0u32..100, 0u32..150, 0u64..2_000, 0u64..6_000, 0u64..500).prop_map(
        |(window, least_outcomes, open_at_percent, cool_down_ms, longest_cool_down_ms, probe_ms)| Policy {
            window,
            least_outcomes,
            open_at_percent,
            cool_down_ms,
            longest_cool_down_ms,
            probe_ms,
        },
    )
}

proptest! {
    #[test]
    fn nothing_passes_a_breaker_that_is_open_and_one_probe_at_a_time_afterwards(
        steps in steps(),
        policy in policies(),
    ) {
        let bounds = policy.in_range();
        let (mut breaker, mut now) = (Breaker::default(), Time(1_000_000));
        let mut out: Vec<Pass> = Vec::new();
        let mut probe_out: Option<(Pass, Time)> = None;
        for step in steps {
            let before = breaker.clone();
            match step {
                Step::Later(ms) => now = now.plus_ms(ms),
                Step::Ask => match breaker.ask(now, &policy) {
                    Answer::Pass(pass) => {
                        prop_assert!(before.forced().is_none_or(|forced| forced.gate == Gate::Closed));
                        if let Phase::Open { until, .. } = &before.phase && before.forced.is_none() {
                            prop_assert!(now >= *until, "it passed before its time");
                        }
                        if pass.probe.is_some() {
                            if let Some((_, until)) = probe_out {
                                prop_assert!(now >= until, "two probes at once");
                            }
                            probe_out = Some((pass, now.plus_ms(bounds.probe_ms)));
                        } else {
                            prop_assert!(!before.holds_back(), "only a probe passes");
                        }
                        out.push(pass);
                    }
                    Answer::Wait { until, why } => {
                        prop_assert!(before.holds_back() && breaker == before && !why.is_empty());
                        prop_assert!(until.is_none_or(|until| until > now), "asking again must be worth it");
                        prop_assert_eq!(until.is_none(), before.forced.is_some());
                    }
                },
                Step::Report(which, sign) => {
                    if !out.is_empty() {
                        let pass = out.swap_remove(which.index(out.len()));
                        breaker.record(pass, sign, "why", now, &policy);
                        if probe_out.is_some_and(|(probe, _)| probe == pass) && breaker != before {
                            probe_out = None;
                        }
                        if sign == Sign::Well {
                            prop_assert!(before.holds_back() || !breaker.holds_back(), "success opens nothing");
                        }
                    }
                }
                Step::GiveBack(which) => {
                    if !out.is_empty() {
                        let pass = out.swap_remove(which.index(out.len()));
                        breaker.give_back(pass);
                        if probe_out.is_some_and(|(probe, _)| probe == pass) {
                            probe_out = None;
                        }
                    }
                }
                Step::Trip => breaker.trip("why", now, &policy),
                Step::Force(gate) => breaker.force(gate, "ann", "why", now),
                Step::Release => {
                    breaker.release(&policy);
                    if before.forced.is_some() {
                        probe_out = None;
                    }
                }
            }
            if let Phase::Open { since, until, cool_down_ms, .. } = &breaker.phase {
                prop_assert!((bounds.cool_down_ms..=bounds.longest_cool_down_ms).contains(cool_down_ms));
                prop_assert_eq!(until.since(*since), *cool_down_ms);
            }
            let row = serde_json::to_string(&breaker).unwrap();
            prop_assert!(row.len() < 1_500, "{}", row);
            prop_assert_eq!(&serde_json::from_str::<Breaker>(&row).unwrap(), &breaker);
            if !breaker.must_be_written_after(&before) {
                prop_assert_eq!(breaker.holds_back(), before.holds_back());
            }
        }
        // Whatever happened, a provider that is well again is used again.
        breaker.release(&policy);
        now = now.plus_ms(bounds.longest_cool_down_ms + bounds.probe_ms);
        match breaker.ask(now, &policy) {
            Answer::Pass(pass) => breaker.record(pass, Sign::Well, "", now, &policy),
            Answer::Wait { why, .. } => prop_assert!(false, "{}", why),
        }
        prop_assert!(!breaker.holds_back(), "{}", breaker);
    }

    #[test]
    fn it_opens_exactly_when_the_window_says_so(
        signs in prop::collection::vec(prop::bool::weighted(0.4), 1..200),
        policy in policies(),
    ) {
        let bounds = policy.in_range();
        let mut breaker = Breaker::default();
        let mut window = VecDeque::new();
        for ill in signs {
            window.push_back(ill);
            if window.len() > bounds.window as usize {
                window.pop_front();
            }
            let failed = window.iter().filter(|ill| **ill).count();
            let enough = window.len() >= bounds.least_outcomes as usize;
            let expected = ill && enough && failed * 100 >= bounds.open_at_percent as usize * window.len();
            let sign = if ill { Sign::Ill } else { Sign::Well };
            breaker.record(Pass { probe: None }, sign, "why", Time(7), &policy);
            prop_assert_eq!(breaker.holds_back(), expected);
            if expected {
                break;
            }
        }
    }
}

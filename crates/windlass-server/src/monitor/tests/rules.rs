//! Each condition: it fires, it keeps quiet when it should, and it is over.

use windlass_api::monitor::{Rule, Stage, When};
use windlass_core::ScheduleName;
use windlass_core::queue::QueueSettings;
use windlass_core::schedule::Timing;
use windlass_core::store::{Hello, ScheduleInfo, ScheduleSpec};
use windlass_core::{Kind, Time, WorkerId};

use crate::failures::{self, Word};
use crate::monitor::record::Record;
use crate::monitor::sight::Sight;
use crate::monitor::{checks, config};

use super::place::{GATHER, HOUR, MINUTE, Place, SECOND, of, queue, said, some};

#[tokio::test]
async fn dead_jobs_fire_above_the_number_and_are_over_at_it() {
    let place = Place::with("r", Rule { above: Some(2), queue: "mail*".into(), ..of(When::Dead) }).await;
    place.kill("mail", 2, "boom").await;
    place.kill("other", 9, "boom").await;
    assert_eq!(place.told().await, []);
    place.kill("mail", 1, "boom").await;
    let told = place.told().await;
    assert_eq!(said(&told), (vec!["mail"], vec![]));
    let incident = &told[0].data.firing[0];
    assert_eq!(incident.text, "has 3 dead jobs");
    assert_eq!(incident.page, "https://q.example/jobs?filter=queue:mail%20state:dead");
    place.bury("mail").await;
    assert_eq!(place.after(0).await, [], "not before it has been quiet for its time");
    place.after(MINUTE).await;
    assert_eq!(said(&place.after(GATHER).await), (vec![], vec!["mail"]));
    assert_eq!(place.after(HOUR).await, []);
}

#[tokio::test]
async fn dead_jobs_that_nobody_looks_at_fire_when_they_are_old() {
    let place = Place::with("r", Rule { longer_than: some("1d"), ..of(When::DeadAge) }).await;
    place.kill("mail", 1, "boom").await;
    assert_eq!(place.after(0).await, []);
    assert_eq!(place.after(23 * HOUR).await, []);
    place.bury("mail").await;
    place.after(SECOND).await;
    place.kill("mail", 1, "boom").await;
    assert_eq!(place.after(2 * HOUR).await, [], "between them the queue had none");
    place.after(23 * HOUR).await;
    let told = place.after(GATHER).await;
    assert_eq!(said(&told), (vec!["mail"], vec![]));
    assert_eq!(told[0].data.firing[0].text, "has had dead jobs without a break; 1 now");
}

#[tokio::test]
async fn dead_jobs_from_before_anybody_watched_are_as_old_as_they_are() {
    let place = Place::silent(None).await;
    place.kill("mail", 1, "boom").await;
    place.after(25 * HOUR).await;
    place.set("r", Rule { longer_than: some("1d"), ..of(When::DeadAge) }).await;
    assert_eq!(said(&place.told().await), (vec!["mail"], vec![]));
}

#[tokio::test]
async fn deaths_fire_by_their_number_within_a_time_and_not_over_a_longer_one() {
    let place = Place::with("r", Rule { above: Some(4), within: some("5m"), ..of(When::DeadRate) }).await;
    place.kill("mail", 50, "before anybody looked").await;
    assert_eq!(place.told().await, []);
    for _ in 0..10 {
        place.kill("mail", 3, "slowly").await;
        assert_eq!(place.after(5 * MINUTE).await, []);
    }
    place.after(10 * MINUTE).await;
    place.kill("mail", 4, "as many as may").await;
    assert_eq!(place.told().await, []);
    place.kill("mail", 1, "one more").await;
    assert_eq!(said(&place.told().await), (vec!["mail"], vec![]));
    place.after(6 * MINUTE).await;
    place.after(MINUTE).await;
    assert_eq!(
        said(&place.after(GATHER).await),
        (vec![], vec!["mail"]),
        "no new ones, however many are dead"
    );
}

#[tokio::test]
async fn the_first_deaths_of_a_queue_count() {
    let place = Place::with("r", Rule { above: Some(1), within: some("5m"), ..of(When::DeadRate) }).await;
    place.look().await;
    place.kill("new", 2, "boom").await;
    assert_eq!(said(&place.told().await), (vec!["new"], vec![]));
}

#[tokio::test]
async fn deaths_fire_by_their_share_of_what_ended() {
    let place = Place::with("r", Rule { above: Some(10), within: some("10m"), ..of(When::DeadShare) }).await;
    place.look().await;
    place.complete("good", 18).await;
    place.kill("good", 2, "boom").await;
    place.complete("bad", 17).await;
    place.kill("bad", 2, "boom").await;
    let told = place.told().await;
    assert_eq!(said(&told), (vec!["bad"], vec![]), "2 of 20 are a tenth, 2 of 19 are more");
    assert_eq!(told[0].data.firing[0].text, "lost 2 of 19 jobs that ended in 10m");
    place.complete("bad", 20).await;
    place.after(0).await;
    place.after(MINUTE).await;
    assert_eq!(said(&place.after(GATHER).await), (vec![], vec!["bad"]));
}

#[tokio::test]
async fn a_failure_mode_fires_once_in_each_queue_in_which_it_is_new() {
    let place = Place::silent(None).await;
    place.kill("mail", 1, "known before anybody watched").await;
    place.set("r", of(When::NewFailureMode)).await;
    assert_eq!(place.told().await, []);
    place.kill("mail", 3, "a new one").await;
    let told = place.told().await;
    assert_eq!(said(&told), (vec!["mail"], vec![]));
    assert_eq!(told[0].data.firing[0].text, "fails in a new way: a new one (3 dead jobs)");
    place.kill("mail", 9, "a new one").await;
    assert_eq!(place.told().await, [], "it is known now");
    place.bury("mail").await;
    place.after(11 * MINUTE).await;
    place.after(MINUTE).await;
    assert_eq!(said(&place.after(GATHER).await), (vec![], vec!["mail"]));
    place.kill("mail", 1, "a new one").await;
    assert_eq!(place.told().await, [], "and stays known");
    place.kill("sms", 1, "a new one").await;
    assert_eq!(said(&place.told().await), (vec!["sms"], vec![]), "but not in another queue");
}

#[tokio::test]
async fn a_failure_mode_that_somebody_has_muted_or_resolved_is_over() {
    let place = Place::with("r", of(When::NewFailureMode)).await;
    place.look().await;
    for message in ["muted one", "resolved one", "open one"] {
        place.kill("mail", 1, message).await;
    }
    place.told().await;
    assert_eq!(place.incidents(Stage::Firing).await.len(), 3);
    for mode in place.store().errors(None, 10).await.expect("modes") {
        let word = match mode.title.split(' ').next() {
            Some("muted") => Word::Mute,
            Some("resolved") => Word::Resolve,
            _ => continue,
        };
        failures::say(&place.app, mode.fingerprint, word).await.expect("a word");
    }
    place.after(SECOND).await;
    place.after(2 * MINUTE).await;
    let firing = place.incidents(Stage::Firing).await;
    assert_eq!(firing.len(), 1, "{firing:?}");
    assert!(firing[0].text.contains("open one"), "{firing:?}");
}

#[tokio::test]
async fn a_ready_job_fires_when_it_waits_for_too_long() {
    let rule =
        Rule { longer_than: some("5m"), held_for: some("1m").unwrap_or_default(), ..of(When::OldestReady) };
    let place = Place::with("r", rule).await;
    place.enqueue("mail", 2).await;
    place.after(5 * MINUTE).await;
    place.after(SECOND).await;
    assert_eq!(place.incidents(Stage::Pending).await.len(), 1);
    assert_eq!(place.incidents(Stage::Firing).await.len(), 0);
    place.after(MINUTE).await;
    let told = place.after(GATHER).await;
    assert_eq!(said(&told), (vec!["mail"], vec![]));
    assert!(
        told[0].data.firing[0].text.starts_with("has 2 ready jobs, and the oldest waits for 6m"),
        "{told:?}"
    );
    assert_eq!(told[0].data.firing[0].page, "https://q.example/queues/mail");
}

#[tokio::test]
async fn what_is_pending_and_over_again_is_told_to_nobody() {
    let rule = Rule { held_for: some("10m").unwrap_or_default(), ..of(When::Paused) };
    let place = Place::with("r", rule).await;
    place.enqueue("mail", 1).await;
    for _ in 0..5 {
        place.store().pause(queue("mail"), true, None).await.expect("an answer").expect("a pause");
        assert_eq!(place.after(0).await, []);
        assert_eq!(place.after(9 * MINUTE).await, []);
        place.store().pause(queue("mail"), false, None).await.expect("an answer").expect("a pause");
        assert_eq!(place.after(2 * MINUTE).await, []);
    }
    assert_eq!(crate::monitor::incidents(&place.app).await.expect("incidents"), []);
    place.store().pause(queue("mail"), true, None).await.expect("an answer").expect("a pause");
    place.after(0).await;
    place.after(10 * MINUTE).await;
    let told = place.after(GATHER).await;
    assert_eq!(told[0].data.summary, "[warning] mail is paused and has 1 ready job");
}

#[tokio::test]
async fn a_queue_without_a_worker_fires_while_jobs_are_ready() {
    let place = Place::with("r", of(When::NoWorker)).await;
    place.enqueue("mail", 1).await;
    place.enqueue("sms", 1).await;
    let hello =
        Hello { worker: WorkerId(9), host: "h".into(), version: "1".into(), queues: vec![(queue("sms"), 1)] };
    place.store().hello(hello, None).await.expect("a hello");
    assert_eq!(said(&place.told().await), (vec!["mail"], vec![]));
}

#[tokio::test]
async fn a_queue_fires_before_it_refuses() {
    let place = Place::with("r", Rule { above: Some(90), ..of(When::NearlyFull) }).await;
    place.settings("mail", QueueSettings { max_waiting: Some(10), ..QueueSettings::default() }).await;
    place.enqueue("mail", 8).await;
    assert_eq!(place.told().await, []);
    place.enqueue("mail", 1).await;
    let told = place.told().await;
    assert_eq!(told[0].data.firing[0].text, "holds 9 of the 10 jobs that it may");
}

/// What a server sees whose store has those schedules and nothing else, or whose store is full. A store that does its
/// upkeep misses no tick, and a disk of a test has room.
async fn seen(place: &Place, schedules: Vec<ScheduleInfo>, space_low: bool) -> Vec<String> {
    let config = config::read(&place.app).await.expect("rules");
    let mut sight = Sight::of(&place.app, &config, place.now()).await.expect("a look");
    sight.schedules = schedules;
    if let Some(store) = &mut sight.store {
        store.space_low = space_low;
    }
    let record = Record::default();
    let rules = config.watching();
    rules
        .flat_map(|(name, rule)| checks::find(name, rule, &sight, &record))
        .map(|found| found.subject)
        .collect()
}

#[tokio::test]
async fn a_schedule_that_is_late_fires_and_a_paused_one_does_not() {
    let place = Place::with("r", Rule { longer_than: some("2m"), ..of(When::ScheduleMissed) }).await;
    let info = |name: &str, paused, next_tick| ScheduleInfo {
        spec: ScheduleSpec {
            name: ScheduleName::new(name).expect("a name"),
            timing: Timing::Interval { every_ms: HOUR, anchor: Time(0) },
            overlap: Default::default(),
            catch_up: Default::default(),
            queue: queue("reports"),
            kind: Kind::new("report").expect("a kind"),
            payload: b"{}".to_vec(),
            group: None,
            priority: 0,
            paused,
        },
        last_tick: None,
        last_job: None,
        next_tick,
        ticks: 0,
        skipped: 0,
    };
    let now = place.now();
    let all = vec![
        info("late", false, Some(now.minus_ms(2 * MINUTE + 1))),
        info("nearly", false, Some(now.minus_ms(2 * MINUTE))),
        info("resting", true, Some(now.minus_ms(HOUR))),
        info("over", false, None),
        info("next", false, Some(now.plus_ms(HOUR))),
    ];
    assert_eq!(seen(&place, all.clone(), false).await, ["late"]);
    place.set("r", Rule { longer_than: some("2m"), queue: "n*".into(), ..of(When::ScheduleMissed) }).await;
    assert_eq!(seen(&place, all, false).await, [""; 0]);
}

#[tokio::test]
async fn a_store_that_runs_out_of_space_fires() {
    let place = Place::with("r", of(When::SpaceLow)).await;
    assert_eq!(seen(&place, Vec::new(), false).await, [""; 0]);
    assert_eq!(seen(&place, Vec::new(), true).await, ["store"]);
}

#[tokio::test]
async fn a_queue_that_does_its_work_makes_no_sound_by_the_rules_that_every_server_has() {
    let place = Place::silent(None).await;
    for shape in crate::monitor::rules(&place.app).await.expect("rules") {
        crate::monitor::remove_rule(&place.app, &shape.name).await.expect("a rule");
    }
    place.settings("mail", QueueSettings { max_waiting: Some(1_000), ..QueueSettings::default() }).await;
    for _ in 0..20 {
        place.complete("mail", 5).await;
        place.complete("sms", 1).await;
        assert_eq!(place.after(MINUTE).await, []);
    }
    assert_eq!(place.incidents(Stage::Firing).await, []);
}

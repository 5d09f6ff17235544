//! From finding to notice: gathering, bounds, reminders, quiet, restarts, several servers.

use windlass_api::monitor::{Quiet, Rule, Stage, When};

use super::place::{GATHER, HOUR, MINUTE, Place, SECOND, look, of, said, server, some};
use crate::monitor;
use crate::monitor::post::NOTICES_AN_HOUR;

fn quiet(text: &str) -> Quiet {
    Quiet { length: some(text) }
}

async fn dead(above: u64) -> Place {
    Place::with("r", Rule { above: Some(above), ..of(When::Dead) }).await
}

#[tokio::test]
async fn what_breaks_together_is_told_in_one_notice() {
    let place = dead(0).await;
    for n in 0..30 {
        place.kill(&format!("q{n:02}"), 1, "boom").await;
    }
    assert_eq!(place.after(0).await, []);
    place.kill("late", 1, "boom").await;
    assert_eq!(place.after(10 * SECOND).await, []);
    let told = place.after(GATHER).await;
    assert_eq!(told.len(), 1);
    let data = &told[0].data;
    assert_eq!((data.firing.len(), data.left_out), (20, 11));
    assert!(data.summary.starts_with("[warning] 31 firing: q00 has 1 dead job"), "{}", data.summary);
    assert_eq!(data.link.as_deref(), Some("https://q.example/monitor"));
    for _ in 0..10 {
        assert_eq!(place.after(MINUTE).await, [], "one notice for each incident");
    }
}

#[tokio::test]
async fn a_channel_gets_no_more_notices_in_an_hour_than_its_bound_and_loses_none() {
    let rule = Rule { above: Some(0), recover_after: some("0s").unwrap_or_default(), ..of(When::Dead) };
    let place = Place::with("r", rule).await;
    let mut notices = 0;
    let mut names = std::collections::BTreeSet::new();
    for n in 0..60 {
        place.kill(&format!("q{n}"), 1, "boom").await;
        place.after(0).await.into_iter().for_each(drop);
        for notice in place.after(GATHER).await {
            notices += 1;
            names.extend(notice.data.firing.iter().map(|incident| incident.subject.clone()));
        }
    }
    assert_eq!(notices, NOTICES_AN_HOUR, "in 21 minutes");
    let rest = place.after(HOUR).await;
    assert_eq!(rest.len(), 1);
    names.extend(rest[0].data.firing.iter().map(|incident| incident.subject.clone()));
    assert_eq!(names.len() as u64 + rest[0].data.left_out, 60);
}

#[tokio::test]
async fn what_goes_on_is_told_again_after_the_rules_time_unless_somebody_looks_into_it() {
    let place = Place::with("r", Rule { above: Some(0), remind_every: some("4h"), ..of(When::Dead) }).await;
    place.kill("mail", 1, "boom").await;
    assert_eq!(place.told().await.len(), 1);
    assert_eq!(place.after(3 * HOUR).await, []);
    place.after(HOUR).await;
    let told = place.after(GATHER).await;
    assert_eq!(told[0].data.summary, "[still] mail has 1 dead job");
    assert_eq!((told[0].data.firing.len(), told[0].data.reminded.len()), (0, 1));
    let id = place.incidents(Stage::Firing).await[0].id.clone();
    monitor::acknowledge(&place.app, &id, &Quiet::default()).await.expect("an incident");
    for _ in 0..5 {
        assert_eq!(place.after(4 * HOUR).await, []);
        assert_eq!(place.after(GATHER).await, []);
    }
    monitor::acknowledge(&place.app, &id, &quiet("0s")).await.expect("an incident");
    place.after(0).await;
    assert_eq!(place.after(GATHER).await.len(), 1, "nobody looks into it any more");
    place.bury("mail").await;
    place.after(0).await;
    place.after(MINUTE).await;
    assert_eq!(
        said(&place.after(GATHER).await),
        (vec![], vec!["mail"]),
        "that it is over is told whoever looks"
    );
    let told = monitor::acknowledge(&place.app, &id, &Quiet::default()).await.expect_err("it is over");
    assert!(told.0.detail.contains("is over"), "{}", told.0.detail);
}

#[tokio::test]
async fn of_what_is_silenced_nothing_is_told_until_its_time_is_over() {
    let place = dead(0).await;
    place.kill("mail", 1, "boom").await;
    place.kill("sms", 1, "boom").await;
    place.after(0).await;
    let incidents = place.incidents(Stage::Firing).await;
    let mail = incidents.iter().find(|incident| incident.subject == "mail").expect("an incident");
    monitor::silence(&place.app, &mail.id, &quiet("2h")).await.expect("an incident");
    assert_eq!(said(&place.after(GATHER).await), (vec!["sms"], vec![]));
    place.bury("mail").await;
    place.after(0).await;
    place.after(MINUTE).await;
    assert_eq!(place.after(GATHER).await, [], "not even that it is over");
    place.kill("mail", 1, "boom").await;
    assert_eq!(place.after(HOUR).await, [], "nor that it comes again");
    place.after(HOUR).await;
    assert_eq!(said(&place.after(GATHER).await), (vec!["mail"], vec![]), "it goes on, and nobody was told");
}

#[tokio::test]
async fn a_rule_that_is_switched_off_ends_what_it_found_without_a_word() {
    let place = dead(0).await;
    place.kill("mail", 1, "boom").await;
    assert_eq!(place.told().await.len(), 1);
    place.set("r", Rule { above: Some(0), enabled: false, ..of(When::Dead) }).await;
    place.after(0).await;
    assert_eq!(place.after(HOUR).await, []);
    assert_eq!(place.incidents(Stage::Firing).await, []);
    assert_eq!(place.incidents(Stage::Recovered).await.len(), 1);
}

#[tokio::test]
async fn a_restart_forgets_nothing_and_tells_nothing_twice() {
    let directory = tempfile::tempdir().expect("a directory");
    let hold = some("10m").unwrap_or_default();
    let first = Place::silent(Some(directory.path())).await;
    first.set("dead", Rule { above: Some(0), ..of(When::Dead) }).await;
    first.set("burst", Rule { above: Some(1), within: some("5m"), ..of(When::DeadRate) }).await;
    first.set("new", of(When::NewFailureMode)).await;
    first.set("paused", Rule { held_for: hold, ..of(When::Paused) }).await;
    first.kill("mail", 1, "boom").await;
    first.store().pause(super::place::queue("mail"), true, None).await.expect("an answer").expect("a pause");
    let told = first.told().await;
    assert_eq!(said(&told), (vec!["mail"], vec![]), "the mode was known at the first look");
    let Place { clock, client, receiver, app } = first;
    drop(app);
    client.store().close().await.expect("the end");
    drop(client);

    let second = Place::on(clock, Some(directory.path()), receiver);
    assert_eq!(second.told().await, []);
    assert_eq!(second.incidents(Stage::Pending).await.len(), 1);
    assert_eq!(second.after(9 * MINUTE).await, [], "the pause is counted from when it was seen");
    second.after(MINUTE).await;
    assert_eq!(said(&second.after(GATHER).await), (vec!["mail"], vec![]));
    assert_eq!(second.incidents(Stage::Firing).await.len(), 2);
    second
        .store()
        .pause(super::place::queue("mail"), false, None)
        .await
        .expect("an answer")
        .expect("a pause");
    second.kill("mail", 2, "boom").await;
    let told = second.told().await;
    assert_eq!(
        told[0].data.firing[0].rule, "burst",
        "deaths are counted from where the first server had come"
    );
}

#[tokio::test]
async fn several_servers_on_a_store_tell_once() {
    let place = dead(0).await;
    let others = [server(&place.client), server(&place.client), server(&place.client)];
    let all = || std::iter::once(&place.app).chain(&others);
    let mut told = Vec::new();
    for round in 0..12 {
        if round == 1 {
            place.kill("mail", 1, "boom").await;
        }
        if round == 6 {
            place.bury("mail").await;
        }
        // All at the same time, and each again with what the others have written.
        for _ in 0..2 {
            let now = place.now();
            futures_util::future::join_all(all().map(|app| look(app, now))).await;
            told.extend(place.receiver.take());
        }
        place.clock.advance_ms(GATHER);
    }
    assert_eq!(said(&told), (vec!["mail"], vec!["mail"]));
    assert_eq!(place.incidents(Stage::Recovered).await.len(), 1);
}

#[tokio::test]
async fn a_look_that_finds_nothing_new_writes_nothing() {
    let place = dead(0).await;
    place.kill("mail", 1, "boom").await;
    place.told().await;
    let key = "windlass.monitor.record".to_owned();
    let (_, before) = place.store().meta(key.clone()).await.expect("a value");
    for _ in 0..20 {
        place.after(MINUTE / 2).await;
    }
    let (_, after) = place.store().meta(key).await.expect("a value");
    assert_eq!(before, after);
}

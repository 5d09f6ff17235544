//! What the HTTP mail provider tells of mails, in batches that it signs.

use super::*;

/// A mail API that tells of its mails, in place of the mail server.
async fn mail_api(world: &World, dir: &Path, rules: &[&str]) -> Handle {
    let options = mail::Options {
        rules: Rules::parse(3, rules).unwrap(),
        pace: PACE,
        events_url: Some(format!("{}/hooks/mail/3", world.url)),
        ..mail::Options::default()
    };
    let any_port = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let api = mail::start(any_port, &dir.join("api.jsonl"), options).await.unwrap();
    let mut provider = accounts::new_provider("api", ProviderKind::HttpMail, &api.url());
    provider.secret = "key".into();
    provider.callback_key = api.public_key().unwrap().to_owned();
    let provider = accounts::set_provider(&world.stage.app, provider, "test").await.unwrap();
    assert_eq!(provider.id, ProviderId(3));
    let mut sender = sender(&world.stage, Channel::Email).await;
    sender.provider = provider.id;
    accounts::set_sender(&world.stage.app, sender, "test").await.unwrap();
    api
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_events_of_mails_change_messages_once_and_a_complaint_ends_everything() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::set(dir.path(), &[]).await;
    let rules = [
        "*=repeat-callback",
        "b1@*=bounce:5.1.1",
        "b2@*=spamreport",
        "b3@*=unsubscribe",
        "b4@*=open",
        "b4@*=click",
        "b5@*=swap-callbacks",
        "b5@*=open",
    ];
    let api = mail_api(&world, dir.path(), &rules).await;
    world.stage.work().await;
    let people = world.stage.contacts("b", 6).await;
    let template = world.stage.template(Channel::Email, "Hi, {{postal_address}} {{unsubscribe_url}}").await;
    let steps = vec![
        step(Channel::Email, template, Delay::Minutes(0)),
        step(Channel::Email, template, Delay::Days(3)),
    ];
    let id = world.stage.draft("spring", &people, steps).await;
    world.stage.edit(id, |campaign| campaign.stop_rules.click = true).await;
    world.stage.launch(id).await;
    let other =
        world.stage.draft("other", &people, vec![step(Channel::Email, template, Delay::Days(2))]).await;
    world.stage.launch(other).await;
    let first =
        |touches: &[Touch]| touches.iter().filter(|touch| touch.step == 1).cloned().collect::<Vec<_>>();
    let told = |_: &_, touches: &[Touch]| in_status(touches, TouchStatus::Delivered) == 5;
    world.stage.until(id, "arrivals", told).await;
    // An event is the last that becomes known of each.
    for (nth, kind) in [
        (1, EventKind::Bounced),
        (2, EventKind::Complained),
        (3, EventKind::OptedOut),
        (4, EventKind::Clicked),
        (5, EventKind::Opened),
    ] {
        let contact: ContactId = people[nth];
        let known = move |tx: &mut db::Tx<'_>| events::is_known(tx, id, contact, kind);
        let begun = std::time::Instant::now();
        while !world.stage.app.db().read(known).await.unwrap() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{kind} of {nth} is not told");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let touches = first(&world.stage.touches(id).await);
    for (nth, status, kinds) in [
        (0, TouchStatus::Delivered, vec![EventKind::Delivered]),
        (1, TouchStatus::Bounced, vec![EventKind::Bounced]),
        (2, TouchStatus::Delivered, vec![EventKind::Delivered, EventKind::Complained]),
        (3, TouchStatus::Delivered, vec![EventKind::Delivered, EventKind::OptedOut]),
        (4, TouchStatus::Delivered, vec![EventKind::Delivered, EventKind::Opened, EventKind::Clicked]),
        (5, TouchStatus::Delivered, vec![EventKind::Delivered, EventKind::Opened]),
    ] {
        let touch = of(&touches, people[nth]);
        assert_eq!(touch.status, status, "{touch:#?}");
        for kind in kinds {
            assert_eq!(world.events(touch, kind).await, 1, "{kind} of {nth}");
        }
    }
    for (nth, here, elsewhere) in [
        (0, EnrolmentStatus::Active, EnrolmentStatus::Active),
        (1, EnrolmentStatus::Stopped, EnrolmentStatus::Active),
        (2, EnrolmentStatus::Stopped, EnrolmentStatus::Stopped),
        (3, EnrolmentStatus::Stopped, EnrolmentStatus::Stopped),
        (4, EnrolmentStatus::Stopped, EnrolmentStatus::Active),
        (5, EnrolmentStatus::Active, EnrolmentStatus::Active),
    ] {
        for (campaign, expected) in [(id, here), (other, elsewhere)] {
            let contact = people[nth];
            let one = world.stage.app.db().read(move |tx| enrolments::get(tx, campaign, contact)).await;
            assert_eq!(one.unwrap().unwrap().status, expected, "{nth} in {campaign}");
        }
    }
    for (nth, suppressed) in [(0, false), (1, true), (2, true), (3, true), (4, false), (5, false)] {
        let address = format!("b{nth}@example.org");
        assert_eq!(world.is_suppressed(Channel::Email, &address).await.is_some(), suppressed, "{address}");
    }
    assert_eq!(api.counters().callbacks_failed, 0);
    world.stage.rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_a_mail_that_another_installation_sent_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::set(dir.path(), &[]).await;
    let api = mail_api(&world, dir.path(), &["stranger@*=spamreport", "b*=drop-callback"]).await;
    world.stage.work().await;
    let people = world.stage.contacts("b", 1).await;
    let touches = world.sent("first", &people, Channel::Email).await;
    // The same account, the same numbers, another recipient.
    let tags = json!({ "touch": touches[0].id.to_string(), "campaign": touches[0].campaign.to_string() });
    let theirs = json!({
        "personalizations": [{ "to": [{ "email": "stranger@example.org" }], "custom_args": tags }],
        "from": { "email": "x@example.com" },
        "subject": "x",
        "content": [{ "type": "text/plain", "value": "x" }],
    });
    let sent = world.http.post(format!("{}/v3/mail/send", api.url())).bearer_auth("key").json(&theirs);
    assert_eq!(world.send(sent).await.status, StatusCode::ACCEPTED);
    let begun = std::time::Instant::now();
    while api.counters().callbacks < 3 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", api.counters());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(api.counters().callbacks_failed, 0);
    assert_eq!(world.touch(&touches[0]).await, touches[0]);
    assert_eq!(world.is_suppressed(Channel::Email, "b0@example.org").await, None);
    let known = world.stage.app.db().read(move |tx| contacts::consents(tx, people[0])).await.unwrap();
    assert!(known.iter().all(|consent| consent.revoked_at.is_none()));
    world.stage.rest().await;
}

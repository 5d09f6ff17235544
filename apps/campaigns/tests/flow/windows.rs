//! Nobody is reached outside a window, whatever the doubles are asked: their own logs say when.

use windlass::Time;
use windlass_campaigns::{
    channel::Channel,
    model::touch::{Reason, TouchStatus},
    store::contacts::NewContact,
    window::{Delay, HoursIn, Week},
};
use windlass_doubles::{Rules, twilio};

use crate::stage::{PACE, Setting, Stage, in_status, local, new_york, person, step};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_millisecond_of_a_window_is_inside_and_the_end_itself_waits_until_it_opens() {
    for (starts, is_inside) in [("2026-11-18T19:58:59.999", true), ("2026-11-18T19:59:00", false)] {
        let dir = tempfile::tempdir().unwrap();
        let mut stage = Stage::standing(dir.path(), new_york(starts), Setting::default()).await;
        let people = stage.contacts("b", 3).await;
        let mail = stage.template(Channel::Email, "Hi").await;
        let steps = vec![
            step(Channel::Email, mail, Delay::Minutes(0)),
            step(Channel::Email, mail, Delay::Minutes(1)),
        ];
        let id = stage.draft("spring", &people, steps).await;
        stage.work().await;
        stage.launch(id).await;

        stage.pass(new_york("2026-11-18T20:00:00")).await;
        assert_eq!(stage.mails().len(), if is_inside { 6 } else { 3 }, "{starts}");
        let touches = stage.touches(id).await;
        let waits: Vec<_> = touches.iter().filter(|touch| touch.status == TouchStatus::Deferred).collect();
        assert_eq!(waits.len(), if is_inside { 0 } else { 3 }, "{touches:#?}");
        let opens = new_york("2026-11-19T09:00:00");
        for touch in waits {
            assert_eq!((touch.reason, touch.until), (Some(Reason::WindowClosed), Some(opens)), "{touch:#?}");
        }

        stage.pass(Time(opens.0 - 1)).await;
        assert_eq!(stage.mails().len(), if is_inside { 6 } else { 3 }, "nothing goes out in the night");
        stage.pass(opens).await;
        assert_eq!(stage.mails().len(), 6);
        for mail in stage.mails() {
            let clock = local("America/New_York", stage.app_time(mail.at_ms)).time();
            assert!((9..20).contains(&clock.hour()), "{clock}");
        }
        for touch in stage.touches(id).await {
            let evidence = touch.evidence.expect("what was checked is kept");
            assert_eq!(Some(evidence.checked_at), touch.sending_at);
            assert_eq!(evidence.consent.unwrap().basis, "express_written");
            assert!(!evidence.window.recipient.is_empty(), "{:?}", evidence.window);
        }
        stage.rest().await;
    }
}

/// The clock runs here, a minute in each second, and the provider is too slow for everybody before the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_not_reached_before_the_end_of_the_day_is_left_alone_while_the_clock_runs() {
    const SPEED: u32 = 60;
    const CONTACTS: u32 = 400;
    /// From the check to the line in the provider's log, by the wall's clock: a commit to the disk and a request, on a machine
    /// that does much else. What was checked when is in the messages' own records, to the millisecond.
    const CHECK_TO_LOG_MS: u64 = 5_000;
    let dir = tempfile::tempdir().unwrap();
    // Calls go out one at a time: at most 50 in a second.
    let rules = Rules::parse(1, &["*=slow:20ms"]).unwrap();
    let phone = twilio::Options { rules, pace: PACE, ..twilio::Options::default() };
    let mut stage = Stage::set(dir.path(), Setting { speed: SPEED, phone, ..Setting::default() }).await;
    let people = stage.contacts("b", CONTACTS).await;
    let call = stage.template(Channel::Voicemail, "Hello").await;
    let id = stage.draft("spring", &people, vec![step(Channel::Voicemail, call, Delay::Minutes(0))]).await;
    stage.work().await;
    // The day ends three or four minutes from now: as many seconds of the wall.
    let closes = Time(stage.app.now().0 / 60_000 * 60_000 + 4 * 60_000);
    let end = local("America/New_York", closes).time();
    let week = Week::daily(&format!("09:00-{:02}:{:02}", end.hour(), end.minute())).unwrap();
    stage.edit(id, move |campaign| campaign.policy.week = week.clone()).await;
    stage.launch(id).await;
    let opens = new_york("2026-11-19T09:00:00");
    stage
        .until(id, "everybody has their message", |_, touches| {
            touches.len() == CONTACTS as usize
                && touches.iter().all(|touch| touch.status.is_final() || touch.until == Some(opens))
        })
        .await;
    stage.rest().await;
    let touches = stage.touches(id).await;
    let waits: Vec<_> = touches.iter().filter(|touch| touch.status == TouchStatus::Deferred).collect();
    assert!(waits.iter().all(|touch| touch.reason == Some(Reason::WindowClosed)), "{waits:#?}");
    assert!(!waits.is_empty(), "the night has come too late");
    let calls = stage.calls_and_texts();
    assert!(!calls.is_empty(), "and not too early");
    assert_eq!(calls.len() + waits.len(), CONTACTS as usize);
    for touch in touches.iter().filter(|touch| touch.status != TouchStatus::Deferred) {
        assert!(touch.sending_at.is_some_and(|at| at < closes), "{touch:#?}");
    }
    for call in calls {
        let at = stage.app_time(call.at_ms);
        assert!(at.0 < closes.0 + CHECK_TO_LOG_MS * u64::from(SPEED), "{}", local("America/New_York", at));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_is_reached_when_it_is_nine_where_they_are() {
    let zones = [
        "America/New_York",
        "America/Chicago",
        "America/Denver",
        "America/Los_Angeles",
        "Pacific/Honolulu",
        "Europe/Berlin",
        "Asia/Kolkata",
    ];
    let dir = tempfile::tempdir().unwrap();
    // Midnight of Thursday in New York: 6:00 in Berlin, 10:30 in Kolkata, and Wednesday evening in the west.
    let starts = new_york("2026-11-19T00:00:00");
    let mut stage = Stage::standing(dir.path(), starts, Setting::default()).await;
    let everybody = (0..).zip(zones).map(|(nth, zone)| NewContact {
        time_zone: Some(zone.into()),
        phone: None,
        ..person("z", nth, starts)
    });
    let people = stage.people(everybody.collect()).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let id = stage.draft("spring", &people, vec![step(Channel::Email, mail, Delay::Minutes(0))]).await;
    stage.work().await;
    stage.launch(id).await;
    stage.pass(new_york("2026-11-20T00:00:00")).await;
    stage.rest().await;

    let mails = stage.mails();
    assert_eq!(mails.len(), zones.len());
    for mail in mails {
        let nth: usize = mail.to.trim_start_matches('z').split('@').next().unwrap().parse().unwrap();
        let clock = local(zones[nth], stage.app_time(mail.at_ms));
        let expected = match zones[nth] {
            // It was open there when the campaign was launched.
            "Asia/Kolkata" => "10:30:00",
            "Pacific/Honolulu" => "19:00:00",
            _ => "09:00:00",
        };
        assert_eq!(clock.time().to_string(), expected, "{}", zones[nth]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_law_that_is_stricter_than_the_campaign_holds_texts_back_and_no_mail() {
    let dir = tempfile::tempdir().unwrap();
    let starts = new_york("2026-11-18T20:30:00");
    let phone = twilio::Options {
        rules: Rules::parse(1, &["+1212*=slow:1ms"]).unwrap(),
        pace: PACE,
        ..twilio::Options::default()
    };
    let mut stage = Stage::standing(dir.path(), starts, Setting { phone, ..Setting::default() }).await;
    // Texts and calls end at 20:00 in Florida, at 21:00 where only the federal rule holds.
    let in_florida = NewContact { state: Some("FL".into()), ..person("f", 0, starts) };
    let in_new_york = NewContact { state: Some("NY".into()), ..person("n", 7, starts) };
    let people = stage.people(vec![in_florida, in_new_york]).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let text = stage.template(Channel::Sms, "Hi. STOP ends.").await;
    let texts = stage.draft("texts", &people, vec![step(Channel::Sms, text, Delay::Minutes(0))]).await;
    let mails = stage.draft("mails", &people, vec![step(Channel::Email, mail, Delay::Minutes(0))]).await;
    for id in [texts, mails] {
        stage
            .edit(id, |campaign| {
                campaign.policy.hours_in = HoursIn::Campaign;
                campaign.policy.week = Week::daily("00:00-24:00").unwrap();
            })
            .await;
    }
    stage.work().await;
    stage.launch(texts).await;
    stage.launch(mails).await;
    stage.quiet().await;
    assert_eq!(stage.mails().len(), 2);
    let touches = stage.touches(texts).await;
    assert_eq!(in_status(&touches, TouchStatus::Sent), 1, "{touches:#?}");
    let waits = touches.iter().find(|touch| touch.contact == people[0]).unwrap();
    let opens = new_york("2026-11-19T08:00:00");
    assert_eq!((waits.status, waits.reason), (TouchStatus::Deferred, Some(Reason::RecipientQuietHours)));
    assert_eq!(waits.until, Some(opens));
    stage.pass(Time(opens.0 - 1)).await;
    assert_eq!(stage.calls_and_texts().len(), 1);
    stage.pass(opens).await;
    stage.rest().await;
    let texts = stage.calls_and_texts();
    assert_eq!(texts.len(), 2);
    assert_eq!(stage.app_time(texts[1].at_ms), opens);
}

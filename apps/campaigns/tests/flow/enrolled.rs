//! The list of a campaign's contacts says what each waits for, and until when.

use windlass::Time;
use windlass_campaigns::{
    channel::Channel,
    enrolled::{self, Awaited, Wait},
    flow::verbs,
    model::{
        CampaignId, ContactId,
        campaign::{EnrolmentStatus, StopReason},
        touch::{Reason, TouchStatus},
    },
    store::enrolments::Which,
    window::Delay,
};

use crate::stage::{Setting, Stage, new_york, step};

type Row = (EnrolmentStatus, u32, Option<Awaited>, Option<Time>, Option<TouchStatus>);

async fn list(stage: &Stage, id: CampaignId, which: Which) -> Vec<Row> {
    let now = stage.app.now();
    let page = stage.app.db().read(move |tx| enrolled::page(tx, id, &which, ContactId(0), 100, now)).await;
    let row = |one: enrolled::Enrolled| {
        let status = one.touch.map(|(_, status)| status);
        (one.enrolment.status, one.enrolment.step, one.waits_for, one.until, status)
    };
    page.unwrap().into_iter().map(row).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_a_cap_a_delay_or_a_window_is_listed_with_it_and_goes_on_when_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::standing(dir.path(), new_york("2026-11-18T19:50:00"), Setting::default()).await;
    let people = stage.contacts("b", 5).await;
    let (mail, text) =
        (stage.template(Channel::Email, "Hi").await, stage.template(Channel::Sms, "Hi. STOP ends.").await);
    let steps =
        vec![step(Channel::Email, mail, Delay::Minutes(0)), step(Channel::Sms, text, Delay::Minutes(30))];
    let id = stage.draft("spring", &people, steps).await;
    stage.edit(id, |campaign| campaign.daily_cap = Some(2)).await;
    stage.work().await;
    stage.launch(id).await;
    stage.quiet().await;
    let active = EnrolmentStatus::Active;
    let rows = list(&stage, id, Which::default()).await;
    let first = rows[0];
    assert_eq!(
        (first.0, first.1, first.2, first.4),
        (active, 2, Some(Awaited::Step(Wait::Delay)), Some(TouchStatus::Sent))
    );
    assert!(first.3.is_some_and(|until| until >= new_york("2026-11-18T20:20:00")), "{first:?}");
    let capped = Some(Awaited::Message(Reason::CampaignCap));
    for (nth, day) in [(2, "2026-11-19T00:00:00"), (3, "2026-11-19T00:00:00"), (4, "2026-11-20T00:00:00")] {
        assert_eq!(rows[nth], (active, 1, capped, Some(new_york(day)), None), "contact {nth}");
    }

    stage.pass(new_york("2026-11-18T21:00:00")).await;
    let rows = list(&stage, id, Which { step: Some(2), ..Which::default() }).await;
    let closed = Some(Awaited::Message(Reason::WindowClosed));
    let waits = (active, 2, closed, Some(new_york("2026-11-19T09:00:00")), Some(TouchStatus::Deferred));
    assert_eq!(rows, [waits; 2]);
    verbs::pause(&stage.app, id, "Ann").await.unwrap();
    let paused = Some(Awaited::Message(Reason::CampaignPaused));
    assert!(list(&stage, id, Which::default()).await.iter().all(|row| (row.2, row.3) == (paused, None)));
    verbs::cancel(&stage.app, id, "Ann").await.unwrap();
    let stopped = Which {
        status: Some(EnrolmentStatus::Stopped),
        reason: Some(StopReason::CampaignCancelled),
        ..Which::default()
    };
    let rows = list(&stage, id, stopped).await;
    assert_eq!(rows.len(), 5);
    assert!(rows.iter().all(|row| (row.2, row.3) == (None, None)), "{rows:?}");
    stage.rest().await;
}

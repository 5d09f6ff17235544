//! Another version of a sequence: nobody gets a step twice, nobody loses one that is before them, and what is taken out is
//! not sent.

use std::{collections::BTreeMap, time::Duration};

use windlass::Time;
use windlass_campaigns::{
    channel::Channel,
    drafts::{self, Moves},
    figures,
    model::{
        CampaignId, TemplateId,
        campaign::{CampaignStatus, EnrolmentStatus, Step},
        touch::{Reason, TouchStatus},
    },
    store::{campaigns, enrolments, templates},
    window::Delay,
};

use crate::stage::{MORNING, Setting, Stage, in_status, new_york, step};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

async fn says(stage: &Stage, channel: Channel, subject: &'static str) -> TemplateId {
    let now = stage.app.now();
    let body = if channel == Channel::Sms { format!("{subject}. STOP ends.") } else { subject.to_owned() };
    let write = move |tx: &mut windlass_campaigns::db::Tx<'_>| {
        templates::write(tx, &format!("{channel} {subject}"), channel, subject, &body, None, now)
    };
    stage.app.db().write(write).await.unwrap()
}

async fn mail(stage: &Stage, subject: &'static str, delay: Delay) -> Step {
    step(Channel::Email, says(stage, Channel::Email, subject).await, delay)
}

async fn steps_of(stage: &Stage, id: CampaignId) -> Vec<Step> {
    let version = stage.campaign(id).await.version;
    stage.app.db().read(move |tx| campaigns::steps(tx, id, version)).await.unwrap()
}

async fn next(stage: &Stage, id: CampaignId, steps: Vec<Step>, moves: Moves) {
    drafts::next_version(&stage.app, id, steps, moves, "Ann").await.unwrap();
}

/// What each recipient's mails had as their subjects, in their order.
fn subjects(stage: &Stage) -> Vec<String> {
    let mut by: BTreeMap<String, String> = BTreeMap::new();
    for mail in stage.mails() {
        *by.entry(mail.to.to_string()).or_default() += &mail.subject.unwrap_or_default();
    }
    by.into_values().collect()
}

/// Where the contacts stand: version, step, status.
async fn standing(stage: &Stage, id: CampaignId) -> Vec<(u32, u32, EnrolmentStatus)> {
    let page = move |tx: &mut windlass_campaigns::db::Tx<'_>| {
        enrolments::page(tx, id, windlass_campaigns::model::ContactId(0), 10_000)
    };
    let page = stage.app.db().read(page).await.unwrap();
    page.iter().map(|one| (one.version, one.step, one.status)).collect()
}

/// A campaign of mails, a day after each other, whose first one is out.
async fn begun(stage: &mut Stage, subjects: &[&'static str]) -> (CampaignId, Vec<Step>) {
    let people = stage.contacts("b", 3).await;
    let mut steps = Vec::new();
    for subject in subjects {
        let delay = if steps.is_empty() { Delay::Minutes(0) } else { Delay::Days(1) };
        steps.push(mail(stage, subject, delay).await);
    }
    let id = stage.draft("spring", &people, steps.clone()).await;
    stage.work().await;
    stage.launch(id).await;
    stage.pass(MORNING.plus_ms(HOUR_MS)).await;
    assert_eq!(stage.mails().len(), 3);
    (id, steps)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_is_put_before_what_a_contact_has_had_makes_them_get_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::standing(dir.path(), MORNING, Setting::default()).await;
    let (id, steps) = begun(&mut stage, &["A", "B"]).await;
    let new = mail(&stage, "N", Delay::Minutes(0)).await;
    // As programs that know nothing of keys send it.
    next(&stage, id, vec![new, steps[0].clone(), steps[1].clone()], Moves::Everybody).await;
    assert_eq!(steps_of(&stage, id).await.iter().map(|step| step.key).collect::<Vec<_>>(), [3, 1, 2]);
    assert_eq!(standing(&stage, id).await, [(2, 3, EnrolmentStatus::Active); 3]);
    stage.pass(MORNING.plus_ms(4 * DAY_MS)).await;
    assert_eq!(subjects(&stage), ["AB", "AB", "AB"]);
    assert_eq!(stage.campaign(id).await.status, CampaignStatus::Done);

    // What went by the first version as step 1 is what the present one has as its second.
    let figures = figures::counted(&stage.app, id).await.unwrap();
    let rows: Vec<_> = figures.funnel.iter().map(|row| (row.step, row.step_key, row.sent)).collect();
    assert_eq!(rows, [(Some(2), 1, 3), (Some(3), 2, 3)]);
    stage.rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_is_taken_out_behind_a_contact_takes_nothing_from_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::standing(dir.path(), MORNING, Setting::default()).await;
    let (id, steps) = begun(&mut stage, &["N", "A", "B"]).await;
    next(&stage, id, steps[1..].to_vec(), Moves::Everybody).await;
    assert_eq!(standing(&stage, id).await, [(2, 1, EnrolmentStatus::Active); 3]);
    stage.pass(MORNING.plus_ms(4 * DAY_MS)).await;
    assert_eq!(subjects(&stage), ["NAB", "NAB", "NAB"]);
    let figures = figures::counted(&stage.app, id).await.unwrap();
    let rows: Vec<_> = figures.funnel.iter().map(|row| (row.step, row.step_key, row.sent)).collect();
    assert_eq!(rows, [(Some(1), 2, 3), (Some(2), 3, 3), (None, 1, 3)]);
    stage.rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_whose_step_is_taken_out_while_it_waits_is_not_sent_and_its_contact_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let starts = new_york("2026-11-18T19:50:00");
    let mut stage = Stage::standing(dir.path(), starts, Setting::default()).await;
    let people = stage.contacts("b", 3).await;
    let text = step(Channel::Sms, says(&stage, Channel::Sms, "S").await, Delay::Minutes(20));
    let steps =
        vec![mail(&stage, "A", Delay::Minutes(0)).await, text, mail(&stage, "M", Delay::Hours(2)).await];
    let id = stage.draft("spring", &people, steps.clone()).await;
    stage.work().await;
    stage.launch(id).await;
    stage.pass(starts.plus_ms(HOUR_MS)).await;
    assert_eq!(
        in_status(&stage.touches(id).await, TouchStatus::Deferred),
        3,
        "the texts wait for the morning"
    );

    next(&stage, id, vec![steps[0].clone(), steps[2].clone()], Moves::Everybody).await;
    let touches = stage.touches(id).await;
    let texts: Vec<_> = touches.iter().filter(|touch| touch.channel == Channel::Sms).collect();
    assert_eq!(texts.len(), 3);
    for text in texts {
        assert_eq!((text.status, text.reason), (TouchStatus::Skipped, Some(Reason::SequenceChanged)));
    }
    stage.pass(new_york("2026-11-20T00:00:00")).await;
    assert_eq!((subjects(&stage), stage.calls_and_texts().len()), (vec!["AM".to_owned(); 3], 0));
    assert_eq!(stage.campaign(id).await.status, CampaignStatus::Done);
    stage.rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_waits_says_what_its_step_says_by_now_and_by_the_channel_that_it_has_now() {
    let dir = tempfile::tempdir().unwrap();
    let starts = new_york("2026-11-18T20:10:00");
    for (channel, says_now) in [(Channel::Email, "new"), (Channel::Sms, "text")] {
        let dir = dir.path().join(says_now);
        std::fs::create_dir(&dir).unwrap();
        let mut stage = Stage::standing(&dir, starts, Setting::default()).await;
        let people = stage.contacts("b", 3).await;
        let later = mail(&stage, "B", Delay::Days(1)).await;
        let id =
            stage.draft("spring", &people, vec![mail(&stage, "A", Delay::Minutes(0)).await, later]).await;
        stage.work().await;
        stage.launch(id).await;
        stage.quiet().await;
        assert_eq!(in_status(&stage.touches(id).await, TouchStatus::Deferred), 3);

        let mut steps = steps_of(&stage, id).await;
        (steps[0].channel, steps[0].template) = (channel, says(&stage, channel, says_now).await);
        next(&stage, id, steps, Moves::Everybody).await;
        stage.pass(new_york("2026-11-22T00:00:00")).await;
        let texts = stage.calls_and_texts();
        if channel == Channel::Email {
            assert_eq!((subjects(&stage), texts.len()), (vec!["newB".to_owned(); 3], 0));
        } else {
            assert_eq!((subjects(&stage), texts.len()), (vec!["B".to_owned(); 3], 3));
        }
        let touches = stage.touches(id).await;
        assert!(touches.iter().all(|touch| touch.version == 2 || !touch.status.was_sent()), "{touches:#?}");
        assert_eq!(stage.campaign(id).await.status, CampaignStatus::Done);
        stage.rest().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_a_step_waits_as_long_as_its_new_version_says() {
    let dir = tempfile::tempdir().unwrap();
    for (name, days) in [("sooner", 1), ("later", 6)] {
        let dir = dir.path().join(name);
        std::fs::create_dir(&dir).unwrap();
        let mut stage = Stage::standing(&dir, MORNING, Setting::default()).await;
        let (id, mut steps) = begun(&mut stage, &["A", "B"]).await;
        steps[1].delay = Delay::Days(3);
        next(&stage, id, steps.clone(), Moves::Everybody).await;
        steps[1].delay = Delay::Days(days);
        next(&stage, id, steps, Moves::Everybody).await;
        let due = MORNING.plus_ms(u64::from(days) * DAY_MS);
        stage.pass(Time(due.0 - 1)).await;
        assert_eq!(stage.mails().len(), 3, "{name}: too early");
        // The first mails took a moment of their own.
        stage.pass(due.plus_ms(HOUR_MS)).await;
        assert_eq!(subjects(&stage), ["AB", "AB", "AB"], "{name}");
        stage.rest().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_have_begun_go_on_as_they_were_where_the_version_is_for_those_who_have_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::standing(dir.path(), MORNING, Setting::default()).await;
    let people = stage.contacts("b", 4).await;
    let steps = vec![mail(&stage, "A", Delay::Minutes(0)).await, mail(&stage, "B", Delay::Days(1)).await];
    let id = stage.draft("spring", &people, steps.clone()).await;
    stage.edit(id, |campaign| campaign.daily_cap = Some(2)).await;
    stage.work().await;
    stage.launch(id).await;
    stage.pass(MORNING.plus_ms(HOUR_MS)).await;
    assert_eq!(stage.mails().len(), 2);
    let new = mail(&stage, "N", Delay::Minutes(0)).await;
    next(&stage, id, vec![new, steps[0].clone(), steps[1].clone()], Moves::NotBegun).await;
    stage.edit(id, |campaign| campaign.daily_cap = None).await;
    stage.pass(MORNING.plus_ms(6 * DAY_MS)).await;
    assert_eq!(subjects(&stage), ["AB", "AB", "NAB", "NAB"]);
    assert_eq!(stage.campaign(id).await.status, CampaignStatus::Done);
    stage.rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_for_more_contacts_than_one_transaction_takes_reaches_all_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::standing(dir.path(), MORNING, Setting::default()).await;
    let people = stage.contacts("b", 1_100).await;
    let id = stage.draft("spring", &people, vec![mail(&stage, "A", Delay::Days(2)).await]).await;
    stage.work().await;
    stage.launch(id).await;
    stage.quiet().await;
    let first = mail(&stage, "N", Delay::Days(9)).await;
    let steps = vec![first, steps_of(&stage, id).await[0].clone()];
    next(&stage, id, steps, Moves::Everybody).await;
    stage.quiet().await;
    assert_eq!(standing(&stage, id).await, vec![(2, 1, EnrolmentStatus::Active); 1_100]);
    // The jobs that they had are too early now, and none of theirs.
    stage.step_on(Duration::from_millis(3 * DAY_MS)).await;
    stage.quiet().await;
    assert!(stage.touches(id).await.is_empty());
    stage.rest().await;
}

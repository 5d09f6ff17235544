//! What a person changes of a campaign that runs, or of its senders, holds for everything that waits, at once.

use std::collections::BTreeMap;

use windlass_campaigns::{
    channel::Channel,
    drafts::{self, Draft, Moves},
    flow::accounts,
    model::{
        CampaignId, SenderId,
        campaign::{Campaign, CampaignStatus, EnrolmentStatus},
        sender::{Sender, WarmUp},
        touch::{Reason, Touch, TouchStatus},
    },
    preflight,
    store::{campaigns, enrolments, senders, touches, usage},
    window::{Delay, Week},
};

use crate::stage::{Setting, Stage, in_status, local, new_york, step};

/// Changes a campaign as its form does.
async fn change(stage: &Stage, id: CampaignId, change: impl FnOnce(&mut Draft)) -> Campaign {
    let read = stage.app.db().read(move |tx| {
        let campaign = campaigns::get(tx, id)?.unwrap();
        let steps = campaigns::steps(tx, id, campaign.version)?;
        let mut chosen = Vec::new();
        for channel in Channel::ALL {
            chosen.extend(senders::of_campaign(tx, id, channel)?.iter().map(|sender| sender.id));
        }
        Ok::<_, windlass_campaigns::db::DbError>((campaign, steps, chosen))
    });
    let (campaign, steps, senders) = read.await.unwrap();
    let mut draft = Draft {
        name: campaign.name,
        user: campaign.user,
        list: campaign.list,
        weight: campaign.weight,
        daily_cap: campaign.daily_cap,
        new_per_day: campaign.new_per_day,
        policy: campaign.policy,
        stop_rules: campaign.stop_rules,
        postal_address: campaign.postal_address,
        starts_at: campaign.starts_at,
        senders,
        steps,
        revision: Some(campaign.revision),
    };
    change(&mut draft);
    drafts::edit(&stage.app, id, draft, "Ann").await.unwrap()
}

/// How many mails came on which day, in New York.
fn by_day(stage: &Stage) -> Vec<(String, u32)> {
    let mut days = BTreeMap::new();
    for mail in stage.mails() {
        let day = local("America/New_York", stage.app_time(mail.at_ms)).date().to_string();
        *days.entry(day).or_insert(0) += 1;
    }
    days.into_iter().collect()
}

fn counts(days: &[(String, u32)]) -> Vec<u32> {
    days.iter().map(|(_, count)| *count).collect()
}

/// A campaign of one mail to so many contacts, on a Wednesday at ten in New York.
async fn of_one_mail(stage: &Stage, contacts: u32) -> CampaignId {
    let people = stage.contacts("b", contacts).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    stage.draft("spring", &people, vec![step(Channel::Email, mail, Delay::Minutes(0))]).await
}

async fn stage(dir: &std::path::Path) -> Stage {
    Stage::standing(dir, new_york("2026-11-18T10:00:00"), Setting::default()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_that_is_widened_lets_go_what_waits_for_it_though_nobody_worked_at_that_moment() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage(dir.path()).await;
    let id = of_one_mail(&stage, 5).await;
    stage.edit(id, |campaign| campaign.policy.week = Week::daily("19:00-20:00").unwrap()).await;
    stage.work().await;
    stage.launch(id).await;
    stage.quiet().await;
    let touches = stage.touches(id).await;
    assert!(touches.iter().all(|touch| touch.reason == Some(Reason::WindowClosed)), "{touches:#?}");
    // Whoever takes the change dies before anybody hears of it.
    stage.rest().await;
    change(&stage, id, |draft| draft.policy.week = Week::daily("00:00-24:00").unwrap()).await;
    stage.work().await;
    stage.quiet().await;
    assert_eq!(in_status(&stage.touches(id).await, TouchStatus::Sent), 5, "at the same moment");
    stage.rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaigns_cap_that_is_raised_brings_the_first_messages_of_the_days_to_come_forward() {
    for (cap, expected) in [(Some(1_000), vec![20]), (None, vec![20]), (Some(6), vec![6, 6, 6, 2])] {
        let dir = tempfile::tempdir().unwrap();
        let mut stage = stage(dir.path()).await;
        let id = of_one_mail(&stage, 20).await;
        stage.edit(id, |campaign| campaign.daily_cap = Some(2)).await;
        stage.work().await;
        stage.launch(id).await;
        stage.quiet().await;
        assert_eq!(stage.mails().len(), 2, "on the first day");
        change(&stage, id, |draft| draft.daily_cap = cap).await;
        stage.quiet().await;
        stage.pass(new_york("2026-11-30T00:00:00")).await;
        stage.rest().await;
        assert_eq!(counts(&by_day(&stage)), expected, "with a cap of {cap:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaigns_cap_that_is_lowered_holds_for_the_steps_of_the_days_to_come() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage(dir.path()).await;
    let id = of_one_mail(&stage, 20).await;
    stage.edit(id, |campaign| campaign.daily_cap = Some(8)).await;
    stage.work().await;
    stage.launch(id).await;
    stage.quiet().await;
    change(&stage, id, |draft| draft.daily_cap = Some(3)).await;
    stage.quiet().await;
    stage.pass(new_york("2026-11-30T00:00:00")).await;
    stage.rest().await;
    assert_eq!(counts(&by_day(&stage)), [8, 3, 3, 3, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_senders_cap_that_is_raised_lets_go_what_waits_and_every_place_on_the_plan_is_one_messages() {
    for (cap, today, days) in [(1_000, 20, vec![20]), (6, 6, vec![6, 6, 6, 2])] {
        let dir = tempfile::tempdir().unwrap();
        let mut stage = stage(dir.path()).await;
        stage.change_sender(Channel::Email, |sender| sender.daily_cap = 2).await;
        let id = of_one_mail(&stage, 20).await;
        stage.work().await;
        stage.launch(id).await;
        stage.quiet().await;
        assert_eq!(stage.mails().len(), 2);
        stage.change_sender(Channel::Email, |sender| sender.daily_cap = cap).await;
        stage.quiet().await;
        let touches = stage.touches(id).await;
        assert_eq!(in_status(&touches, TouchStatus::Sent), today, "{touches:#?}");
        let sender = stage.senders[&Channel::Email];
        let mut planned = 0;
        for day in 19..30 {
            let day = format!("2026-11-{day}");
            let used = move |tx: &mut windlass_campaigns::db::Tx<'_>| {
                usage::used(tx, usage::Of::SenderPlan(sender), &day)
            };
            planned += stage.app.db().read(used).await.unwrap();
        }
        assert_eq!(usize::try_from(planned).unwrap(), 20 - today, "a message has one place on the plan");
        stage.pass(new_york("2026-11-30T00:00:00")).await;
        stage.rest().await;
        assert_eq!(counts(&by_day(&stage)), days);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delay_that_is_changed_holds_for_everybody_who_is_moved() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage(dir.path()).await;
    let people = stage.contacts("b", 4).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let steps =
        |delay| vec![step(Channel::Email, mail, Delay::Minutes(0)), step(Channel::Email, mail, delay)];
    let id = stage.draft("spring", &people, steps(Delay::Days(30))).await;
    stage.work().await;
    stage.launch(id).await;
    stage.quiet().await;
    assert_eq!(stage.mails().len(), 4);
    drafts::next_version(&stage.app, id, steps(Delay::Days(40)), Moves::Everybody, "Ann").await.unwrap();
    stage.quiet().await;
    let due = stage.app.db().read(move |tx| enrolments::get(tx, id, people[0])).await.unwrap().unwrap();
    assert_eq!(
        due.next_at.map(|at| local("America/New_York", at).date().to_string()),
        Some("2026-12-28".into())
    );
    stage.pass(new_york("2026-12-19T00:00:00")).await;
    assert_eq!(stage.mails().len(), 4, "the job of the shorter delay has found that it is early");
    // Whoever takes the change dies before anybody hears of it.
    stage.rest().await;
    drafts::next_version(&stage.app, id, steps(Delay::Days(0)), Moves::Everybody, "Ann").await.unwrap();
    stage.work().await;
    stage.pass(new_york("2026-12-19T10:00:00")).await;
    assert_eq!(stage.mails().len(), 8);
    assert_eq!(stage.campaign(id).await.status, CampaignStatus::Done);
    stage.rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_beginning_that_is_moved_is_when_the_campaign_begins() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage(dir.path()).await;
    let id = of_one_mail(&stage, 3).await;
    let at = |text| Some(new_york(text));
    stage.edit(id, move |campaign| campaign.starts_at = at("2026-11-25T10:00:00")).await;
    stage.work().await;
    stage.launch(id).await;
    change(&stage, id, |draft| draft.starts_at = at("2026-11-20T10:00:00")).await;
    stage.quiet().await;
    change(&stage, id, |draft| draft.starts_at = at("2026-11-21T10:00:00")).await;
    stage.pass(new_york("2026-11-21T09:59:00")).await;
    assert_eq!(stage.campaign(id).await.status, CampaignStatus::Scheduled);
    stage.pass(new_york("2026-11-21T10:00:00")).await;
    assert_eq!(stage.campaign(id).await.status, CampaignStatus::Done);
    assert_eq!(counts(&by_day(&stage)), [3]);
    stage.rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_a_name_wakes_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage(dir.path()).await;
    let id = of_one_mail(&stage, 3).await;
    stage.edit(id, |campaign| campaign.policy.week = Week::daily("19:00-20:00").unwrap()).await;
    stage.work().await;
    stage.launch(id).await;
    stage.quiet().await;
    stage.rest().await;
    let asked = || stage.app.db().read(|tx| tx.count("SELECT count(*) FROM windlass_outbox", &[]));
    change(&stage, id, |draft| draft.name = "autumn".into()).await;
    stage.change_sender(Channel::Email, |sender| sender.name = "Anne".into()).await;
    // The chain of the sender's days, which is asked for whenever it is written, and nothing else.
    assert_eq!(asked().await.unwrap(), 1);
    change(&stage, id, |draft| draft.daily_cap = Some(7)).await;
    assert_eq!(asked().await.unwrap(), 2);
    let active = stage.app.db().read(move |tx| enrolments::counts(tx, id)).await.unwrap();
    assert_eq!(active, [(EnrolmentStatus::Active, 3)]);
}

/// Four hundred contacts of a mailbox that begins with twenty and grows by a quarter: on each day as many as the check before
/// the launch says, also when messages come at the very moment at which the sender's day ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_warms_up_sends_on_each_day_what_the_check_before_the_launch_forecasts() {
    for hours in ["09:00-20:00", "00:00-24:00"] {
        let dir = tempfile::tempdir().unwrap();
        let mut stage = stage(dir.path()).await;
        let sender = |sender: &mut Sender| {
            (sender.daily_cap, sender.warm_up) = (1_000, WarmUp::new_mailbox());
        };
        stage.change_sender(Channel::Email, sender).await;
        let id = of_one_mail(&stage, 400).await;
        stage.edit(id, move |campaign| campaign.policy.week = Week::daily(hours).unwrap()).await;
        let check = preflight::check(&stage.app, id).await.unwrap();
        let forecast: Vec<(String, u32)> = check
            .forecast
            .unwrap()
            .days
            .iter()
            .map(|day| (day.date.to_string(), u32::try_from(day.sent).unwrap()))
            .collect();
        assert_eq!(counts(&forecast), [20, 25, 31, 38, 47, 58, 72, 90, 19]);
        stage.work().await;
        stage.launch(id).await;
        stage.pass(new_york("2026-12-01T00:00:00")).await;
        stage.rest().await;
        assert_eq!(by_day(&stage), forecast, "within {hours}");
    }
}

/// A second mailbox with the account of the first, among the senders of the campaign.
async fn second_mailbox(stage: &Stage, id: CampaignId, daily_cap: u32) -> SenderId {
    let first = stage.senders[&Channel::Email];
    let first = stage.app.db().read(move |tx| senders::get(tx, first)).await.unwrap().unwrap();
    let sender = Sender { id: SenderId(0), address: "bob@example.net".into(), daily_cap, ..first };
    let second = accounts::set_sender(&stage.app, sender, "test").await.unwrap().id;
    change(stage, id, |draft| draft.senders.push(second)).await;
    second
}

fn in_the_name_of(stage: &Stage, address: &str) -> usize {
    stage.mails().iter().filter(|mail| mail.from.contains(address)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_would_wait_for_its_senders_cap_goes_in_the_name_of_one_with_room() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::standing(dir.path(), new_york("2026-11-18T21:00:00"), Setting::default()).await;
    stage.change_sender(Channel::Email, |sender| sender.daily_cap = 10).await;
    let id = of_one_mail(&stage, 130).await;
    second_mailbox(&stage, id, 90).await;
    stage.work().await;
    stage.launch(id).await;
    stage.pass(new_york("2026-12-01T00:00:00")).await;
    stage.rest().await;
    assert_eq!(counts(&by_day(&stage)), [100, 30], "each day what both may send");
    assert!(in_the_name_of(&stage, "ann@") <= 20, "{}", in_the_name_of(&stage, "ann@"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_goes_in_the_name_of_a_sender_that_was_removed_or_paused_while_another_may_send() {
    for removed in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let mut stage = stage(dir.path()).await;
        let id = of_one_mail(&stage, 12).await;
        stage.edit(id, |campaign| campaign.policy.week = Week::daily("19:00-20:00").unwrap()).await;
        let second = second_mailbox(&stage, id, 1_000).await;
        stage.work().await;
        stage.launch(id).await;
        stage.quiet().await;
        let first = stage.senders[&Channel::Email];
        let of_first = |touches: &[Touch]| touches.iter().filter(|touch| touch.sender == Some(first)).count();
        assert_eq!(of_first(&stage.touches(id).await), 6);
        if removed {
            change(&stage, id, |draft| draft.senders.retain(|sender| *sender != first)).await;
        } else {
            accounts::pause_sender(&stage.app, first, true, "holidays", "Ann").await.unwrap();
        }
        stage.quiet().await;
        let touches = stage.touches(id).await;
        assert_eq!(of_first(&touches), 0, "removed: {removed}: {touches:#?}");
        assert!(touches.iter().all(|touch| touch.reason == Some(Reason::WindowClosed)), "{touches:#?}");
        stage.pass(new_york("2026-11-18T19:30:00")).await;
        assert_eq!(in_the_name_of(&stage, "bob@"), 12, "removed: {removed}");
        assert!(stage.touches(id).await.iter().all(|touch| touch.sender == Some(second)));
        assert_eq!(stage.campaign(id).await.status, CampaignStatus::Done);
        stage.rest().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_heard_from_a_sender_waits_for_its_cap_rather_than_hear_from_another() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage(dir.path()).await;
    let people = stage.contacts("b", 8).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let steps =
        vec![step(Channel::Email, mail, Delay::Minutes(0)), step(Channel::Email, mail, Delay::Days(1))];
    let id = stage.draft("spring", &people, steps).await;
    second_mailbox(&stage, id, 1_000).await;
    stage.work().await;
    stage.launch(id).await;
    stage.quiet().await;
    assert_eq!(in_the_name_of(&stage, "ann@"), 4);
    stage.change_sender(Channel::Email, |sender| sender.daily_cap = 1).await;
    stage.pass(new_york("2026-11-30T00:00:00")).await;
    stage.rest().await;
    assert_eq!(counts(&by_day(&stage)), [8, 5, 1, 1, 1]);
    assert_eq!((in_the_name_of(&stage, "ann@"), in_the_name_of(&stage, "bob@")), (8, 8));
}

/// Whoever hands a message over is killed before the job in the new name is there, and the job in the old one comes again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_was_handed_over_is_sent_once_and_not_by_the_job_that_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage(dir.path()).await;
    let id = of_one_mail(&stage, 1).await;
    stage.edit(id, |campaign| campaign.policy.week = Week::daily("19:00-20:00").unwrap()).await;
    let second = second_mailbox(&stage, id, 1_000).await;
    stage.work().await;
    stage.launch(id).await;
    stage.quiet().await;
    let touch = stage.touches(id).await.remove(0);
    let other = if touch.sender == Some(second) { stage.senders[&Channel::Email] } else { second };
    let job = stage.client().new_id().to_string();
    let named = job.clone();
    let hand_over =
        move |tx: &mut windlass_campaigns::db::Tx<'_>| touches::hand_over(tx, touch.id, other, &named);
    assert!(stage.app.db().write(hand_over).await.unwrap());
    stage.pass(new_york("2026-11-18T19:30:00")).await;
    stage.rest().await;
    let touch = stage.touches(id).await.remove(0);
    assert_eq!((touch.status, touch.sends, touch.job), (TouchStatus::Sent, 1, job));
    assert_eq!(stage.mails().len(), 1);
}

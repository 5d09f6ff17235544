//! Why sequences were stopped is counted by what ended each first, and the counts are the sum.

use windlass_campaigns::{
    app::AppError,
    channel::Channel,
    figures::{self, Figures},
    flow::{erasure, news, optout, verbs},
    hooks::{Progress, TouchResult, What},
    model::{
        CampaignId, ContactId,
        campaign::{EnrolmentStatus, StopReason},
        touch::Touch,
    },
    store::{contacts::NewContact, enrolments, events::About},
    window::Delay,
};

use crate::stage::{MORNING, Setting, Stage, person, step};

impl Stage {
    /// Takes in what a provider tells of a mail to that contact.
    async fn hears(&self, mails: &[Touch], contact: ContactId, what: What) {
        let mail = mails.iter().find(|touch| touch.contact == contact && touch.channel == Channel::Email);
        let (app, mail, now) = (self.app.clone(), mail.unwrap().clone(), self.app.now());
        let heard = self.app.db().write(move |tx| {
            let key = format!("told of {}", mail.id);
            news::take_in(tx, &app, &mail, &what, "mail", &key, now).map(drop)
        });
        heard.await.unwrap();
    }

    async fn by_hand(&self, contact: ContactId, reason: &str) -> Result<(), AppError> {
        let about = About { contact: Some(contact), ..About::default() };
        optout::by_contact(&self.app, contact, None, about, reason, "Ann").await
    }
}

fn stops(figures: &Figures) -> Vec<(StopReason, u64)> {
    assert_eq!(figures.stops.iter().map(|one| one.count).sum::<u64>(), figures.stopped, "{figures:?}");
    figures.stops.iter().map(|one| (one.reason, one.count)).collect()
}

fn came_back() -> What {
    What::Progress(Progress {
        word: "bounce".into(),
        result: Some(TouchResult::Bounced),
        code: Some("smtp/550-5.7.1".into()),
        why: None,
        bounce_class: None,
        answered_by: None,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_sequence_that_was_stopped_is_counted_once_by_what_ended_it_first() {
    use StopReason::{
        Bounced, ByAPerson, CampaignCancelled, Clicked, ColleagueAnswered, Complained, Erased, OptedOut,
        Replied,
    };
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::set(dir.path(), Setting::default()).await;
    // The first four have one account; all others have nobody.
    let whose = |nth: u32| {
        let account = (nth < 4).then(|| "Acme".to_owned());
        NewContact { account, email: Some(format!("p{nth}@gmail.com")), ..person("p", nth, MORNING) }
    };
    let people = stage.people((0..12).map(whose).collect()).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let text = stage.template(Channel::Sms, "Hi. STOP ends.").await;
    let steps = vec![
        step(Channel::Email, mail, Delay::Minutes(0)),
        step(Channel::Sms, text, Delay::Minutes(0)),
        step(Channel::Email, mail, Delay::Days(9)),
    ];
    let id = stage.draft("spring", &people, steps).await;
    stage
        .edit(id, |campaign| {
            (campaign.stop_rules.account_reply, campaign.stop_rules.click) = (true, true);
        })
        .await;
    stage.work().await;
    stage.launch(id).await;
    let are_sent = |touches: &[Touch]| touches.iter().filter(|touch| touch.status.was_sent()).count() == 24;
    stage.until(id, "mails and texts", |_, touches| are_sent(touches)).await;

    let touches = stage.touches(id).await;
    stage.hears(&touches, people[4], What::Clicked { url: "https://example.com".into() }).await;
    stage.hears(&touches, people[5], came_back()).await;
    stage.hears(&touches, people[6], What::Complained).await;
    stage.hears(&touches, people[7], What::Unsubscribed).await;
    stage.by_hand(people[8], "by phone").await.unwrap();
    erasure::erase(&stage.app, people[9], "Ann").await.unwrap();
    let answered = touches.iter().find(|touch| touch.contact == people[0] && touch.channel == Channel::Sms);
    stage.answers(answered.unwrap()).await;
    // What comes after the end changes nothing of why it was.
    stage.by_hand(people[1], "by phone").await.unwrap();
    let reasons = [Clicked, Bounced, OptedOut, Complained, ByAPerson, Erased].map(|reason| (reason, 1));
    let mut expected = vec![(ColleagueAnswered, 3), (Replied, 1)];
    expected.extend(reasons);
    let counted = figures::counted(&stage.app, id).await.unwrap();
    assert_eq!((counted.active, counted.stopped, stops(&counted)), (2, 10, expected.clone()));

    verbs::cancel(&stage.app, id, "Ann").await.unwrap();
    expected.insert(1, (CampaignCancelled, 2));
    let counted = figures::counted(&stage.app, id).await.unwrap();
    assert_eq!((counted.active, stops(&counted)), (0, expected));
    stage.rest().await;
    for (nth, word) in [(1, "colleague_answered"), (8, "by_a_person"), (11, "campaign_cancelled")] {
        let (contact, campaign): (ContactId, CampaignId) = (people[nth], id);
        let found =
            stage.app.db().read(move |tx| enrolments::get(tx, campaign, contact)).await.unwrap().unwrap();
        assert_eq!((found.status, found.reason.as_str()), (EnrolmentStatus::Stopped, word), "{nth}");
    }
}

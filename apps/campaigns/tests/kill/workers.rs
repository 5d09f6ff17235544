//! Three channels for everybody while the process that sends them is killed again and again.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use windlass_campaigns::{
    channel::Channel,
    db::Db,
    model::{
        CampaignId, ReviewId, TouchId,
        campaign::CampaignStatus,
        touch::{EventKind, Touch, TouchStatus},
    },
    store::{campaigns, events, reviews, touches, usage},
    window::Delay,
};
use windlass_doubles::{Handle, Rules, log::Delivery, smtp, twilio};
use windlass_testkit::Dice;

use crate::{
    process::{self, Running},
    stage::{self, PACE, Setting, Stage, step},
};

const KILLS: u64 = 12;
const CONTACTS: u32 = 40;
/// From the last kill to the end of the campaign.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run() {
    crate::on_a_runtime(scene());
}

async fn scene() {
    let mut dice = Dice::new("workers");
    let dir = tempfile::tempdir().unwrap();
    let (handles, id) = begin(dir.path(), &mut dice).await;
    for _ in 0..KILLS {
        let mut running = Running::start(dir.path(), None);
        running.until_it_begins();
        tokio::time::sleep(Duration::from_millis(5 + dice.below(250))).await;
    }
    let _last = Running::start(dir.path(), None);
    let db = Db::open(&process::database(dir.path())).await.unwrap();
    let begun = Instant::now();
    while db.read(move |tx| campaigns::get(tx, id)).await.unwrap().unwrap().status != CampaignStatus::Done {
        assert!(begun.elapsed() < PATIENCE, "it ends: {:#?}", all_touches(&db, id).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    reconcile(&db, id, &handles).await;
}

async fn begin(dir: &Path, dice: &mut Dice) -> ([Handle; 2], CampaignId) {
    let seed = dice.any();
    // Answers take their time, so that kills fall between a question and its answer.
    // One mail takes longer than any process lives: its job is lost more often than the queue puts up with.
    let mail = Rules::parse(seed, &["b7@example.org=slow:1s", "5%=drop", "*=slow:1ms-30ms"]).unwrap();
    let phone = Rules::parse(seed, &["5%=drop", "*=slow:1ms-10ms"]).unwrap();
    let setting = Setting {
        mail: smtp::Options { rules: mail, ..smtp::Options::default() },
        phone: twilio::Options { rules: phone, pace: PACE, ..twilio::Options::default() },
        speed: 60,
        ..Setting::default()
    };
    let stage = Stage::set(dir, setting).await;
    let people = stage.contacts("b", CONTACTS).await;
    let mut steps = Vec::new();
    for channel in Channel::ALL {
        let template = stage.template(channel, "Hi {{first_name}}. STOP ends.").await;
        steps.push(step(channel, template, Delay::Minutes(1)));
    }
    let id = stage.draft("spring", &people, steps).await;
    stage.launch(id).await;
    // The directory belongs to one process at a time.
    let Stage { app, mail, phone, .. } = stage;
    app.client().close().await.unwrap();
    drop(app);
    ([mail, phone], id)
}

async fn all_touches(db: &Db, id: CampaignId) -> Vec<Touch> {
    let which = touches::Which { campaign: Some(id), ..Default::default() };
    db.read(move |tx| touches::page(tx, which, TouchId(i64::MAX), 10_000)).await.unwrap()
}

async fn count(db: &Db, touch: TouchId, kind: EventKind) -> usize {
    let all = db.read(move |tx| events::of_touch(tx, touch)).await.unwrap();
    all.iter().filter(|event| event.kind == kind).count()
}

/// Everything that the providers have taken is known, and everything that is known they have taken.
async fn reconcile(db: &Db, id: CampaignId, handles: &[Handle; 2]) {
    let taken: Vec<Delivery<'static>> =
        handles.iter().flat_map(|handle| stage::read(handle.log_path())).collect();
    let mut by = BTreeMap::<(Channel, &str), Vec<&Delivery<'_>>>::new();
    for delivery in &taken {
        let channel = Channel::ALL
            .into_iter()
            .find(|channel| format!("{:?}", delivery.channel).to_lowercase() == channel.name());
        by.entry((channel.unwrap(), &*delivery.to)).or_default().push(delivery);
    }
    let touches = all_touches(db, id).await;
    assert_eq!(touches.len(), CONTACTS as usize * Channel::ALL.len());
    let reviews = db.read(|tx| reviews::undecided(tx, ReviewId(0), 1_000)).await.unwrap();
    let mut repeated = 0;
    let mut unknown = 0;
    for touch in &touches {
        let copies = by.remove(&(touch.channel, &*touch.address)).unwrap_or_default();
        assert!(touch.status.is_final(), "{touch:#?}");
        let is_asked = reviews.iter().any(|review| review.touch == Some(touch.id));
        match touch.channel {
            Channel::Email => {
                assert_eq!(touch.status, TouchStatus::Sent, "{touch:#?}");
                assert!(!copies.is_empty() && copies.len() <= touch.sends as usize, "{touch:#?} {copies:#?}");
                let same = &copies[0].message_id;
                assert!(same.as_ref().unwrap().starts_with(&format!("<t{}.", touch.id)));
                assert!(copies.iter().all(|copy| copy.message_id == *same), "{copies:#?}");
                // Each copy beyond the first is explained.
                let explained = count(db, touch.id, EventKind::Repeated).await;
                assert_eq!(explained + 1, touch.sends as usize, "{touch:#?}");
                repeated += copies.len() - 1;
            }
            Channel::Sms => {
                assert_eq!(copies.len(), 1, "a text goes out once: {touch:#?} {copies:#?}");
                assert!(matches!(touch.status, TouchStatus::Sent | TouchStatus::Delivered), "{touch:#?}");
                assert_eq!(touch.provider_ref.as_deref(), Some(&*copies[0].provider_id));
            }
            Channel::Voicemail if touch.status == TouchStatus::Unknown => {
                assert!(copies.len() <= 1 && is_asked, "{touch:#?} {copies:#?}");
                unknown += 1;
            }
            Channel::Voicemail => {
                assert_eq!(copies.len(), 1, "{touch:#?} {copies:#?}");
                assert!(!is_asked);
                assert_eq!(touch.provider_ref.as_deref(), Some(&*copies[0].provider_id));
            }
        }
        let sender = touch.sender.unwrap();
        let day = touch.counted_day.clone();
        let used = db.read(move |tx| usage::used(tx, usage::Of::Sender(sender), &day)).await.unwrap();
        assert_eq!(used, i64::from(CONTACTS), "each message is counted once");
    }
    assert!(by.is_empty(), "nobody else was reached: {by:#?}");
    assert_eq!(reviews.len(), unknown);
    println!("{KILLS} kills, {repeated} mails repeated, {unknown} calls unknown");
}

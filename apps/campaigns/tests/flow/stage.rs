//! A campaign's whole stage in one process: a real database, real providers' doubles, a queue on disk.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant, SystemTime},
};

use tokio::task::JoinHandle;
use windlass::{
    Client, RunningWorker, Time,
    core::{State, store::Filter},
    testing::TestQueue,
};
use windlass_campaigns::{
    app::{App, Options},
    channel::{Channel, rules::ProviderKind},
    clock::Clock,
    db::{self, Db},
    flow::{accounts, share::Sharing, verbs},
    model::{
        CampaignId, ContactId, SenderId, TemplateId, UserId,
        campaign::{Campaign, CampaignStatus, Fallback, Step},
        contact::Consent,
        sender::Sender,
        touch::{Touch, TouchStatus},
    },
    store::{
        campaigns,
        contacts::{self, NewContact},
        lists, senders, settings, templates, touches, users,
    },
    window::{Delay, Week, WindowPolicy, Zone},
};
use windlass_doubles::{Handle, log::Delivery, smtp, twilio};
use windlass_outbox::{Outbox as _, Table, outbox::Turn, sqlite::SqliteOutbox};

/// What has not come by then never will.
const DEADLINE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(5);
/// How long a text or call stays in each of its states.
pub(crate) const PACE: Duration = Duration::from_millis(1);
/// Where the application's clock begins: Wednesday, 2026-11-18, 10:00 in New York.
pub(crate) const MORNING: Time = Time(1_795_014_000_000);

pub(crate) struct Stage {
    pub(crate) app: App,
    pub(crate) mail: Handle,
    pub(crate) phone: Handle,
    pub(crate) user: UserId,
    pub(crate) senders: BTreeMap<Channel, SenderId>,
    standing: Option<TestQueue>,
    /// When, by the wall's clock, the standing one was moved where.
    moments: Mutex<Vec<(u64, Time)>>,
    dir: PathBuf,
    relaying: Option<Carrying>,
    worker: Option<RunningWorker>,
}

/// Who brings the outbox's rows to the queue.
enum Carrying {
    Relay(db::Relaying),
    Rows(JoinHandle<()>),
}

/// Brings the rows of the stage's database to a queue in memory: the relay refuses one that may lose what it took.
async fn carry(dir: PathBuf, client: Client) {
    let mut outbox = SqliteOutbox::new(dir.join("campaigns.db"), Table::default());
    outbox.take_over().await.unwrap().expect("nobody else carries");
    let mut done = Vec::new();
    loop {
        let fence = client.new_id();
        let turn = Turn {
            done: std::mem::take(&mut done),
            keep: false,
            fence,
            full: Vec::new(),
            under_way: Vec::new(),
            rows: 100,
            bytes: 1 << 20,
        };
        match outbox.turn(turn).await.unwrap() {
            Some((batch, rows)) => {
                for mut row in rows {
                    client.enqueue_raw(row.job().unwrap()).await.unwrap();
                }
                done.push(batch);
            }
            None => outbox.doorbell(LOOK).await,
        }
    }
}

/// Where the jobs stand.
pub(crate) enum Queue {
    /// In a directory of the stage's own.
    File,
    /// There.
    At(String),
    /// In memory, by a clock that a test moves.
    Standing(TestQueue),
}

pub(crate) struct Setting {
    pub(crate) mail: smtp::Options,
    pub(crate) phone: twilio::Options,
    pub(crate) speed: u32,
    pub(crate) starts: Time,
    pub(crate) public_url: Option<String>,
    pub(crate) sharing: Option<Sharing>,
    pub(crate) queue: Queue,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            mail: smtp::Options::default(),
            phone: twilio::Options { pace: PACE, ..twilio::Options::default() },
            speed: 1,
            starts: MORNING,
            queue: Queue::File,
            public_url: None,
            sharing: None,
        }
    }
}

impl Stage {
    pub(crate) async fn set(dir: &Path, setting: Setting) -> Self {
        let url = format!("sqlite:{}", dir.join("campaigns.db").display());
        Self::on(dir, &url, setting).await
    }

    pub(crate) async fn on(dir: &Path, database: &str, setting: Setting) -> Self {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let mail = smtp::start(any_port, &dir.join("mail.jsonl"), setting.mail).await.unwrap();
        let phone = twilio::start(any_port, &dir.join("phone.jsonl"), setting.phone).await.unwrap();
        let client = match &setting.queue {
            Queue::File => windlass::open(&format!("file:{}", dir.join("queue").display())).await.unwrap(),
            Queue::At(url) => windlass::open(url).await.unwrap(),
            Queue::Standing(queue) => queue.client().clone(),
        };
        let db = Db::open(database).await.unwrap();
        let clock = match &setting.queue {
            Queue::Standing(queue) => Clock::running(queue.now(), queue.now(), setting.speed),
            Queue::File | Queue::At(_) => Clock::running(client.now(), setting.starts, setting.speed),
        };
        db.write(move |tx| settings::set(tx, settings::CLOCK, &clock)).await.unwrap();
        let options = Options { public_url: setting.public_url, sharing: setting.sharing };
        let app = App::open(db, client, options).await.unwrap();
        let now = app.now();
        let user = app.db().write(move |tx| users::ensure(tx, "Ann", "", 10, now)).await.unwrap();
        let standing = match setting.queue {
            Queue::Standing(queue) => Some(queue),
            Queue::File | Queue::At(_) => None,
        };
        let moments = Mutex::new(vec![(wall_ms(), now)]);
        let (dir, senders) = (dir.to_owned(), BTreeMap::new());
        let mut stage =
            Self { app, mail, phone, user, senders, standing, moments, dir, relaying: None, worker: None };
        stage.set_senders().await;
        stage
    }

    /// A stage whose clock stands where it begins until [`Stage::pass`] moves it.
    pub(crate) async fn standing(dir: &Path, starts: Time, setting: Setting) -> Self {
        let queue = Queue::Standing(TestQueue::starting_at(starts));
        Self::set(dir, Setting { queue, ..setting }).await
    }

    /// Waits until nothing is left to do at this moment: what waits, waits for a time to come.
    pub(crate) async fn quiet(&self) {
        let begun = Instant::now();
        loop {
            let waits = "SELECT count(*) FROM windlass_outbox";
            let waits = self.app.db().read(move |tx| tx.count(waits, &[])).await.unwrap();
            let queues = self.client().store().queues(None, None).await.unwrap();
            let busy = |state| queues.iter().map(|queue| queue.counts.of(state)).sum::<u64>();
            if waits == 0 && busy(State::Ready) == 0 && busy(State::Running) == 0 {
                return;
            }
            assert!(begun.elapsed() < DEADLINE, "there is no end of it: {}", self.told().await);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Lets so much time pass, whatever waits for the queue to let it go.
    pub(crate) async fn step_on(&self, span: Duration) {
        let standing = self.standing.as_ref().expect("a clock that stands");
        // What is under way is not made to last so long.
        let begun = Instant::now();
        loop {
            tokio::time::sleep(LOOK).await;
            let queues = self.client().store().queues(None, None).await.unwrap();
            if queues.iter().all(|queue| queue.counts.of(State::Running) == 0) {
                break;
            }
            assert!(begun.elapsed() < DEADLINE, "there is no end of it: {}", self.told().await);
        }
        standing.advance(span).await.unwrap();
        self.moments.lock().unwrap().push((wall_ms(), standing.now()));
    }

    /// Lets the time go on to that moment, and everything that is due on the way happen at its own.
    pub(crate) async fn pass(&self, until: Time) {
        let standing = self.standing.as_ref().expect("a clock that stands");
        loop {
            self.quiet().await;
            let next = self.next_due().await.unwrap_or(until).min(until).max(standing.now());
            standing.advance(Duration::from_millis(next.0 - standing.now().0)).await.unwrap();
            self.moments.lock().unwrap().push((wall_ms(), next));
            if next == until {
                return self.quiet().await;
            }
        }
    }

    async fn next_due(&self) -> Option<Time> {
        let later = Filter { states: vec![State::Scheduled, State::Retrying], ..Filter::default() };
        let page = self.client().store().list(later, None, 1_000, 10_000).await.unwrap().unwrap();
        assert!(page.next.is_none(), "a stage whose clock stands is a small one");
        page.items.iter().map(|job| job.since).min()
    }

    /// The application's time of something that happened at that moment of the wall.
    pub(crate) fn app_time(&self, at_ms: u64) -> Time {
        if self.standing.is_none() {
            return self.app.clock().at(Time(at_ms));
        }
        let moments = self.moments.lock().unwrap();
        moments.iter().rev().find(|(wall, _)| *wall <= at_ms).unwrap_or(&moments[0]).1
    }

    async fn set_senders(&mut self) {
        let smtp = accounts::new_provider("mail", ProviderKind::Smtp, &self.mail.url());
        let mut twilio = accounts::new_provider("phone", ProviderKind::Twilio, &self.phone.url());
        twilio.account = "AC00000000000000000000000000000001".into();
        twilio.secret = "token".into();
        let smtp = accounts::set_provider(&self.app, smtp, "test").await.unwrap();
        let twilio = accounts::set_provider(&self.app, twilio, "test").await.unwrap();
        for (channel, provider, address) in [
            (Channel::Email, smtp.id, "ann@example.com"),
            (Channel::Sms, twilio.id, "+12125550100"),
            (Channel::Voicemail, twilio.id, "+12125550101"),
        ] {
            let sender = Sender::new(channel, address, provider, "America/New_York", 100_000);
            let sender = Sender { name: "Ann".into(), ..sender };
            let stored = accounts::set_sender(&self.app, sender, "test").await.unwrap();
            self.senders.insert(channel, stored.id);
        }
    }

    /// Changes a sender as the page of senders does.
    pub(crate) async fn change_sender(&self, channel: Channel, change: impl FnOnce(&mut Sender)) {
        let id = self.senders[&channel];
        let mut sender = self.app.db().read(move |tx| senders::get(tx, id)).await.unwrap().unwrap();
        change(&mut sender);
        assert_eq!(accounts::set_sender(&self.app, sender, "test").await.unwrap().id, id);
    }

    pub(crate) fn client(&self) -> &Client {
        self.app.client()
    }

    /// Starts relay and worker.
    pub(crate) async fn work(&mut self) {
        self.relaying = Some(match &self.standing {
            Some(queue) => Carrying::Rows(tokio::spawn(carry(self.dir.clone(), queue.client().clone()))),
            None => Carrying::Relay(db::relay(self.app.db(), self.client()).unwrap()),
        });
        self.worker = Some(self.app.work().await.unwrap());
    }

    /// Launches it and works until it is through.
    pub(crate) async fn carry_out(&mut self, id: CampaignId) {
        self.work().await;
        self.launch(id).await;
        self.until_done(id).await;
        self.rest().await;
    }

    pub(crate) async fn rest(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.shutdown().await;
        }
        match self.relaying.take() {
            Some(Carrying::Relay(relaying)) => relaying.end().await,
            Some(Carrying::Rows(task)) => task.abort(),
            None => {}
        }
    }

    pub(crate) async fn template(&self, channel: Channel, body: &str) -> TemplateId {
        let now = self.app.now();
        let (name, body) = (format!("{channel}: {body}"), body.to_owned());
        self.app
            .db()
            .write(move |tx| templates::write(tx, &name, channel, "News", &body, None, now))
            .await
            .unwrap()
    }

    /// These contacts.
    pub(crate) async fn people(&self, people: Vec<NewContact>) -> Vec<ContactId> {
        let now = self.app.now();
        self.app
            .db()
            .write(move |tx| {
                people.iter().map(|person| contacts::upsert(tx, person, now).map(|done| done.id())).collect()
            })
            .await
            .unwrap()
    }

    /// So many contacts in New York with a mailbox, a number and consent to everything.
    pub(crate) async fn contacts(&self, prefix: &str, count: u32) -> Vec<ContactId> {
        let now = self.app.now();
        self.people((0..count).map(|nth| person(prefix, nth, now)).collect()).await
    }

    /// A draft for those contacts with those steps.
    pub(crate) async fn draft(&self, name: &str, people: &[ContactId], steps: Vec<Step>) -> CampaignId {
        let (now, user, name, people) = (self.app.now(), self.user, name.to_owned(), people.to_vec());
        let senders: Vec<SenderId> = self.senders.values().copied().collect();
        self.app
            .db()
            .write(move |tx| {
                let list = lists::ensure(tx, &name, now)?;
                lists::add(tx, list, people.clone())?;
                let id = campaigns::create(tx, &campaign(user, &name, list, now), &steps, now)?;
                senders::choose(tx, id, &senders)?;
                Ok::<_, db::DbError>(id)
            })
            .await
            .unwrap()
    }

    pub(crate) async fn edit(&self, id: CampaignId, change: impl Fn(&mut Campaign) + Send + Sync + 'static) {
        let edited = self
            .app
            .db()
            .write(move |tx| {
                let mut campaign = campaigns::get(tx, id)?.unwrap();
                change(&mut campaign);
                campaigns::edit(tx, &campaign)
            })
            .await;
        assert!(edited.unwrap());
    }

    /// Launches it without a look at it first: what the flow checks by itself is what these tests are about.
    pub(crate) async fn launch(&self, id: CampaignId) -> Campaign {
        verbs::launch_without_preflight(&self.app, id, "test").await.unwrap()
    }

    pub(crate) async fn campaign(&self, id: CampaignId) -> Campaign {
        self.app.db().read(move |tx| campaigns::get(tx, id)).await.unwrap().unwrap()
    }

    pub(crate) async fn touches(&self, id: CampaignId) -> Vec<Touch> {
        let which = touches::Which { campaign: Some(id), ..Default::default() };
        let all = self
            .app
            .db()
            .read(move |tx| touches::page(tx, which, windlass_campaigns::model::TouchId(i64::MAX), 100_000));
        all.await.unwrap()
    }

    /// Waits until that holds of the campaign's messages.
    pub(crate) async fn until(
        &self,
        id: CampaignId,
        what: &str,
        holds: impl Fn(&Campaign, &[Touch]) -> bool,
    ) {
        let begun = Instant::now();
        loop {
            let (campaign, touches) = (self.campaign(id).await, self.touches(id).await);
            if holds(&campaign, &touches) {
                return;
            }
            if begun.elapsed() > DEADLINE {
                panic!("{what} does not come true: {campaign:?} {touches:#?} {}", self.told().await);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until that holds.
    pub(crate) async fn until_that(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let begun = Instant::now();
        while !holds().await {
            assert!(begun.elapsed() < DEADLINE, "{what} does not come true: {}", self.told().await);
            tokio::time::sleep(LOOK).await;
        }
    }

    pub(crate) async fn until_done(&self, id: CampaignId) {
        self.until(id, "the end", |campaign, _| campaign.status == CampaignStatus::Done).await;
    }

    /// What queue and outbox say, for a test that fails.
    async fn told(&self) -> String {
        let mut told = String::new();
        for queue in self.client().store().queues(None, None).await.unwrap() {
            told += &format!("\n{}: {:?}", queue.name.as_str(), queue.counts);
        }
        let page = self.client().store().list(Default::default(), None, 100, 10_000).await.unwrap().unwrap();
        for job in page.items {
            let why = self.client().why(job.id).await;
            told += &format!("\n{job:?} {why:?}");
        }
        let aside = "SELECT kind, reason FROM windlass_outbox_aside UNION ALL SELECT kind, 'waits' FROM windlass_outbox";
        let aside = self.app.db().read(move |tx| tx.rows(aside, &[])).await.unwrap();
        told + &format!("\noutbox: {aside:?}")
    }

    pub(crate) fn mails(&self) -> Vec<Delivery<'static>> {
        read(self.mail.log_path())
    }

    pub(crate) fn calls_and_texts(&self) -> Vec<Delivery<'static>> {
        read(self.phone.log_path())
    }
}

fn wall_ms() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

pub(crate) fn read(path: &Path) -> Vec<Delivery<'static>> {
    let text = std::fs::read_to_string(PathBuf::from(path)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn person(prefix: &str, nth: u32, now: Time) -> NewContact {
    let consent = |channel| Consent {
        channel,
        basis: "express_written".into(),
        proof: "https://example.com/form".into(),
        source: "test".into(),
        given_at: now,
        revoked_at: None,
    };
    NewContact {
        email: Some(format!("{prefix}{nth}@example.org")),
        phone: Some(format!("+1212{:07}", 2_000_000 + u64::from(nth) + 1_000 * prefix.len() as u64)),
        name: Some(format!("Bob Nr{nth}")),
        time_zone: Some("America/New_York".into()),
        consents: Channel::ALL.into_iter().map(consent).collect(),
        ..NewContact::default()
    }
}

pub(crate) fn campaign(
    user: UserId,
    name: &str,
    list: windlass_campaigns::model::ListId,
    now: Time,
) -> Campaign {
    let zone = Zone::named("America/New_York").unwrap();
    let week = Week::daily("09:00-20:00").unwrap();
    Campaign {
        list: Some(list),
        postal_address: "1 Main St, Springfield".into(),
        ..Campaign::draft(user, name, WindowPolicy::new(zone, week).unwrap(), now)
    }
}

pub(crate) fn step(channel: Channel, template: TemplateId, delay: Delay) -> Step {
    Step::new(channel, template, delay)
}

pub(crate) fn fallback(step: Step, channel: Channel, template: TemplateId) -> Step {
    Step { fallback: Some(Fallback { channel, template }), ..step }
}

pub(crate) fn in_status(touches: &[Touch], status: TouchStatus) -> usize {
    touches.iter().filter(|touch| touch.status == status).count()
}

/// That moment by the clocks of New York, written as `2026-11-18T19:59:30`.
pub(crate) fn new_york(text: &str) -> Time {
    let there: jiff::civil::DateTime = text.parse().unwrap();
    let at = there.in_tz("America/New_York").unwrap().timestamp().as_millisecond();
    Time(u64::try_from(at).unwrap())
}

/// What the clocks of that zone show at that moment.
pub(crate) fn local(zone: &str, at: Time) -> jiff::civil::DateTime {
    let at = jiff::Timestamp::from_millisecond(i64::try_from(at.0).unwrap()).unwrap();
    at.in_tz(zone).unwrap().datetime()
}

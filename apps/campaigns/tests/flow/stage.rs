//! A campaign's whole stage in one process: a real database, real providers' doubles, a queue on disk.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use windlass::{Client, RunningWorker, Time};
use windlass_campaigns::{
    app::{App, Options},
    channel::{Channel, rules::ProviderKind},
    clock::Clock,
    db::{self, Db},
    flow::{accounts, verbs},
    model::{
        CampaignId, ContactId, SenderId, TemplateId, UserId,
        campaign::{Campaign, CampaignStatus, Condition, Fallback, Step, StopRules},
        contact::Consent,
        sender::{Sender, WarmUp},
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

/// What has not come by then never will.
const DEADLINE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(10);
/// Where the application's clock begins: Wednesday, 2026-11-18, 10:00 in New York.
pub(crate) const MORNING: Time = Time(1_795_014_000_000);

pub(crate) struct Stage {
    pub(crate) app: App,
    pub(crate) mail: Handle,
    pub(crate) phone: Handle,
    pub(crate) user: UserId,
    pub(crate) senders: BTreeMap<Channel, SenderId>,
    relaying: Option<db::Relaying>,
    worker: Option<RunningWorker>,
}

pub(crate) struct Setting {
    pub(crate) mail: smtp::Options,
    pub(crate) phone: twilio::Options,
    pub(crate) speed: u32,
    pub(crate) starts: Time,
    pub(crate) public_url: Option<String>,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            mail: smtp::Options::default(),
            phone: twilio::Options::default(),
            speed: 1,
            starts: MORNING,
            public_url: None,
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
        let client = windlass::open(&format!("file:{}", dir.join("queue").display())).await.unwrap();
        let db = Db::open(database).await.unwrap();
        let clock = Clock::running(client.now(), setting.starts, setting.speed);
        db.write(move |tx| settings::set(tx, settings::CLOCK, &clock)).await.unwrap();
        let app = App::open(db, client, Options { public_url: setting.public_url }).await.unwrap();
        let now = app.now();
        let user = app.db().write(move |tx| users::ensure(tx, "Ann", "", 10, now)).await.unwrap();
        let mut stage =
            Self { app, mail, phone, user, senders: BTreeMap::new(), relaying: None, worker: None };
        stage.set_senders().await;
        stage
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
            let sender = Sender {
                id: SenderId(0),
                user: None,
                channel,
                name: "Ann".into(),
                address: address.into(),
                provider,
                time_zone: "America/New_York".into(),
                daily_cap: 100_000,
                per_minute: None,
                warm_up: WarmUp::warm(),
                cap_today: 0,
                paused: false,
                pause_reason: String::new(),
                revision: 0,
            };
            let stored = accounts::set_sender(&self.app, sender, "test").await.unwrap();
            self.senders.insert(channel, stored.id);
        }
    }

    pub(crate) fn client(&self) -> &Client {
        self.app.client()
    }

    /// Starts relay and worker.
    pub(crate) async fn work(&mut self) {
        self.relaying = Some(db::relay(self.app.db(), self.client()).unwrap());
        self.worker = Some(self.app.work().await.unwrap());
    }

    pub(crate) async fn rest(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.shutdown().await;
        }
        if let Some(relaying) = self.relaying.take() {
            relaying.end().await;
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

    /// So many contacts in New York with a mailbox, a number and consent to everything.
    pub(crate) async fn contacts(&self, prefix: &str, count: u32) -> Vec<ContactId> {
        let now = self.app.now();
        let people = (0..count).map(|nth| person(prefix, nth, now)).collect::<Vec<_>>();
        self.app
            .db()
            .write(move |tx| {
                people.iter().map(|person| contacts::upsert(tx, person, now).map(|done| done.id())).collect()
            })
            .await
            .unwrap()
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

    pub(crate) async fn launch(&self, id: CampaignId) -> Campaign {
        verbs::launch(&self.app, id, "test").await.unwrap()
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

fn read(path: &Path) -> Vec<Delivery<'static>> {
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
        id: CampaignId(0),
        user,
        name: name.to_owned(),
        status: CampaignStatus::Draft,
        list: Some(list),
        version: 1,
        weight: 10,
        daily_cap: None,
        policy: WindowPolicy::new(zone, week).unwrap(),
        stop_rules: StopRules::default(),
        postal_address: "1 Main St, Springfield".into(),
        starts_at: None,
        launched_at: None,
        paged_at: None,
        ended_at: None,
        contacts: 0,
        revision: 0,
        created_at: now,
    }
}

pub(crate) fn step(channel: Channel, template: TemplateId, delay: Delay) -> Step {
    Step { channel, delay, condition: Condition::Always, template, fallback: None }
}

pub(crate) fn fallback(step: Step, channel: Channel, template: TemplateId) -> Step {
    Step { fallback: Some(Fallback { channel, template }), ..step }
}

pub(crate) fn in_status(touches: &[Touch], status: TouchStatus) -> usize {
    touches.iter().filter(|touch| touch.status == status).count()
}

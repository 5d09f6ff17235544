//! Providers and domains that say that it is too much are asked more slowly, and at full pace when they bear it again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State as Of,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use windlass::{
    JobId,
    core::{
        State,
        rate::Rate,
        store::{Filter, LimitInfo},
    },
    testing::TestQueue,
};
use windlass_campaigns::{
    app::{App, Options},
    channel::{
        Channel,
        pace::{Pace, Policy},
        rules::{Action, ErrorRule, ProviderKind},
    },
    flow::{accounts, verbs},
    model::{
        CampaignId, ProviderId,
        campaign::CampaignStatus,
        provider::Provider,
        touch::{Reason, Touch, TouchStatus},
    },
    store::{audit, contacts::NewContact, providers},
    window::Delay,
};
use windlass_doubles::{Rules, smtp};

use crate::stage::{MORNING, Queue, Setting, Stage, in_status, person, step};

/// The account of texts, which the stage makes as its second.
const PHONE: ProviderId = ProviderId(2);
/// What has not come by then never will.
const DEADLINE_S: u64 = 60;
const LOOK: Duration = Duration::from_millis(1);
/// What the account is set to, and what it bears: four times less.
const PER_SECOND: u32 = 2;
const APART_MS: u64 = 2_000;

/// Stands before the double, and says that it is too much to whoever texts more often than it bears, by the test's clock.
struct Gate {
    clock: TestQueue,
    behind: String,
    http: reqwest::Client,
    /// Messages are so far apart; 0 is as close as they come.
    apart_ms: AtomicU64,
    free_at_ms: AtomicU64,
    /// The wait that a refusal names; 0 is none.
    wait_s: AtomicU64,
    refused: AtomicU64,
    taken: AtomicU64,
}

impl Gate {
    async fn before(stage: &Stage, clock: TestQueue) -> (Arc<Self>, String) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let gate = Arc::new(Self {
            clock,
            behind: stage.phone.url(),
            http: reqwest::Client::builder().no_proxy().tls_certs_only(std::iter::empty()).build().unwrap(),
            apart_ms: AtomicU64::new(APART_MS),
            free_at_ms: AtomicU64::new(0),
            wait_s: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            taken: AtomicU64::new(0),
        });
        let router = Router::new().fallback(pass).with_state(gate.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (gate, url)
    }

    /// How often it was asked.
    fn asked(&self) -> u64 {
        self.refused.load(SeqCst) + self.taken.load(SeqCst)
    }

    /// Whether another text is too much now.
    fn is_too_much(&self) -> bool {
        let (now, apart) = (self.clock.now().0, self.apart_ms.load(SeqCst));
        let take = |free: u64| (now >= free).then_some(now + apart);
        self.free_at_ms.fetch_update(SeqCst, SeqCst, take).is_err()
    }
}

async fn pass(
    Of(gate): Of<Arc<Gate>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if method == Method::POST {
        if gate.is_too_much() {
            gate.refused.fetch_add(1, SeqCst);
            let said = json!({ "code": 20429, "message": "Too Many Requests", "status": 429 });
            let mut answer = (StatusCode::TOO_MANY_REQUESTS, axum::Json(said)).into_response();
            let wait_s = gate.wait_s.load(SeqCst);
            if wait_s > 0 {
                answer.headers_mut().insert(header::RETRY_AFTER, wait_s.into());
            }
            return answer;
        }
        gate.taken.fetch_add(1, SeqCst);
    }
    let mut request = gate.http.request(method, format!("{}{uri}", gate.behind)).body(body);
    for name in [header::AUTHORIZATION, header::CONTENT_TYPE] {
        request = request
            .header(&name, headers.get(&name).cloned().unwrap_or(header::HeaderValue::from_static("")));
    }
    let answer = request.send().await.unwrap();
    let (status, kind) = (answer.status(), answer.headers()[header::CONTENT_TYPE].clone());
    (status, [(header::CONTENT_TYPE, kind)], Body::from(answer.bytes().await.unwrap())).into_response()
}

impl Stage {
    async fn limit(&self, name: &str) -> Option<LimitInfo> {
        let limits = self.client().store().limits(None, 100).await.unwrap().items;
        limits.into_iter().find(|limit| limit.name.as_str() == name)
    }

    async fn provider(&self, id: ProviderId) -> Provider {
        self.app.db().read(move |tx| providers::get(tx, id)).await.unwrap().unwrap()
    }

    /// Waits until nothing can go on at this moment: what is left waits for a time, or for the account's limit.
    async fn stands_still(&self) {
        let begun = Instant::now();
        loop {
            let now = self.client().now();
            let queues = self.client().store().queues(None, None).await.unwrap();
            let of = |state| queues.iter().map(|queue| queue.counts.of(state)).sum::<u64>();
            let texts = queues.iter().find(|queue| queue.name.as_str() == "sms");
            let texts = texts.map_or(0, |queue| queue.counts.of(State::Ready));
            let is_closed = self
                .limit("provider-2")
                .await
                .is_some_and(|limit| limit.closed_until.is_some_and(|until| until > now));
            if of(State::Running) == 0 && of(State::Ready) == if is_closed { texts } else { 0 } {
                return;
            }
            assert!(begun.elapsed().as_secs() < DEADLINE_S, "there is no end of it");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until nothing of what is due has to be told to the queue.
    async fn is_told(&self) {
        let begun = Instant::now();
        loop {
            let waits = "SELECT count(*) FROM windlass_outbox";
            let waits = self.app.db().read(move |tx| tx.count(waits, &[])).await.unwrap();
            if waits == 0 && self.growing(vec![State::Ready, State::Running]).await.is_empty() {
                return;
            }
            assert!(begun.elapsed().as_secs() < DEADLINE_S, "there is no end of it");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The jobs in those states by which paces grow.
    async fn growing(&self, states: Vec<State>) -> Vec<JobId> {
        let kind = Some("grow_pace".parse().unwrap());
        let which = Filter { states, kind, ..Filter::default() };
        let jobs = self.client().store().list(which, None, 10, 10_000).await.unwrap().unwrap().items;
        jobs.iter().map(|job| job.id).collect()
    }

    /// Goes on in small steps until the account is slowed down.
    async fn until_slowed(&self) {
        let begun = Instant::now();
        while !self.provider(PHONE).await.pace.was_cut() {
            assert!(begun.elapsed().as_secs() < DEADLINE_S, "nothing is too much");
            self.steps(1, Duration::from_millis(500)).await;
        }
    }

    async fn steps(&self, count: u32, span: Duration) {
        for _ in 0..count {
            self.stands_still().await;
            self.step_on(span).await;
        }
        self.stands_still().await;
    }
}

/// A stage with a campaign of sixty texts, through an account that bears a quarter of what it is set to.
async fn crowded(dir: &std::path::Path, speed: u32) -> (Stage, Arc<Gate>, CampaignId) {
    let clock = TestQueue::starting_at(MORNING);
    let setting = Setting { queue: Queue::Standing(clock.clone()), speed, ..Setting::default() };
    let mut stage = Stage::set(dir, setting).await;
    let (gate, url) = Gate::before(&stage, clock).await;
    let account = Provider { url, per_second: Some(PER_SECOND), ..stage.provider(PHONE).await };
    accounts::set_provider(&stage.app, account, "test").await.unwrap();
    let people = stage.contacts("b", 60).await;
    let text = stage.template(Channel::Sms, "Hi. STOP ends.").await;
    let id = stage.draft("spring", &people, vec![step(Channel::Sms, text, Delay::Minutes(0))]).await;
    stage.work().await;
    stage.launch(id).await;
    (stage, gate, id)
}

/// What came of three minutes, in steps in which one text may go at full pace: refused, and taken.
async fn three_minutes(stage: &Stage, gate: &Gate) -> (u64, u64) {
    stage.steps(360, Duration::from_millis(500)).await;
    (gate.refused.load(SeqCst), gate.taken.load(SeqCst))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_says_too_much_is_asked_more_slowly_and_at_full_pace_when_it_bears_it_again() {
    // As it would be without: the refusal is one like any other.
    let dir = tempfile::tempdir().unwrap();
    let (mut stage, gate, _) = crowded(dir.path(), 1).await;
    let rule = ErrorRule {
        provider: ProviderKind::Twilio,
        code: "20429".into(),
        action: Action::Retry,
        note: String::new(),
        source: String::new(),
    };
    accounts::set_error_rule(&stage.app, rule, "test").await.unwrap();
    let (refused_at_full_pace, taken_at_full_pace) = three_minutes(&stage, &gate).await;
    assert_eq!(stage.provider(PHONE).await.pace, Pace::default());
    stage.rest().await;

    let dir = tempfile::tempdir().unwrap();
    let (mut stage, gate, id) = crowded(dir.path(), 1).await;
    let (refused, taken) = three_minutes(&stage, &gate).await;
    println!("refused {refused}, taken {taken}; without: {refused_at_full_pace}, {taken_at_full_pace}");
    assert!(refused * 2 < refused_at_full_pace, "{refused} and {refused_at_full_pace}");
    assert!(taken > taken_at_full_pace, "{taken} and {taken_at_full_pace}");
    assert!(stage.provider(PHONE).await.pace.was_cut());
    let slowed = stage.limit("provider-2").await.unwrap().settings.rate.unwrap();
    assert!((1..120).contains(&slowed.count) && slowed.period_ms == 60_000, "{slowed:?}");

    gate.apart_ms.store(0, SeqCst);
    let begun = Instant::now();
    while stage.campaign(id).await.status != CampaignStatus::Done {
        assert!(begun.elapsed().as_secs() < DEADLINE_S);
        stage.steps(10, Duration::from_secs(2)).await;
    }
    stage.steps(3, Duration::from_secs(100)).await;
    let people = stage.contacts("bb", 1).await;
    let text = stage.template(Channel::Sms, "Hi again. STOP ends.").await;
    let last = stage.draft("last", &people, vec![step(Channel::Sms, text, Delay::Minutes(0))]).await;
    stage.launch(last).await;
    stage.until_done(last).await;
    stage.rest().await;
    assert_eq!(stage.provider(PHONE).await.pace, Pace::default(), "nothing is left of it");
    let full = Rate { count: PER_SECOND, period_ms: 1_000, burst: 1 };
    assert_eq!(stage.limit("provider-2").await.unwrap().settings.rate, Some(full));
    assert_eq!(stage.calls_and_texts().len(), 61);
    let changes = stage.app.db().read(|tx| audit::page(tx, i64::MAX, 100)).await.unwrap();
    let told =
        |what: &str| changes.iter().any(|one| (one.what.as_str(), one.who.as_str()) == (what, "windlass"));
    assert!(told("slow provider down") && told("bring provider back to full pace"), "{changes:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_grows_with_the_pace_that_is_shown_whether_or_not_anything_is_sent() {
    // By the clock of the wall; and in a rehearsal, by a process that begins when the one that has slowed down is gone, and
    // its job given up.
    for (speed, begins_anew) in [(1, false), (480, true)] {
        let dir = tempfile::tempdir().unwrap();
        let (mut stage, gate, id) = crowded(dir.path(), speed).await;
        stage.until_slowed().await;
        verbs::pause(&stage.app, id, "Ann").await.unwrap();
        stage.is_told().await;
        let other = if begins_anew {
            stage.rest().await;
            for planned in stage.growing(vec![State::Scheduled]).await {
                stage.client().cancel(planned).await.unwrap();
            }
            stage.step_on(Duration::from_secs(10)).await;
            let other = App::open(stage.app.db().clone(), stage.client().clone(), Options::default());
            Some(other.await.unwrap().work().await.unwrap())
        } else {
            None
        };
        let usual = Policy::default();
        let times = u64::from(speed);
        let policy = Policy { grows_every_ms: usual.grows_every_ms * times, ..usual };
        let (asked, mut steps) = (gate.asked(), 0);
        let as_shown = async |steps: u32| {
            stage.is_told().await;
            let shown = stage.provider(PHONE).await.pace.slowdown(stage.app.now(), &policy);
            let count = shown.map(|shown| u32::try_from(shown.per_minute).unwrap());
            let rate = count.map(|count| Rate { count, period_ms: 60_000 / times, burst: 1 });
            let full = Rate { count: PER_SECOND, period_ms: 1_000 / times, burst: 1 };
            let told = stage.limit("provider-2").await.unwrap().settings.rate;
            assert_eq!(told, Some(rate.unwrap_or(full)), "after {steps} steps at {times} times the speed");
        };
        as_shown(0).await;
        while let Some(grows_at) = stage.provider(PHONE).await.pace.grows_at(stage.app.now(), &policy) {
            let due = stage.app.clock().wall_at(grows_at).0 - stage.client().now().0;
            stage.step_on(Duration::from_millis(due - 1)).await;
            as_shown(steps).await;
            stage.step_on(Duration::from_millis(1)).await;
            steps += 1;
            as_shown(steps).await;
        }
        // Ten from a half, or nine where one went by while nobody was there.
        assert!((9..=20).contains(&steps), "{steps} steps of a twentieth");
        assert_eq!(gate.asked(), asked, "nobody was asked for anything");
        assert_eq!(stage.provider(PHONE).await.pace, Pace::default(), "nothing is left of it");
        stage.step_on(Duration::from_secs(60)).await;
        stage.is_told().await;
        assert_eq!(stage.growing(vec![State::Scheduled]).await, [], "and nobody looks any more");
        if let Some(other) = other {
            other.shutdown().await;
        }
        stage.rest().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_was_planned_before_a_wait_was_named_does_not_end_the_wait() {
    let dir = tempfile::tempdir().unwrap();
    let (mut stage, gate, _) = crowded(dir.path(), 1).await;
    stage.until_slowed().await;
    let cut_at = stage.provider(PHONE).await.pace.cut_at().unwrap();
    gate.free_at_ms.store(u64::MAX, SeqCst);
    gate.wait_s.store(60, SeqCst);
    let before = gate.asked();
    let begun = Instant::now();
    while gate.asked() == before {
        assert!(begun.elapsed().as_secs() < DEADLINE_S, "nothing is sent");
        stage.steps(1, Duration::from_millis(500)).await;
    }
    let waits_until = stage.limit("provider-2").await.unwrap().closed_until.unwrap();
    assert!(waits_until > stage.client().now().plus_ms(58_000), "the wait that was named");
    let step_at = cut_at.plus_ms(10_000);
    assert!(stage.client().now() < step_at, "the next step is planned, and lies within the wait");
    let asked = gate.asked();
    while stage.client().now().plus_ms(1_000) < waits_until {
        stage.steps(1, Duration::from_secs(1)).await;
        stage.is_told().await;
        assert_eq!(stage.limit("provider-2").await.unwrap().closed_until, Some(waits_until));
    }
    assert_eq!(gate.asked(), asked, "it is left alone as long as it wants to be");
    stage.rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_domain_that_says_too_much_is_asked_more_slowly_for_mails_of_before_and_after() {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules::parse(1, &["*@slow.example=421"]).unwrap();
    let mail = smtp::Options { rules, ..smtp::Options::default() };
    let mut stage = Stage::standing(dir.path(), MORNING, Setting { mail, ..Setting::default() }).await;
    let at = |nth: u32, domain: &str| NewContact {
        email: Some(format!("b{nth}@{domain}")),
        ..person("b", nth, MORNING)
    };
    let people =
        (0..200).map(|nth| at(nth, "Slow.example")).chain((200..210).map(|nth| at(nth, "fast.example")));
    let people = stage.people(people.collect()).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let mail = vec![step(Channel::Email, mail, Delay::Minutes(0))];
    let id = stage.draft("spring", &people, mail.clone()).await;
    // Every mail is made before the domain says anything.
    let sender = stage.senders[&Channel::Email];
    accounts::pause_sender(&stage.app, sender, true, "not yet", "Ann").await.unwrap();
    stage.work().await;
    stage.launch(id).await;
    stage.until(id, "mails that wait", |_, all| in_status(all, TouchStatus::Deferred) == 210).await;
    accounts::pause_sender(&stage.app, sender, false, "", "Ann").await.unwrap();
    let is_over =
        |touch: &Touch| touch.status == TouchStatus::Sent || touch.reason == Some(Reason::ProviderBusy);
    stage.until(id, "an answer or a turn", |_, all| all.iter().all(is_over)).await;
    stage.quiet().await;
    let touches = stage.touches(id).await;
    let asked =
        touches.iter().filter(|touch| touch.sends > 0 && touch.status == TouchStatus::Deferred).count();
    assert!((4..100).contains(&asked), "{asked} were asked for before it was slowed down");
    assert_eq!(in_status(&touches, TouchStatus::Sent), 10, "who says nothing is not slowed down");
    let in_line: Vec<&Touch> = touches
        .iter()
        .filter(|touch| touch.sends == 0 && touch.reason == Some(Reason::ProviderBusy))
        .collect();
    assert_eq!(in_line.len() + asked, 200);
    let mut turns: Vec<u64> = in_line.iter().map(|touch| touch.until.unwrap().0 - MORNING.0).collect();
    turns.sort_unstable();
    // Half of one a second, which stands for a pace where nothing was taken.
    assert!(turns.windows(2).all(|two| two[1] - two[0] == 2_000), "{turns:?}");
    assert!(in_line.iter().all(|touch| touch.detail.starts_with("slow.example is slowed down: smtp/421")));
    let limit = stage.limit("domain-slow.example").await.unwrap();
    assert_eq!(limit.settings.rate, Some(Rate { count: 30, period_ms: 60_000, burst: 1 }));

    // A mail that is made from now on takes the limit, and a person lets it go.
    stage.step_on(Duration::from_secs(1)).await;
    let later = stage.people(vec![at(300, "slow.example")]).await;
    let next = stage.draft("next", &later, mail).await;
    stage.launch(next).await;
    stage.until(next, "its mail", |_, touches| touches.iter().any(|touch| touch.sends > 0)).await;
    let job = stage.touches(next).await[0].job.parse().unwrap();
    let detail = stage.client().get(job).await.unwrap().unwrap();
    assert!(format!("{detail:?}").contains("domain-slow.example"), "{detail:?}");
    accounts::remove_domain_limit(&stage.app, "slow.example", "Ann").await.unwrap();
    assert!(stage.limit("domain-slow.example").await.is_none_or(|limit| limit.settings.rate.is_none()));
    stage.rest().await;
}

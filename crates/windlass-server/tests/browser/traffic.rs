//! An hour of plausible work, told to a store by its own verbs with the times at which it happened, and what is left of it
//! now: for pictures that look as a server looks which somebody uses.

use serde_json::json;
use windlass::{Client, Draft, JobId, Time};
use windlass_core::job::{ErrorReport, Progress};
use windlass_core::limit::LimitSettings;
use windlass_core::queue::{GroupSettings, QueueSettings};
use windlass_core::rate::Rate;
use windlass_core::store::{Claim, ClaimedJob, Hello, Hold, Report, Settle};
use windlass_core::{QueueName, WorkerId};

/// How long it has gone on.
const HOUR_MS: u64 = 3_600_000;
/// How often something happens.
const BEAT_MS: u64 = 5_000;

const CAMPAIGNS: [&str; 5] =
    ["black-friday", "spring sale 2026", "newsletter-112", "welcome", "Öffnungszeiten & Termine"];

/// What a queue has to do.
struct Line {
    queue: &'static str,
    kind: &'static str,
    /// Jobs of a beat, on the average.
    jobs: f64,
    /// How much that swings over the hour.
    swing: f64,
    wait_ms: u64,
    run_ms: u64,
    slots: u32,
}

const LINES: [Line; 5] = [
    Line {
        queue: "email",
        kind: "send_email",
        jobs: 46.0,
        swing: 0.6,
        wait_ms: 140,
        run_ms: 410,
        slots: 120,
    },
    Line { queue: "sms", kind: "send_sms", jobs: 9.0, swing: 0.4, wait_ms: 380, run_ms: 260, slots: 40 },
    Line {
        queue: "webhooks",
        kind: "call_webhook",
        jobs: 14.0,
        swing: 0.9,
        wait_ms: 60,
        run_ms: 730,
        slots: 60,
    },
    Line { queue: "orders", kind: "charge", jobs: 3.0, swing: 0.3, wait_ms: 25, run_ms: 1_150, slots: 20 },
    Line {
        queue: "imports",
        kind: "import_contacts",
        jobs: 0.06,
        swing: 0.0,
        wait_ms: 900,
        run_ms: 2_900,
        slots: 4,
    },
];

/// How jobs fail: in which line, one of how many, for good or not, and what they say.
const FAILURES: [(&str, u64, bool, &str, &str); 6] = [
    ("email", 173, false, "Timeout", "connection to smtp-2.example.com timed out after 3000 ms"),
    ("email", 1_501, true, "SmtpError", "550 5.1.1 mailbox unavailable"),
    ("email", 3_407, true, "TemplateError", "template \"spring-sale\" lacks the variable first_name"),
    ("webhooks", 41, false, "HttpStatus", "https://hooks.example.com answered 503 Service Unavailable"),
    ("webhooks", 977, true, "HttpStatus", "https://hooks.example.com answered 410 Gone"),
    ("orders", 397, true, "CardError", "card was declined: insufficient_funds"),
];

/// How the job that is looked at has failed: how long ago, and with what.
const TROUBLES: [(u64, &str, &str); 3] = [
    (1_340_000, "Timeout", "connection to smtp-2.example.com timed out after 3000 ms"),
    (1_100_000, "SmtpError", "421 4.7.0 try again later"),
    (260_000, "Timeout", "connection to smtp-2.example.com timed out after 3000 ms"),
];
/// How long from now on it waits for its next attempt.
const MORE_MS: u64 = 170_000;

/// A server's past and present.
pub(crate) struct Traffic {
    pub(crate) client: Client,
    /// The job that is looked at: it fails again and again.
    pub(crate) troubled: JobId,
    number: u64,
}

impl Traffic {
    pub(crate) async fn of_an_hour() -> Self {
        let client = windlass::open("memory:").await.expect("a store");
        let troubled = client.new_id();
        let mut traffic = Self { client, troubled, number: 0 };
        let until = traffic.client.now().0;
        let mut at = until - HOUR_MS;
        while at + BEAT_MS < until {
            let troubles = TROUBLES
                .iter()
                .enumerate()
                .find(|(_, (before_ms, ..))| (at..at + BEAT_MS).contains(&(until - before_ms)));
            match troubles {
                Some((n, (_, class, message))) => traffic.trouble(n, class, message, at).await,
                None => traffic.beat(at, (at + HOUR_MS - until) as f64 / HOUR_MS as f64).await,
            }
            at += BEAT_MS;
        }
        // A rate that was spent in the past would not be open again now.
        traffic.settings().await;
        traffic.present().await;
        traffic
    }

    async fn settings(&self) {
        let limits = |concurrency, rate| LimitSettings { concurrency, rate };
        let rate = |count, period_ms| Some(Rate { count, period_ms, burst: count });
        let queue = |limits| QueueSettings { limits, ..QueueSettings::default() };
        let client = &self.client;
        client.set_queue("email", queue(limits(Some(200), None))).await.expect("a queue");
        client.set_queue("sms", queue(limits(None, rate(20, 1_000)))).await.expect("a queue");
        let heavy = GroupSettings { weight: 5, limits: limits(Some(80), None), ..GroupSettings::default() };
        client.set_group("email", "black-friday", Some(heavy)).await.expect("a group");
        client.set_limit("smtp", Some(limits(Some(150), None))).await.expect("a limit");
        client.set_limit("twilio", Some(limits(None, rate(100, 60_000)))).await.expect("a limit");
    }

    /// Five seconds of all lines: jobs come, are claimed, and end.
    async fn beat(&mut self, at: u64, hour: f64) {
        let mut acts = Vec::new();
        for (n, line) in LINES.iter().enumerate() {
            let wave = 1.0 + line.swing * (hour * 9.0 + n as f64).sin() * (hour * 31.0).cos();
            let jobs = (line.jobs * wave + self.share()).floor() as u64;
            for _ in 0..jobs {
                self.enqueue(line, at).await;
            }
            let claim_at = at + self.about(line.wait_ms);
            let end_at = claim_at + self.about(line.run_ms);
            acts.extend([(claim_at, n, true), (end_at, n, false)]);
        }
        acts.sort_unstable();
        let mut held: Vec<Vec<ClaimedJob>> = LINES.iter().map(|_| Vec::new()).collect();
        for (at, n, is_claim) in acts {
            if is_claim {
                held[n] = self.claim(LINES[n].queue, LINES[n].slots, Some(Time(at))).await;
            } else {
                let mut settled = Vec::new();
                for job in held[n].drain(..) {
                    settled.push(self.end(&LINES[n], &job));
                }
                let settle = Claim { settle_first: settled, worker: worker(n), nonce: 1, ..Claim::default() };
                self.client.store().claim(settle, Some(Time(at))).await.expect("a claim");
            }
        }
    }

    async fn enqueue(&mut self, line: &Line, at: u64) {
        self.number += 1;
        let number = self.number;
        let campaign = CAMPAIGNS[(number % 11 % 5) as usize];
        let payload = match line.queue {
            "email" | "sms" => {
                json!({ "campaign": campaign, "to": format!("user{number}@example.org"), "number": number })
            }
            "webhooks" => {
                json!({ "url": format!("https://hooks.example.com/{}", number % 90), "event": "order.paid" })
            }
            "orders" => json!({ "order": number, "amount": "49.90", "currency": "EUR" }),
            _ => json!({ "file": "contacts-eu.csv", "rows": 40_000 }),
        };
        let mut draft = Draft::raw(line.queue, line.kind, payload.to_string());
        if matches!(line.queue, "email" | "sms") {
            draft = draft.group(campaign).tag(format!("campaign:{campaign}"));
        }
        if line.queue == "email" {
            draft = draft.limit("smtp", 1);
        }
        let job = draft.into_new_job(Time(at)).expect("a job");
        let mut answers =
            self.client.store().enqueue(vec![job], false, Some(Time(at))).await.expect("an enqueue");
        answers.pop().expect("an answer").expect("an enqueue");
    }

    async fn claim(&self, queue: &str, slots: u32, at: Option<Time>) -> Vec<ClaimedJob> {
        let n = LINES.iter().position(|line| line.queue == queue).unwrap_or_default();
        let claim =
            Claim { wants: vec![(name(queue), slots)], worker: worker(n), nonce: 1, ..Claim::default() };
        self.client.store().claim(claim, at).await.expect("a claim").jobs
    }

    /// How an attempt ends.
    fn end(&mut self, line: &Line, job: &ClaimedJob) -> Settle {
        self.number += 1;
        let failure = FAILURES
            .iter()
            .find(|(queue, one_of, ..)| *queue == line.queue && self.number.is_multiple_of(*one_of));
        match failure {
            None => Settle::Complete { lease: job.lease, result: None, then: Vec::new() },
            Some((_, _, fatal, class, message)) => {
                let retry_in_ms = (!fatal).then_some(20_000);
                Settle::Fail {
                    lease: job.lease,
                    error: error(line.kind, class, message),
                    retry_in_ms,
                    fatal: *fatal,
                }
            }
        }
    }

    /// What goes on now.
    async fn present(&mut self) {
        let client = self.client.clone();
        for (n, line) in LINES.iter().enumerate() {
            let queues = vec![(name(line.queue), line.slots)];
            let host = format!("worker-{}.eu-central", n % 3 + 1);
            let hello = Hello { worker: worker(n), host, version: "2026.11.3".into(), queues };
            client.store().hello(hello, None).await.expect("a hello");
        }
        self.enqueue(&LINES[4], client.now().0).await;
        let jobs = self.claim("imports", 1, None).await;
        let reports = jobs.iter().map(|job| Report {
            lease: job.lease,
            progress: Some(Progress { percent: 62, message: Some("24,800 of 40,000 rows".into()) }),
            log: Some("rows 24,600 to 24,800 read, 3 without an address\n".into()),
            checkpoint: None,
        });
        client.store().report(reports.collect(), None).await.expect("reports");
        for (line, jobs, claimed) in [(0, 180, 96), (1, 34, 8), (2, 20, 13), (3, 5, 5)] {
            for _ in 0..jobs {
                self.enqueue(&LINES[line], client.now().0).await;
            }
            self.claim(LINES[line].queue, claimed, None).await;
        }
        let sms = self.claim("sms", 1, None).await;
        if let Some(job) = sms.first() {
            let (lease, reason) = (job.lease, "the provider asks for less".to_owned());
            let settle = Settle::Snooze { lease, delay_ms: 45_000, reason, holds: Some(Hold::Group) };
            let settle =
                Claim { settle_first: vec![settle], worker: worker(1), nonce: 1, ..Claim::default() };
            client.store().claim(settle, None).await.expect("a claim");
        }
        let later = (0..40u64).map(|n| {
            Draft::raw("email", "send_email", json!({ "campaign": "welcome", "number": n }).to_string())
                .group("welcome")
                .delay(std::time::Duration::from_secs(600 + n * 60))
        });
        client.enqueue_many(later).await.expect("jobs of later");
        client
            .enqueue_many((0..5).map(|_| Draft::raw("voicemail", "call", *b"{}")))
            .await
            .expect("jobs that wait");
        client.pause("voicemail").await.expect("a pause");
        let report = || Draft::raw("reports", "report", json!({ "day": "today" }).to_string());
        let schedule =
            client.schedule("morning-report").cron("0 9 * * MON-FRI", "Europe/Berlin").job(report());
        schedule.await.expect("a schedule");
    }

    /// A beat in which nothing happens but that the job that is looked at fails.
    async fn trouble(&mut self, n: usize, class: &str, message: &str, at: u64) {
        let store = self.client.store().clone();
        if n == 0 {
            let payload =
                json!({ "campaign": "spring sale 2026", "to": "ada@example.org", "number": 40_711 });
            let draft = Draft::raw("email", "send_email", payload.to_string()).group("spring sale 2026");
            let draft = draft.tag("campaign:spring sale 2026").limit("smtp", 1).priority(5).id(self.troubled);
            let job = draft.into_new_job(Time(at)).expect("a job");
            let answers = store.enqueue(vec![job], false, Some(Time(at))).await.expect("an enqueue");
            answers.into_iter().for_each(|answer| assert!(answer.is_ok(), "{answer:?}"));
        } else {
            // What is due in the past is due now: the job is due later, until it is asked for.
            store.run_now(vec![self.troubled], Some(Time(at))).await.expect("a run");
        }
        // What comes later stands before it no more: all jobs of earlier beats are done, and it has the priority.
        let claim_at = at + 120;
        let job = self.claim("email", 1, Some(Time(claim_at))).await.pop();
        let job = job.unwrap_or_else(|| panic!("attempt {n} has nothing to take"));
        assert_eq!(job.lease.job, self.troubled, "its time has come");
        let log = format!(
            "connecting to smtp-2.example.com:587\nattempt {} for ada@example.org\n{message}\n",
            n + 1
        );
        let report = Report { lease: job.lease, progress: None, log: Some(log), checkpoint: None };
        store.report(vec![report], Some(Time(claim_at))).await.expect("a report");
        let retry_in_ms = Some(TROUBLES[n].0 + MORE_MS);
        let settle = Settle::Fail {
            lease: job.lease,
            error: error("send_email", class, message),
            retry_in_ms,
            fatal: false,
        };
        let settle = Claim { settle_first: vec![settle], worker: worker(0), nonce: 1, ..Claim::default() };
        store.claim(settle, Some(Time(claim_at + 3_041))).await.expect("a claim");
    }

    /// Mostly less than that, at times several times as much.
    fn about(&mut self, ms: u64) -> u64 {
        (ms as f64 * (0.3 + 3.0 * self.share().powi(6))) as u64 + 1
    }

    /// A number from 0 to 1 that looks as if by chance, the same in each run.
    fn share(&mut self) -> f64 {
        self.number += 1;
        let mixed = self.number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 40) as f64 / (1u64 << 24) as f64
    }
}

fn name(queue: &str) -> QueueName {
    QueueName::new(queue).expect("a name")
}

fn worker(n: usize) -> WorkerId {
    WorkerId(0x3c1f_52a9_0d17_4e60 + n as u64 * 0x0101_7f03)
}

fn error(kind: &str, class: &str, message: &str) -> ErrorReport {
    ErrorReport {
        class: Some(class.to_owned()),
        message: message.to_owned(),
        detail: Some(format!(
            "{class}: {message}\n  at mailer::connection::read_line (connection.rs:214)\n  at mailer::Client::send (client.rs:88)"
        )),
        fingerprint: windlass_core::fingerprint::fingerprint(kind, Some(class), message),
    }
}

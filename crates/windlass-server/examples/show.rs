//! The dashboard with something to show: a queue in memory, jobs of many kinds, and a worker that works on them, fails,
//! postpones, reports and logs. Everything goes through the verbs that every program has.
//!
//! ```sh
//! cargo run -p windlass-server --example show            # http://127.0.0.1:7979
//! cargo run -p windlass-server --example show 8080 TOKEN # with a login
//! ```
#![allow(clippy::print_stdout, reason = "an example talks to whoever started it")]

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use windlass::core::limit::LimitSettings;
use windlass::core::queue::{GroupSettings, QueueSettings};
use windlass::core::rate::Rate;
use windlass::core::retry::RetryPolicy;
use windlass::core::schedule::Overlap;
use windlass::core::store::Hold;
use windlass::{Client, Ctx, Job, JobError, Outcome};
use windlass_server::{Access, Drain, Listen, Options, Secret, router, serve};

#[derive(Serialize, Deserialize, windlass::Job)]
#[job(
    queue = "email",
    group = "campaign",
    max_failures = 4,
    retry(exponential(base = "2s", cap = "1min")),
    tags("campaign:{campaign}"),
    limits("smtp"),
    timeout = "30s"
)]
struct SendEmail {
    campaign: String,
    to: String,
    number: u64,
}

async fn send_email(job: SendEmail, cx: Ctx) -> Result<Outcome, JobError> {
    cx.log(format!("connecting to smtp-{}.example.com:587", job.number % 3));
    tokio::time::sleep(Duration::from_millis(20 + job.number * 37 % 180)).await;
    match job.number % 41 {
        7 => {
            let error =
                JobError::msg(format!("550 5.1.1 <{}>: mailbox unavailable", job.to)).class("SmtpError");
            Err(error.fatal())
        }
        13 | 27 => {
            Err(JobError::msg(format!("connection to smtp-{} timed out after 3000 ms", job.number % 3))
                .class("Timeout"))
        }
        31 => Err(JobError::msg("template \"spring-sale\" lacks the variable first_name")
            .class("TemplateError")
            .fatal()),
        _ => {
            cx.log(format!("250 2.0.0 queued as {:x}", job.number * 7919));
            Outcome::done_with(
                &serde_json::json!({ "message_id": format!("<{}@example.com>", job.number), "size": 12_345_678_901_234_567_890_u64 }),
            )
        }
    }
}

#[derive(Serialize, Deserialize, windlass::Job)]
#[job(queue = "sms", group = "campaign")]
struct SendSms {
    campaign: String,
    to: String,
    text: String,
}

async fn send_sms(job: SendSms, cx: Ctx) -> Outcome {
    tokio::time::sleep(Duration::from_millis(80)).await;
    if cx.attempt() == 1 && job.to.ends_with("77") {
        return Outcome::rate_limited(Duration::from_secs(20), Hold::Group);
    }
    Outcome::snooze(Duration::from_secs(600), "the recipient sleeps until 08:00")
}

#[derive(Serialize, Deserialize, windlass::Job)]
#[job(queue = "imports", retry(fixed = "10s"), max_failures = 3)]
struct Import {
    file: String,
    rows: u64,
}

async fn import(job: Import, cx: Ctx) -> Result<(), JobError> {
    let from: u64 = cx.resume()?.unwrap_or(0);
    for row in (from..job.rows).step_by(250) {
        cx.progress((row * 100 / job.rows) as u8, format!("{row} of {} rows of {}", job.rows, job.file));
        cx.log(format!("rows {row} to {} read, {} without an address", row + 250, row % 7));
        cx.checkpoint(&row).await?;
        if cx.attempt() == 1 && row >= 1_000 {
            return Err(JobError::msg(format!("row {row}: \"ü,;\" is not an email address"))
                .context(format!("reading {}", job.file)));
        }
        tokio::time::sleep(Duration::from_millis(900)).await;
    }
    Ok(())
}

#[derive(Serialize, Deserialize, windlass::Job)]
#[job(queue = "orders")]
struct Step {
    order: u64,
    what: String,
}

async fn step(job: Step) -> Result<(), JobError> {
    tokio::time::sleep(Duration::from_millis(400)).await;
    match (job.what.as_str(), job.order % 2) {
        ("charge", 1) => {
            Err(JobError::msg(format!("card of order {} was declined: insufficient_funds", job.order))
                .fatal())
        }
        _ => Ok(()),
    }
}

#[derive(Serialize, Deserialize, windlass::Job)]
#[job(queue = "webhooks")]
struct Webhook {
    url: String,
}

#[derive(Serialize, Deserialize, windlass::Job)]
#[job(queue = "reports")]
struct Report {
    day: String,
}

async fn report(_: Report) {
    tokio::time::sleep(Duration::from_secs(2)).await;
}

/// Settings of queues, groups and limits.
async fn set_up(queue: &Client) -> Result<(), Box<dyn std::error::Error>> {
    let rate = |count, period_ms| Some(Rate { count, period_ms, burst: count });
    let limits = |concurrency, rate| LimitSettings { concurrency, rate };
    let email = QueueSettings {
        limits: limits(Some(16), None),
        max_waiting: Some(100_000),
        ..QueueSettings::default()
    };
    queue.set_queue("email", email).await?;
    let sms = QueueSettings { limits: limits(Some(4), rate(20, 1_000)), ..QueueSettings::default() };
    queue.set_queue("sms", sms).await?;
    let never = QueueSettings { retry: RetryPolicy::never(), ..QueueSettings::default() };
    queue.set_queue("voicemail", never).await?;
    let heavy = GroupSettings { weight: 5, limits: limits(Some(8), None), ..GroupSettings::default() };
    queue.set_group("email", "black-friday", Some(heavy)).await?;
    queue.set_limit("smtp", Some(limits(Some(12), None))).await?;
    queue.set_limit("twilio", Some(limits(None, rate(100, 60_000)))).await?;
    queue.set_limit("legacy-crm", Some(limits(Some(0), None))).await?;
    queue
        .schedule("morning-report")
        .cron("0 9 * * MON-FRI", "Europe/Berlin")
        .job(Report { day: "today".into() })
        .overlap(Overlap::Skip)
        .await?;
    queue
        .schedule("heartbeat-report")
        .every(Duration::from_secs(30))
        .job(Report { day: "now".into() })
        .await?;
    queue
        .schedule("month-end")
        .cron("30 23 L * *", "America/New_York")
        .job(Report { day: "month".into() })
        .paused(true)
        .await?;
    Ok(())
}

/// Jobs of every kind and state.
async fn fill(queue: &Client) -> Result<(), Box<dyn std::error::Error>> {
    let campaigns = ["black-friday", "spring sale 2026", "newsletter-112", "Öffnungszeiten & Termine"];
    let mail = |number: u64| {
        let campaign = campaigns[(number % 7 % 4) as usize].to_owned();
        SendEmail { campaign, to: format!("user{number}@example.org"), number }
    };
    for result in queue.enqueue_many((0..3_000).map(mail)).await? {
        result?;
    }
    queue
        .enqueue_many((0..40).map(|n| mail(9_000 + n).draft().delay(Duration::from_secs(3_600 + n * 60))))
        .await?;
    let sms = |n: u64| SendSms {
        campaign: campaigns[(n % 4) as usize].into(),
        to: format!("+49 151 000{n:03}"),
        text: "Your table is ready".into(),
    };
    queue.enqueue_many((0..120).map(sms)).await?;
    for (file, rows) in [("contacts-eu.csv", 40_000), ("contacts-us.csv", 90_000), ("suppressed.csv", 3_000)]
    {
        queue.enqueue(Import { file: file.into(), rows }).await?;
    }
    for order in 40..46 {
        let reserve = queue.enqueue(Step { order, what: "reserve".into() }).await?.id;
        let charge = queue.enqueue(Step { order, what: "charge".into() }).after(&[reserve]).await?.id;
        queue.enqueue(Step { order, what: "ship".into() }).after(&[charge]).await?;
        queue
            .enqueue(Step { order, what: "notify".into() })
            .after_end_of(&[charge])
            .tag(format!("order:{order}"))
            .await?;
    }
    queue
        .enqueue(Step { order: 99, what: "restock".into() })
        .delay(Duration::from_secs(86_400))
        .unique("99")
        .await?;
    queue.enqueue_many((0..17).map(|n| Webhook { url: format!("https://hooks.example.com/{n}") })).await?;
    queue
        .enqueue_many((0..5).map(|n| {
            SendSms { campaign: "crm".into(), to: format!("{n}"), text: "x".into() }
                .draft()
                .queue("voicemail")
                .limit("legacy-crm", 1)
        }))
        .await?;
    queue.pause("voicemail").await?;
    Ok(())
}

/// New work all the time, so that charts move.
async fn trickle(queue: Client) {
    let mut number = 20_000;
    loop {
        tokio::time::sleep(Duration::from_millis(60 + number * 97 % 300)).await;
        number += 1;
        let mail =
            SendEmail { campaign: "newsletter-112".into(), to: format!("user{number}@example.org"), number };
        if queue.enqueue(mail).await.is_err() {
            return;
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().map_or(Ok(7979), |port| port.parse())?;
    let access = arguments.next().map_or(Access::Anyone, |token| Access::Bearer(Secret::new(&token)));
    let queue = windlass::open("memory:").await?;
    set_up(&queue).await?;
    fill(&queue).await?;
    let worker = queue.worker(()).queue("email", 16).queue("sms", 4).queue("imports", 2).queue("orders", 4);
    let worker = worker
        .queue("reports", 1)
        .handle(send_email)
        .handle(send_sms)
        .handle(import)
        .handle(step)
        .handle(report);
    let worker = worker.start().await?;
    tokio::spawn(trickle(queue.clone()));
    let drain = Drain::default();
    let app = router(&queue, Options { access, drain: drain.clone(), ..Options::default() });
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("http://{}", listener.local_addr()?);
    let ending = drain.clone();
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        ending.begin();
    });
    serve(vec![(Listen::Tcp(listener), app)], drain).await?;
    worker.shutdown().await;
    Ok(queue.close().await?)
}

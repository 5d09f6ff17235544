//! `/metrics`, and the files for Prometheus and Grafana that rest on its names.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::talk::Talk;

/// The files of `operations/`.
fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../operations").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every name of ours in a text.
fn names(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
    let at = text.match_indices("windlass_").map(|(at, _)| &text[at..]);
    at.map(|rest| rest.chars().take_while(|c| is_part(*c)).collect()).collect()
}

/// A server that has something of everything that is told.
async fn metrics() -> (Talk, String) {
    let talk = Talk::begin().await;
    for _ in 0..3 {
        talk.post("/v1/queues/mail/jobs", "{}").await;
    }
    talk.send(talk.ask("PUT", "/v1/queues/mail/settings").body(r#"{"max_waiting":10}"#)).await;
    talk.post(
        "/v1/workers",
        r#"{"worker":"w-0000000000000007","host":"h","version":"1","queues":[{"queue":"mail","slots":2}]}"#,
    )
    .await;
    let claimed = talk.post("/v1/claim", r#"{"queues":[{"queue":"mail","max":2}],"max":2}"#).await;
    let job = |n: usize| {
        let part = |name: &str| claimed.text_at(&format!("/jobs/{n}/{name}"));
        (part("id"), json!({"lease": part("lease"), "error": "boom", "fatal": true}).to_string())
    };
    let (id, body) = job(0);
    talk.post(&format!("/v1/jobs/{id}/fail"), body).await;
    let (id, _) = job(1);
    let lease = json!({"lease": claimed.at("/jobs/1/lease")}).to_string();
    talk.post(&format!("/v1/jobs/{id}/complete"), lease).await;
    let told = talk.get("/metrics").await;
    assert_eq!(told.status, 200);
    (talk, told.text)
}

#[tokio::test]
async fn every_metric_that_the_dashboard_and_the_alerts_name_is_told() {
    let (_talk, told) = metrics().await;
    // A line of a series: its name, then labels or a value.
    let lines = told.lines().filter(|line| !line.starts_with('#'));
    let told: BTreeSet<String> =
        lines.flat_map(|line| names(line.split(['{', ' ']).next().unwrap_or(""))).collect();
    for name in ["prometheus/alerts.yml", "grafana/windlass.json"] {
        let missing: Vec<String> = names(&file(name)).difference(&told).cloned().collect();
        assert_eq!(missing, [""; 0], "{name} names what /metrics does not tell: {told:?}");
    }
}

#[tokio::test]
async fn requests_are_counted_by_route_and_status() {
    let (talk, told) = metrics().await;
    for line in [
        r#"windlass_http_requests_total{method="post",route="/v1/queues/{queue}/jobs",status="201"} 3"#,
        r#"windlass_queue_waiting_limit{queue="mail"} 10"#,
        r#"windlass_jobs_died_total{queue="mail"} 1"#,
        r#"windlass_workers{queue="mail"} 1"#,
        r#"windlass_monitor_channel_failures{channel="log"} 0"#,
    ] {
        assert!(told.lines().any(|other| other == line), "{line} in {told}");
    }
    talk.get("/v1/queues/nobody").await;
    let told = talk.get("/metrics").await.text;
    let line = r#"windlass_http_requests_total{method="get",route="/v1/queues/{queue}",status="404"} 1"#;
    assert!(told.contains(line) && !told.contains("nobody"), "{told}");
}

/// `promtool` is not on every machine; what it looks at first is looked at here. It has accepted the file.
#[test]
fn each_alert_says_when_how_bad_and_what() {
    let text = file("prometheus/alerts.yml");
    let alerts: Vec<&str> = text.split("- alert: ").skip(1).collect();
    assert!(alerts.len() >= 10);
    for alert in alerts {
        for part in ["expr: ", "severity: ", "summary: "] {
            assert_eq!(alert.matches(part).count(), 1, "{part} in {alert}");
        }
    }
}

#[test]
fn each_panel_of_the_dashboard_asks_something_and_lies_over_no_other() {
    let dashboard: Value = serde_json::from_str(&file("grafana/windlass.json")).expect("json");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut ids = BTreeSet::new();
    let mut cells = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64()), "{panel}");
        let at = |name: &str| panel["gridPos"][name].as_u64().expect("a place");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(x < 24 && cells.insert((x, y)), "{panel}");
            }
        }
        if panel["type"] != "row" {
            let targets = panel["targets"].as_array().expect("targets");
            assert!(
                targets
                    .iter()
                    .all(|target| target["expr"].as_str().is_some_and(|expr| expr.contains("windlass_")))
            );
        }
    }
}

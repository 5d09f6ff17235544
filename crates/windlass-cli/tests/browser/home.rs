//! A built `windlass serve --campaigns` on a free port, in a directory of its own, filled over its API.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use windlass_doubles::smtp::{self, Fault, Later};
use windlass_doubles::{Handle, Rule, Rules};

use crate::asker::asker;

/// How soon it is looked again whether messages have gone out.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Looks before a test gives up: half a minute.
const LOOKS: u32 = 600;

/// What whoever hands over mails shows.
const INBOUND_KEY: &str = "0123456789abcdef";

/// A running server, which ends with the test.
pub(crate) struct Home {
    url: String,
    server: Child,
    dir: TempDir,
}

impl Home {
    /// A server in which nothing is yet.
    pub(crate) fn up() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let database = format!("sqlite:{}", dir.path().join("campaigns.db").display());
        let store = format!("file:{}", dir.path().join("queue").display());
        let mut server = Command::new(env!("CARGO_BIN_EXE_windlass"))
            .args(["serve", "--listen", "127.0.0.1:0", "--json", "--quiet", "--store", &store])
            .args(["--campaigns", &database, "--public-url", "https://send.example.com"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let url = told["url"].as_str().unwrap_or_else(|| panic!("no address: {line}")).to_owned();
        Self { url, server, dir }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        self.url.trim_end_matches('/').to_owned()
    }

    /// Something of everything: a campaign of which some messages go out and others wait for an account that does not
    /// answer, one that tries two texts until an answer stops all colleagues, one through an account that says that it is
    /// too much, a draft that cannot be launched, and what holds for everybody.
    pub(crate) async fn fill(&self) {
        let answers = Fault::Later(Later::Reply("Sounds good, call me.".to_owned()));
        let url = format!("{}/open/campaigns/hooks/mail/1/inbound?key={INBOUND_KEY}", self.url());
        let options = smtp::Options {
            rules: Rules::new(1, [Rule::of("bob5@*", answers)]),
            inbound_url: Some(url),
            ..smtp::Options::default()
        };
        let mail = self.mail_server("mail.jsonl", options).await;
        let busy = Rule::of("*", Fault::Reply("454 the maximum sending rate is exceeded".to_owned()));
        let rules = Rules::new(1, [busy]);
        let busy = self.mail_server("busy.jsonl", smtp::Options { rules, ..smtp::Options::default() }).await;
        let provider = |name: &str, url: &str| json!({"name": name, "kind": "smtp", "url": url, "inbound_key": INBOUND_KEY, "per_second": 50});
        let sender = |address: &str, provider: u32| {
            json!({"channel": "email", "address": address, "name": "Ann", "provider": provider,
                   "time_zone": "America/New_York", "daily_cap": 500,
                   "warm_up": {"first_day": 20, "growth_percent": 25, "day": 1}})
        };
        let body = "Hi {{first_name|there}}\n{{postal_address}}\n{{unsubscribe_url}}";
        let policy = json!({"zone": "America/New_York", "hours_in": "campaign", "week": {"mon-sun": ["00:00-24:00"]},
                            "no_zone": "use_campaign_zone"});
        let campaign = |name: &str, sender: u32, template: u32| {
            json!({"name": name, "user": 1, "list": 1, "policy": policy, "postal_address": "1 Main St",
                   "senders": [sender], "steps": [{"channel": "email", "template": template}], "daily_cap": 100})
        };
        self.send("POST", "users", json!({"name": "Ann"})).await;
        self.send("POST", "providers", provider("mail", &mail.url())).await;
        self.send("POST", "providers", provider("broken", "smtp://127.0.0.1:1")).await;
        self.send("POST", "providers", provider("busy", &busy.url())).await;
        self.send("POST", "senders", sender("ann@example.com", 1)).await;
        self.send("POST", "senders", sender("carla@example.com", 2)).await;
        self.send("POST", "senders", sender("eve@example.com", 3)).await;
        let mut warm = sender("dora@example.com", 1);
        warm["warm_up"] = Value::Null;
        self.send("POST", "senders", warm).await;
        let text = |name: &str, body: &str| json!({"name": name, "channel": "email", "subject": "Hello", "body": body});
        self.send("POST", "templates", text("hello", body)).await;
        self.send("POST", "templates", text("unlawful", "{{colour}}")).await;
        self.send("POST", "templates", text("hello, with a question and a longer name", body)).await;
        for n in 0..12 {
            let consent = json!({"channel": "email", "basis": "express", "proof": "form 12", "source": "web",
                                 "given_at": 1_763_000_000_000_u64, "revoked_at": null});
            let person = json!({"email": format!("bob{n}@a-rather-long-name-of-a-company.example.org"), "name": "Bob Miller",
                                "time_zone": "America/New_York", "lists": ["customers"], "consents": [consent],
                                "account": (n == 0).then_some("A Rather Long Name, Inc.")});
            self.send("POST", "contacts", person).await;
        }
        self.send(
            "POST",
            "suppressions",
            json!({"address": "bob3@a-rather-long-name-of-a-company.example.org"}),
        )
        .await;
        self.send(
            "PUT",
            "domain-limits",
            json!({"domain": "gmail.com", "per_minute": 600, "concurrency": null}),
        )
        .await;
        self.send("POST", "campaigns", campaign("spring", 1, 1)).await;
        self.send("POST", "campaigns", campaign("a draft that cannot go out", 1, 2)).await;
        self.send("POST", "campaigns", campaign("waits", 2, 1)).await;
        let mut two_texts = campaign("tries two texts", 4, 1);
        two_texts["stop_rules"] = json!({"account_reply": true});
        two_texts["steps"] = json!([
            {"channel": "email", "template": 1, "variants": [{"template": 3, "weight": 30}]},
            {"channel": "email", "template": 3, "delay": {"unit": "days", "count": 3}, "condition": "not_replied"}]);
        self.send("POST", "campaigns", two_texts).await;
        self.send("POST", "campaigns", campaign("too much", 3, 1)).await;
        for id in [1, 3, 4, 5] {
            self.send("POST", &format!("campaigns/{id}/launch"), json!({})).await;
        }
        let some = |found: &Value| found.as_array().is_some_and(|all| !all.is_empty());
        self.until("touches?status=sent", some).await;
        self.until("touches?status=deferred", some).await;
        let stopped = |found: &Value| found["stops"].as_array().is_some_and(|all| all.len() == 2);
        self.until("campaigns/4/figures", stopped).await;
        let is_slowed = |found: &Value| {
            found.as_array().is_some_and(|all| all.iter().any(|one| !one["slowed"].is_null()))
        };
        self.until("providers", is_slowed).await;
    }

    async fn mail_server(&self, log: &str, options: smtp::Options) -> Handle {
        smtp::start("127.0.0.1:0".parse().unwrap(), &self.dir.path().join(log), options).await.unwrap()
    }

    async fn until(&self, path: &str, is_so: impl Fn(&Value) -> bool) {
        let mut found = Value::Null;
        for _ in 0..LOOKS {
            found = self.send("GET", path, Value::Null).await;
            if is_so(&found) {
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        panic!("{path} stays {found}");
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> Value {
        let url = format!("{}/campaigns/v1/{path}", self.url());
        let request = asker().build().unwrap().request(method.parse().unwrap(), url);
        let request = if body.is_null() { request } else { request.json(&body) };
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{method} {path}: {status}: {text}");
        serde_json::from_str(&text).unwrap()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

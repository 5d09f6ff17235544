//! The API's routes of imports, preflights, figures and exports, as a program calls them.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use serde_json::{Value, json};
use windlass::Time;
use windlass_campaigns::{
    channel::pace::{Pace, Policy, TooMuch},
    db::DbError,
    flow::{jobs, verbs},
    intake,
    model::{ImportId, ProviderId, TouchId},
    pages::PATH,
    store::{providers, touches},
};

use super::{
    new_site,
    site::{ALL, Answer, Site},
    under_way,
};

const LIST: &str = "name;e-mail;plan\nAnn;ann@example.com;gold\nBob;bob@;\n";

impl Site {
    async fn call_as(&self, may: &str, path: &str, kind: &str, body: impl Into<Body>) -> Answer {
        let request = Request::post(format!("{PATH}/v1{path}")).header(header::CONTENT_TYPE, kind);
        self.ask(may, request.body(body.into()).unwrap()).await
    }

    async fn send(&self, path: &str, file: impl Into<Body>) -> Answer {
        self.call_as(ALL, path, "text/csv", file).await
    }

    pub(crate) async fn tell(&self, path: &str, body: Value) -> Answer {
        self.call_as(ALL, path, "application/json", body.to_string()).await
    }

    pub(crate) async fn asked(&self, path: &str) -> Value {
        let answer = self.get(&format!("/v1{path}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        answer.json()
    }

    async fn put(&self, path: &str, body: Value) -> Answer {
        let request =
            Request::put(format!("{PATH}/v1{path}")).header(header::CONTENT_TYPE, "application/json");
        self.ask(ALL, request.body(body.to_string().into()).unwrap()).await
    }

    pub(crate) async fn deleted(&self, path: &str) -> Answer {
        let request = Request::delete(format!("{PATH}/v1{path}")).body(Body::empty()).unwrap();
        self.ask(ALL, request).await
    }

    async fn delete(&self, path: &str) {
        let answer = self.deleted(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
    }

    async fn import_over(&self, id: i64) {
        while !intake::look(&self.app, ImportId(id)).await.unwrap().status.is_over() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{}", self.text))
    }

    /// It is a problem of that code.
    pub(crate) fn problem(&self, status: StatusCode, code: &str) -> String {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["code"], code);
        problem["detail"].as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_sent_with_its_list_and_imported_by_one_call() {
    let (_dir, site) = new_site().await;
    let begun = site.send("/imports?name=people.csv&list=Spring&country=&known=keep", LIST).await.json();
    assert_eq!(
        (&begun["id"], &begun["status"], &begun["name"]),
        (&json!(1), &json!("running"), &json!("people.csv"))
    );
    assert_eq!(begun["plan"]["mapping"], json!(["name", "email", "field:plan"]));
    assert_eq!((&begun["plan"]["home"], &begun["plan"]["known"]), (&Value::Null, &json!("keep")));
    site.import_over(1).await;
    let done = site.asked("/imports/1").await;
    assert_eq!(
        (&done["status"], &done["progress"]["added"], &done["progress"]["refused"]),
        (&json!("done"), &json!(1), &json!(1))
    );
    assert_eq!(done["progress"]["by_code"], json!({"bad_email": 1}));
    assert_eq!(site.asked("/imports").await.as_array().unwrap().len(), 1);
    let errors = site.get("/v1/imports/1/errors").await;
    assert_eq!(errors.headers["content-type"], "text/csv; charset=utf-8");
    assert!(errors.text.contains("Bob;bob@;"), "{}", errors.text);
    assert_eq!(site.asked("/lists").await[0]["name"], "Spring");

    // As a form sends it, with columns of one's own.
    let form = format!(
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.csv\"\r\n\r\n{LIST}\r\n--b--\r\n"
    );
    let path = "/imports?list=Spring&columns=ignore,email,tags";
    let begun = site.call_as(ALL, path, "multipart/form-data; boundary=b", form).await.json();
    assert_eq!(
        (&begun["name"], &begun["plan"]["mapping"]),
        (&json!("x.csv"), &json!(["ignore", "email", "tags"]))
    );
    site.import_over(2).await;
    assert_eq!(site.asked("/imports/2").await["progress"]["updated"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_may_be_looked_at_first_and_started_or_left() {
    let (_dir, site) = new_site().await;
    let brought = site.send("/imports", LIST).await.json();
    assert_eq!((&brought["status"], &brought["name"]), (&json!("waiting"), &json!("contacts.csv")));
    let preview = &brought["preview"];
    assert_eq!(preview["columns"], json!(["name", "email", "field:plan"]));
    assert_eq!(preview["rows"][0], json!(["Ann", "ann@example.com", "gold"]));
    let hidden = site.get_as("read", "/v1/imports/1").await.json();
    assert_eq!(
        (&hidden["preview"]["rows"], &hidden["preview"]["headings"][1]),
        (&json!([]), &json!("e-mail"))
    );

    let started = |body: Value| async { site.tell("/imports/1/start", body).await };
    let detail = started(json!({"list": "x", "columns": ["name", "ignore", "ignore"]})).await;
    assert!(detail.problem(StatusCode::BAD_REQUEST, "bad_request").contains("no column is the e-mail"));
    started(json!({"list": "x", "colums": []})).await.problem(StatusCode::BAD_REQUEST, "bad_request");
    let basis = started(json!({"list": "x", "basis": "because"})).await;
    assert!(basis.problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid").contains("express_written"));
    let mapping = json!({"list": "x", "columns": ["email"]});
    started(mapping).await.problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid");
    assert_eq!(started(json!({"list": "x", "country": "GB"})).await.json()["plan"]["home"], "GB");
    started(json!({"list": "x"})).await.problem(StatusCode::CONFLICT, "conflict");

    site.send("/imports?name=other.csv", LIST).await;
    let left = site.send("/imports/2/cancel", "").await.json();
    assert_eq!(left["status"], "cancelled");
    site.send("/imports/2/cancel", "").await.problem(StatusCode::CONFLICT, "conflict");
    site.send("/imports/9/cancel", "").await.problem(StatusCode::NOT_FOUND, "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_imported_is_a_problem_and_what_was_to_be_imported_at_once_does_not_wait() {
    let (_dir, site) = new_site().await;
    for (file, said) in [("", "empty"), ("%PDF-1", "a PDF"), ("\"email\nann@example.com\n", "line 1")] {
        let refused = site.send("/imports?list=x", file).await;
        assert!(refused.problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid").contains(said));
    }
    for (path, said) in [
        ("/imports?list=x&columns=email,pigeon", "pigeon"),
        ("/imports?list=x&columns=name", "no column is the e-mail"),
        ("/imports?list=x&country=Atlantis", "Atlantis"),
    ] {
        assert!(
            site.send(path, LIST).await.problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid").contains(said)
        );
    }
    assert_eq!(site.asked("/imports").await, json!([]));
    let unguessed = site.send("/imports?list=x", "one,two\n3,4\n").await;
    assert!(unguessed.problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid").contains("columns"));
    let listed = &site.asked("/imports").await[0];
    assert_eq!(listed["status"], "failed");
    assert!(listed["why"].as_str().unwrap().contains("columns"), "{listed}");
    assert!(site.page("/imports").await.contains("columns"), "the page says it as well");
    let form = site.call_as(ALL, "/imports", "multipart/form-data; boundary=b", "--b--\r\n").await;
    assert!(form.problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid").contains("file"));
}

#[tokio::test]
async fn what_is_asked_wrongly_is_a_problem_that_says_what_to_write() {
    let (_dir, site) = new_site().await;
    for (path, said) in [
        ("/campaigns/spring", "\"spring\" where a number belongs"),
        ("/touches/1.5", "\"1.5\" where a number belongs"),
        ("/touches?status=lost", "the query: status: unknown word `lost`, expected one of `queued`"),
        ("/touches?limit=many", "limit: a whole number belongs here"),
        ("/touches?limit=0", "limit: 0 is not between 1 and 500"),
        ("/audit?limit=501", "limit: 501 is not between 1 and 500"),
        ("/contacts?limit=100000", "limit: 100000 is not between 1 and 500"),
        ("/campaigns?colour=red", "unknown field `colour`"),
    ] {
        let detail = site.get(&format!("/v1{path}")).await.problem(StatusCode::BAD_REQUEST, "bad_request");
        assert!(detail.contains(said), "{path}: {detail}");
    }
    for (body, said) in [
        (
            json!({"name": 7, "channel": "sms", "body": "Hi"}),
            "the body: name: it is the number `7`, expected text",
        ),
        (json!({"name": "x", "channel": "fax", "body": "Hi"}), "unknown word `fax`"),
        (json!({"name": "x", "channel": "sms"}), "the body: missing field `body`"),
        (json!(["x", "sms", "", "Hi"]), "a JSON object is wanted"),
    ] {
        let detail = site.tell("/templates", body).await.problem(StatusCode::BAD_REQUEST, "bad_request");
        assert!(detail.contains(said), "{detail}");
        assert!(!detail.contains("deserialize"), "{detail}");
    }
}

#[tokio::test]
async fn a_template_that_is_written_comes_back_with_what_a_launch_would_say_of_it() {
    let (_dir, site) = new_site().await;
    let write = |body: &str| json!({"name": "spring", "channel": "email", "subject": "Hi", "body": body});
    let findings = site.tell("/templates", write("Hello {{frist_name}}")).await.json()["findings"].clone();
    let findings = findings.as_array().unwrap();
    let has = |code: &str| findings.iter().any(|one| one["code"] == code);
    assert!(has("unknown_variable") && has("no_unsubscribe"), "{findings:?}");
    let good = "Hello {{first_name|there}}, {{unsubscribe_url}} {{postal_address}}";
    assert_eq!(site.tell("/templates", write(good)).await.json()["findings"], json!([]));
}

#[tokio::test]
async fn the_secret_of_an_account_stays_when_a_change_leaves_it_out_and_never_comes_back() {
    let (_dir, site) = new_site().await;
    let account = |more: Value| {
        let mut all =
            json!({"name": "post", "kind": "smtp", "url": "smtp://mail.example.com", "account": "ann"});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let secret = || async {
        let all = site.app.db().read(windlass_campaigns::store::providers::all).await.unwrap();
        all.into_iter().find(|one| one.name == "post").unwrap().secret
    };
    let answer = site.tell("/providers", account(json!({"secret": "xyzzy"}))).await;
    assert!(answer.status == StatusCode::OK && !answer.text.contains("xyzzy"), "{}", answer.text);
    let slower = site.tell("/providers", account(json!({"per_second": 3}))).await.json();
    assert_eq!((&slower["per_second"], secret().await.as_str()), (&json!(3), "xyzzy"));
    site.tell("/providers", account(json!({"secret": ""}))).await;
    assert_eq!(secret().await, "");
}

#[tokio::test]
async fn an_erased_address_is_not_taken_in_again_until_its_suppression_is_taken_back() {
    let (_dir, site) = new_site().await;
    let ann = json!({"email": "Ann@example.com", "phone": "+12125550100", "name": "Ann"});
    let id = site.tell("/contacts", ann.clone()).await.json()["id"].as_i64().unwrap();
    site.delete(&format!("/contacts/{id}")).await;
    let refused = site.tell("/contacts", ann.clone()).await.problem(StatusCode::CONFLICT, "conflict");
    assert!(refused.contains("was erased"), "{refused}");
    let only_her_number = json!({"phone": "+1 212 555 0100"});
    site.tell("/contacts", only_her_number).await.problem(StatusCode::CONFLICT, "conflict");
    let colleague = json!({"email": "bob@example.com", "phone": "+12125550100"});
    let bob = site.tell("/contacts", colleague).await.json();
    assert_eq!((&bob["email"], &bob["phone"]), (&json!("bob@example.com"), &Value::Null));
    assert_eq!(bob["left_out"], json!([{"field": "phone", "why": "number_erased"}]), "he is told so: {bob}");
    let carl = |phone: &str| json!({"email": "carl@example.com", "phone": phone});
    assert_eq!(site.tell("/contacts", carl("+12125550101")).await.json()["left_out"], json!([]));
    let dora = json!({"email": "dora@example.com", "phone": "+12125550102"});
    assert_eq!(site.tell("/contacts", dora).await.json()["left_out"], json!([]));
    let carl = site.tell("/contacts", carl("+12125550102")).await.json();
    assert_eq!(
        (&carl["phone"], &carl["left_out"]),
        (&json!("+12125550101"), &json!([{"field": "phone", "why": "number_kept"}])),
        "a number stays with whoever has it: {carl}"
    );

    for one in site.asked("/suppressions").await.as_array().unwrap() {
        assert_eq!(one["address"], Value::Null);
        site.delete(&format!("/suppressions/{}", one["id"])).await;
    }
    assert_eq!(site.tell("/contacts", ann).await.json()["phone"], "+12125550100");
}

#[tokio::test]
async fn what_a_pause_holds_back_says_so_and_a_draft_says_whom_it_would_reach() {
    let (_dir, site) = new_site().await;
    let (filled, _) = under_way(&site, "xyzzy").await;
    let list = format!("/touches?campaign={}", filled.campaign);
    let reasons = |answer: Value| -> Vec<Value> {
        let waits = |one: &&Value| one["status"] == "queued" || one["status"] == "deferred";
        answer.as_array().unwrap().iter().filter(waits).map(|one| one["reason"].clone()).collect()
    };
    assert!(!reasons(site.asked(&list).await).contains(&json!("campaign_paused")));
    site.tell(&format!("/campaigns/{}/pause", filled.campaign), json!({})).await;
    let held = reasons(site.asked(&list).await);
    assert!(!held.is_empty() && held.iter().all(|reason| reason == "campaign_paused"), "{held:?}");
    let one =
        site.asked(&list).await.as_array().unwrap().iter().find(|one| one["status"] == "deferred").cloned();
    let id = TouchId(one.unwrap()["id"].as_i64().unwrap());
    let touch = site.app.db().read(move |tx| touches::get(tx, id)).await.unwrap().unwrap();
    let job = jobs::send_id(&touch, touch.created_at).to_string();
    site.app.db().write(move |tx| touches::set_job(tx, id, &job)).await.unwrap();
    assert!(site.asked(&format!("/touches/{id}")).await.get("why").is_none(), "there is no such job yet");
    let draft = jobs::send(site.app.sharing(), &touch, touch.created_at);
    site.app.client().enqueue(draft).await.unwrap();
    let told = site.asked(&format!("/touches/{id}")).await;
    assert!(told["why"]["reason"].is_string() && told["why"]["detail"].is_string(), "{told}");

    let policy = json!({"zone": "America/New_York", "week": {"mon-fri": ["09:00-20:00"]}});
    let name = site.asked("/lists").await[0]["name"].clone();
    let known = site.asked(&format!("/contacts/{}", filled.contact)).await;
    assert!(known["lists"].as_array().unwrap().contains(&name), "{known}");
    assert!(known["suppressions"].is_array(), "{known}");
    let draft = json!({"name": "later", "user": 1, "list": 1, "policy": policy});
    let id = site.tell("/campaigns", draft).await.json()["id"].as_i64().unwrap();
    let on_list = site.asked("/lists").await[0]["contacts"].clone();
    assert_eq!(site.asked(&format!("/campaigns/{id}")).await["contacts"], on_list);
}

#[tokio::test]
async fn a_breaker_is_taken_in_hand_and_a_rule_for_errors_taken_back() {
    let (_dir, site) = new_site().await;
    site.fill("x").await;
    assert_eq!(site.asked("/providers/1/breaker").await["state"], "closed");
    let put = async |body: Value| site.put("/providers/1/breaker", body).await;
    let nameless = put(json!({"gate": "open"})).await;
    assert!(nameless.problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid").contains("say why"));
    let held = put(json!({"gate": "open", "why": "their status page"})).await.json();
    assert_eq!(held["state"], "forced open");
    assert!(held["says"].as_str().unwrap().contains("their status page"), "{held}");
    assert_eq!(put(json!({"gate": "release"})).await.json()["state"], "probing", "one message may ask");
    put(json!({"gate": "ajar"})).await.problem(StatusCode::BAD_REQUEST, "bad_request");

    let rule = json!({"provider": "twilio", "code": "30003", "action": "fail"});
    site.put("/error-rules", rule).await.json();
    let action = async || {
        let rules = site.asked("/error-rules").await;
        let rule = rules.as_array().unwrap().iter().find(|rule| rule["code"] == "30003").unwrap();
        rule["action"].clone()
    };
    assert_eq!(action().await, "fail");
    site.delete("/error-rules/twilio/30003").await;
    assert_eq!(action().await, "retry");
}

#[tokio::test]
async fn a_sender_of_one_user_serves_their_campaigns_alone_and_an_address_may_be_suppressed_for_one() {
    let (_dir, site) = new_site().await;
    let filled = site.fill("x").await;
    let ben = site.tell("/users", json!({"name": "Ben"})).await.json()["id"].clone();
    let mut sender = site.asked("/senders").await[0].clone();
    let own = sender["id"].clone();
    for gone in ["id", "cap_today", "warm_up", "paused", "pause_reason", "paused_until", "revision"] {
        sender.as_object_mut().unwrap().remove(gone);
    }
    sender["user"] = ben.clone();
    assert_eq!(site.tell("/senders", sender).await.json()["id"], own);
    let policy = json!({"zone": "America/New_York", "week": {"mon-fri": ["09:00-20:00"]}});
    let draft = |name: &str, user: &Value| json!({"name": name, "user": user, "list": 1, "policy": policy, "senders": [own]});
    let anns = site.asked(&format!("/campaigns/{}", filled.campaign)).await["user"].clone();
    let refused = site.tell("/campaigns", draft("hers", &anns)).await;
    assert!(refused.problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid").contains("another user's"));
    assert!(site.tell("/campaigns", draft("his", &ben)).await.json()["id"].is_number());

    let bob = |user: &Value| json!({"address": "bob@example.org", "channel": "email", "user": user});
    assert_eq!(site.tell("/suppressions", bob(&ben)).await.json()["done"], true);
    site.tell("/suppressions", bob(&json!(99))).await.problem(StatusCode::NOT_FOUND, "not_found");
    let stored = site.asked("/suppressions").await;
    assert_eq!((&stored[0]["user"], &stored[0]["address"]), (&ben, &json!("bob@example.org")));
    assert!(site.page("/suppressions").await.contains("<td>Ben</td>"));
    let form = [("address", "amy@example.org"), ("user", &*ben.to_string())];
    assert_eq!(site.post("/suppressions", &form).await.goes_to(), "/suppressions");
    assert_eq!(site.asked("/suppressions").await[0]["user"], ben);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preflight_figures_and_exports_are_told_to_whom_they_may_be() {
    let (_dir, site) = new_site().await;
    let (filled, _) = under_way(&site, "xyzzy").await;
    let (campaign, contact) = (filled.campaign, filled.contact);
    let preflight = site.asked(&format!("/campaigns/{campaign}/preflight")).await;
    assert_eq!(
        (&preflight["campaign"], &preflight["contacts"]),
        (&json!(campaign), &json!(1)),
        "{preflight}"
    );
    assert!(preflight["findings"].is_array() && preflight.get("forecast").is_some());
    let figures = site.asked(&format!("/campaigns/{campaign}/figures")).await;
    assert_eq!((&figures["contacts"], &figures["sent"]), (&json!(1), &json!(1)), "{figures}");
    assert_eq!(figures["waiting"][0]["reason"], "provider_busy");

    let messages = site.get(&format!("/v1/campaigns/{campaign}/export")).await;
    assert!(messages.text.starts_with("touch,campaign,contact") && messages.text.contains("bob@example.org"));
    let lines = site.get(&format!("/v1/campaigns/{campaign}/export?format=json_lines")).await;
    assert_eq!(lines.headers["content-type"], "application/x-ndjson");
    assert!(lines.text.lines().all(|line| serde_json::from_str::<Value>(line).unwrap()["record"] == "touch"));
    let known = site.get(&format!("/v1/contacts/{contact}/export")).await;
    assert!(
        known.text.starts_with("{\"record\":\"contact\"") || known.text.contains("\"record\":\"contact\"")
    );
    let table = site.get(&format!("/v1/contacts/{contact}/export?format=csv")).await;
    assert!(table.text.starts_with("touch,"), "{}", table.text);

    for path in ["campaigns/1/export", "contacts/1/export", "imports/1/errors"] {
        let refused = site.get_as("read operate admin", &format!("/v1/{path}")).await;
        assert!(refused.problem(StatusCode::FORBIDDEN, "forbidden").contains("payloads"));
    }
    for path in [
        "campaigns/99/preflight",
        "campaigns/99/figures",
        "campaigns/99/export",
        "contacts/99/export",
        "imports/99",
        "imports/99/errors",
    ] {
        site.get(&format!("/v1/{path}")).await.problem(StatusCode::NOT_FOUND, "not_found");
    }
}

#[tokio::test]
async fn a_contact_has_the_account_that_a_program_or_a_file_gives_them_until_it_takes_it_away() {
    let (_dir, site) = new_site().await;
    let account = async |given: Value| site.tell("/contacts", given).await.json()["account"].clone();
    let ann = "ann@example.com";
    assert_eq!(account(json!({"email": ann, "account": " Example Inc. "})).await, "Example Inc.");
    assert_eq!(account(json!({"email": ann, "name": "Ann"})).await, "Example Inc.", "left out, it stays");
    assert_eq!(account(json!({"email": ann, "account": ""})).await, Value::Null);
    let long = json!({"email": ann, "account": "x".repeat(201)});
    let detail = site.tell("/contacts", long).await.problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid");
    assert!(detail.contains("at most 200"), "{detail}");

    let file = "email,Account Name\nann@example.com,Example Inc.\nbob@example.com,\n";
    let begun = site.send("/imports?list=Spring", file).await.json();
    assert_eq!(begun["plan"]["mapping"], json!(["email", "account"]));
    site.import_over(1).await;
    let known = site.asked("/contacts").await;
    let of = |nth: usize| (known[nth]["account"].clone(), known[nth]["fields"]["company"].clone());
    assert_eq!(of(0), (json!("Example Inc."), json!("Example Inc.")));
    assert_eq!(of(1), (Value::Null, Value::Null));
    let draft = json!({"name": "x", "user": 1, "policy": {"zone": "UTC", "week": {"mon": ["09:00-20:00"]}},
                       "stop_rules": {"account_reply": true}});
    site.tell("/users", json!({"name": "Ann"})).await;
    let rules = site.tell("/campaigns", draft).await.json()["stop_rules"].clone();
    assert_eq!(rules, json!({"reply": true, "click": false, "bounce": true, "account_reply": true}));
}

/// Halves a pace of so many messages a minute.
fn halved(now: Time, per_minute: u64) -> Pace {
    let said =
        TooMuch { asked_at: now, until: None, why: "twilio/20429: slow", set: Some(per_minute), taken: 0 };
    let mut pace = Pace::default();
    assert!(pace.refused(&said, now, &Policy::default()));
    pace
}

#[tokio::test]
async fn whatever_is_slowed_down_says_so_and_is_brought_back_by_a_person_on_its_page_or_by_the_api() {
    let (_dir, site) = new_site().await;
    site.fill("x").await;
    let slow = async || {
        let now = site.app.now();
        let done = site.app.db().write(move |tx| {
            let (provider, full) = (ProviderId(1), Pace::default());
            let kept = providers::keep_pace(tx, provider, &full, &halved(now, 1_440))?;
            Ok::<_, DbError>((kept, providers::keep_domain_pace(tx, "gmail.com", &full, &halved(now, 40))?))
        });
        assert_eq!(done.await.unwrap(), (true, true));
    };
    slow().await;
    let (provider, domain) =
        (site.asked("/providers").await[0].clone(), site.asked("/domain-limits").await[0].clone());
    assert_eq!(
        (&provider["slowed"]["per_minute"], &provider["slowed"]["full_per_minute"]),
        (&json!(720), &json!(1_440))
    );
    assert_eq!(provider["slowed"]["why"], "twilio/20429: slow");
    assert!(provider.get("pace").is_none() && provider.get("secret").is_none());
    assert_eq!((&domain["domain"], &domain["slowed"]["per_minute"]), (&json!("gmail.com"), &json!(20)));
    for path in ["/providers", "/providers/1"] {
        let page = site.page(path).await;
        assert!(page.contains("slowed to 12 a second"), "{page}");
        let why = "because it answered <span class=\"text\">twilio/20429: slow</span>";
        assert_eq!(page.contains(why), path == "/providers/1", "{page}");
    }
    assert!(site.page("/domains").await.contains("slowed to 20 a minute"));

    assert_eq!(site.post_as("read,operate", "/providers/1/pace", &[]).await.status, StatusCode::FORBIDDEN);
    assert!(site.post("/providers/1/pace", &[]).await.flash().good);
    assert!(!site.post("/providers/1/pace", &[]).await.flash().good, "it is not slowed down any more");
    assert!(site.post("/domains/pace", &[("domain", "Gmail.com")]).await.flash().good);
    assert_eq!(site.asked("/providers").await[0]["slowed"], Value::Null);
    assert_eq!(site.asked("/domain-limits").await, json!([]), "nobody has set a limit");

    slow().await;
    let remove = async |path: &str| {
        let request = Request::delete(format!("{PATH}/v1{path}")).body(Body::empty()).unwrap();
        site.ask(ALL, request).await
    };
    assert_eq!(remove("/providers/1/slowed").await.json()[0]["slowed"], Value::Null);
    assert_eq!(remove("/domain-limits/gmail.com/slowed").await.json(), json!([]));
    remove("/providers/1/slowed").await.problem(StatusCode::CONFLICT, "conflict");
    remove("/providers/9/slowed").await.problem(StatusCode::NOT_FOUND, "not_found");
    let brought = site.asked("/audit").await;
    let brought = brought.as_array().unwrap().iter();
    assert_eq!(brought.filter(|one| one["what"] == "bring provider back to full pace").count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_keep_their_keys_and_a_campaign_lists_its_contacts() {
    let (_dir, site) = new_site().await;
    let filled = site.fill("x").await;
    let id = filled.campaign;
    verbs::launch(&site.app, id, "test").await.unwrap();
    let path = format!("/campaigns/{id}");
    let first = site.asked(&path).await["steps"][0].clone();
    assert_eq!(first["key"], 1);
    let mut new = first.clone();
    new.as_object_mut().unwrap().remove("key");
    new["delay"] = json!({"unit": "days", "count": 3});
    let steps = async |steps: Value| {
        let body = json!({"steps": steps, "moves": "everybody"}).to_string();
        let request = Request::put(format!("{PATH}/v1{path}/steps"));
        let request = request.header(header::CONTENT_TYPE, "application/json");
        site.ask(ALL, request.body(Body::from(body)).unwrap()).await
    };
    let next = steps(json!([new, first])).await.json();
    let keys = |next: &Value| [0, 1].map(|at| next["steps"][at]["key"].as_u64().unwrap());
    assert_eq!((&next["version"], keys(&next)), (&json!(2), [2, 1]));
    let back = steps(json!([next["steps"][1], next["steps"][0]])).await.json();
    assert_eq!(keys(&back), [1, 2]);
    let mut wrong = first.clone();
    wrong["key"] = json!(77);
    let why = steps(json!([wrong])).await.problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid");
    assert!(why.contains("step 1 has the key 77") && why.contains("leave `key` out"), "{why}");

    let listed = site.asked(&format!("{path}/enrolments")).await;
    let one = &listed[0];
    assert_eq!(
        (&one["contact"], &one["version"], &one["step"], &one["step_key"], &one["touch"]),
        (&json!(filled.contact), &json!(3), &json!(1), &json!(1), &Value::Null)
    );
    assert_eq!((&one["status"], &one["waits_for"]), (&json!("active"), &json!("turn")));
    let narrowed = |query: &str| format!("{path}/enrolments?{query}");
    assert_eq!(site.asked(&narrowed("status=stopped")).await, json!([]));
    assert_eq!(
        site.asked(&narrowed("version=3&step=1&status=active&limit=1")).await.as_array().unwrap().len(),
        1
    );
    let html = site.page(&format!("/{id}/contacts?status=active")).await;
    assert!(html.contains("its turn: it is due") && html.contains("none yet"), "{html}");
    assert!(site.page(&format!("/{id}/contacts?reason=bounced")).await.contains("Nobody is meant"));
    assert!(site.page(&format!("/{id}")).await.contains("/contacts?status=active"));
}

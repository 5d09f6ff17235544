//! Forms do what they say, ask before they destroy, and tell what they did once.

use std::time::Duration;

use windlass::Draft;
use windlass_core::State;
use windlass_core::store::{QueueInfo, Settle};

use crate::browser::Browser;
use crate::document::held;
use crate::stock::{Stock, queue};

async fn info(stock: &Stock, name: &str) -> QueueInfo {
    stock.client.store().queues(Some(queue(name)), None).await.expect("queues").pop().expect("the queue")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_paused_and_goes_on_and_the_page_tells_once() {
    let stock = Stock::varied().await;
    let home = held(&stock.client);
    let browser = Browser::at(&home);
    let page = browser.submit("/queues/mail/pause", &[("back", "/queues/mail?range=1h")]).await;
    assert!(info(&stock, "mail").await.settings.paused);
    assert!(page.text.contains("Queue mail is paused") && page.text.contains("Last 1 hour"), "{}", page.text);
    // A page that fetches itself again leaves the message to people; the next one they ask for has it no more.
    assert!(!browser.get("/queues/mail").await.text.contains("Queue mail is paused"));
    browser.post("/queues/mail/resume", &[]).await;
    assert!(!info(&stock, "mail").await.settings.paused);
    let again = browser.send(browser.request("GET", "/").header("x-windlass-again", "1")).await;
    assert!(!again.text.contains("goes on.") && again.cookie("windlass_flash").is_none());
    assert!(browser.get("/").await.text.contains("Queue mail goes on."));
    let missing = browser.post("/queues/none/pause", &[]).await;
    assert_eq!(missing.status, 404);
    let elsewhere = browser.post("/queues/mail/resume", &[("back", "//evil.example/")]).await;
    assert_eq!(elsewhere.header("location"), "/queues/mail");
}

/// The fields of the settings form as the page shows them, with some changed.
async fn settings_form(browser: &Browser, changes: &[(&str, &str)]) -> Vec<(String, String)> {
    let page = browser.get("/queues/mail").await;
    let form = page.all("class=\"panel settings\">", "</form>").pop().expect("the form");
    let mut fields: Vec<(String, String)> = Vec::new();
    for input in form.split("<input ").skip(1).filter(|input| !input.contains("type=\"checkbox\"")) {
        let of = |name: &str| {
            let value = input.split_once(&format!("{name}=\""))?.1.split_once('"')?.0;
            Some(value.replace("&#38;", "&").replace("&#34;", "\""))
        };
        fields.push((of("name").expect("a name"), of("value").expect("a value")));
    }
    fields.push(("group_on_head_death".into(), "block".into()));
    for (name, value) in changes {
        fields.retain(|(other, _)| other != name);
        fields.push(((*name).to_owned(), (*value).to_owned()));
    }
    fields
}

fn pairs(fields: &[(String, String)]) -> Vec<(&str, &str)> {
    fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_in_force_at_once_and_the_difference_is_told() {
    let stock = Stock::varied().await;
    let home = held(&stock.client);
    let browser = Browser::at(&home);
    let untouched = settings_form(&browser, &[]).await;
    let page = browser.submit("/queues/mail/settings", &pairs(&untouched)).await;
    assert!(page.text.contains("Nothing was changed."), "{}", page.text);

    let changes =
        [("concurrency", "12"), ("rate", "100/1m"), ("retry", "fixed(10s,max=5)"), ("group_weight", "4")];
    let fields = settings_form(&browser, &changes).await;
    // Somebody else is faster with another setting.
    let mut meanwhile = info(&stock, "mail").await.settings;
    meanwhile.lease_ms = 90_000;
    stock.client.set_queue("mail", meanwhile).await.expect("settings");
    let page = browser.submit("/queues/mail/settings", &pairs(&fields)).await;
    let settings = info(&stock, "mail").await.settings;
    assert_eq!((settings.limits.concurrency, settings.lease_ms), (Some(12), 90_000));
    assert_eq!((settings.retry.max_failures(), settings.groups.weight), (5, 4));
    assert!(
        page.text.contains("concurrency: none → 12") && page.text.contains("rate: none → 100/1m"),
        "{}",
        page.text
    );
    assert!(!page.text.contains("lease:"));

    let wrong = settings_form(&browser, &[("concurrency", "3"), ("lease", "soon")]).await;
    let page = browser.post("/queues/mail/settings", &pairs(&wrong)).await;
    assert_eq!(page.status, 422);
    assert!(
        page.text.contains("value=\"3\"") && page.text.contains("is not a span of time"),
        "{}",
        page.text
    );
    let refused = settings_form(&browser, &[("lease", "10ms")]).await;
    let page = browser.post("/queues/mail/settings", &pairs(&refused)).await;
    assert!(page.status == 422 && page.text.contains("is not between 1 s and 24 h"), "{}", page.text);
    assert_eq!(info(&stock, "mail").await.settings.limits.concurrency, Some(12));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_gets_settings_of_its_own_and_the_defaults_again() {
    let stock = Stock::varied().await;
    let home = held(&stock.client);
    let browser = Browser::at(&home);
    let find = async |key: &str| {
        let page = stock.client.store().groups(queue("mail"), None, 100).await.expect("groups");
        page.items
            .into_iter()
            .find(|group| group.key.as_ref().is_some_and(|other| other.as_str() == key))
            .expect(key)
    };
    let fields = [("group", "~campaign 7"), ("weight", "9"), ("concurrency", "2"), ("rate", "")];
    let page = browser.submit("/queues/mail/groups", &fields).await;
    assert!(
        page.text.contains("Group campaign 7 of queue mail has weight 9, concurrency 2"),
        "{}",
        page.text
    );
    let group = find("campaign 7").await;
    assert_eq!((group.settings.weight, group.settings.limits.concurrency), (9, Some(2)));
    let ordered = [("group", "~campaign 7"), ("weight", "9"), ("ordered", "yes")];
    let page = browser.post("/queues/mail/groups", &ordered).await;
    assert!(
        page.status == 422 && page.text.contains("only while the group has no live or dead jobs"),
        "{}",
        page.text
    );
    let page = browser.post("/queues/mail/groups", &[("group", "~campaign 7"), ("weight", "0")]).await;
    assert!(page.status == 422 && page.text.contains("is not between 1 and 1000"), "{}", page.text);
    browser.submit("/queues/mail/groups/reset", &[("group", "~campaign 7")]).await;
    assert_eq!((find("campaign 7").await.own_settings, find("campaign 7").await.settings.weight), (false, 1));
    assert_eq!(
        browser.post("/queues/mail/groups", &[("group", "campaign 7"), ("weight", "1")]).await.status,
        400
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_retried_and_made_ready_at_once_but_cancelled_and_deleted_after_a_question() {
    let stock = Stock::varied().await;
    let home = held(&stock.client);
    let browser = Browser::at(&home);
    let (dead, later) = (stock.one(State::Dead).await, stock.one(State::Scheduled).await);
    let page = browser.submit(&format!("/jobs/{dead}/retry"), &[]).await;
    assert!(
        page.text.contains("1 job retried.") && stock.state(dead).await == Some(State::Ready),
        "{}",
        page.text
    );
    let page = browser.submit(&format!("/jobs/{dead}/retry"), &[]).await;
    assert!(
        page.text.contains("Not done for 1 job: retry is not possible while the job is ready"),
        "{}",
        page.text
    );
    browser.submit(&format!("/jobs/{later}/run-now"), &[]).await;
    assert_eq!(stock.state(later).await, Some(State::Ready));

    let question = browser.post(&format!("/jobs/{later}/cancel"), &[]).await;
    assert!(question.status == 200 && question.text.contains("Cancel 1 job?"), "{}", question.text);
    assert!(question.text.contains(&later.to_string()));
    assert_eq!(stock.state(later).await, Some(State::Ready));
    browser.submit(&format!("/jobs/{later}/cancel"), &[("confirmed", "yes")]).await;
    assert_eq!(stock.state(later).await, Some(State::Cancelled));

    let ids = [later.to_string(), dead.to_string()];
    let ticked = [
        ("id", ids[0].as_str()),
        ("id", ids[1].as_str()),
        ("action", "delete"),
        ("back", "/jobs?filter=kind:x"),
    ];
    let question = browser.post("/jobs/bulk", &ticked).await;
    assert!(
        question.text.contains("Delete 2 jobs?") && question.text.contains("cannot be undone"),
        "{}",
        question.text
    );
    assert!(stock.state(dead).await.is_some());
    let confirmed: Vec<_> = ticked.into_iter().chain([("confirmed", "yes")]).collect();
    let page = browser.submit("/jobs/bulk", &confirmed).await;
    assert!(page.text.contains("2 jobs deleted.") && page.text.contains("value=\"kind:x\""), "{}", page.text);
    assert_eq!((stock.state(dead).await, stock.state(later).await), (None, None));
    let page = browser.submit("/jobs/bulk", &[("action", "retry")]).await;
    assert!(page.text.contains("No row was ticked."));
    assert_eq!(browser.post("/jobs/bulk", &[("action", "explode"), ("id", &ids[0])]).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_edited_where_it_waits_or_is_dead_and_one_that_has_completed_is_copied() {
    let stock = Stock::empty().await;
    let home = held(&stock.client);
    let browser = Browser::at(&home);
    let draft = Draft::raw("mail", "send", *b"{\"a\":1.0,\"b\":[]}").group("g").tag("t").priority(2);
    let id = stock.enqueue(draft.delay(Duration::from_secs(3_600)).unique("u")).await;
    let edit = format!("/jobs/{id}/edit");

    let page = browser.post(&edit, &[("payload", "{\"a\":"), ("priority", "12"), ("run_at", "soon")]).await;
    assert_eq!(page.status, 422);
    for word in
        ["this is not JSON", "line 1 column 5", "from -9 to 9", "neither a time nor a span", "{&#34;a&#34;:"]
    {
        assert!(page.text.contains(word), "{word}: {}", page.text);
    }
    let fields = [
        ("payload", "{\r\n \"a\": 12345678901234567890123\r\n}"),
        ("priority", "2"),
        ("run_at", ""),
        ("then", "run"),
    ];
    let page = browser.submit(&edit, &fields).await;
    assert!(page.text.contains("The job is changed. It is ready."), "{}", page.text);
    let job = stock.client.get(id).await.expect("a look").expect("the job");
    assert_eq!(
        (job.payload.as_slice(), job.view.state),
        (&b"{\"a\":12345678901234567890123}"[..], State::Ready)
    );

    assert_eq!(stock.kill("mail", "no such user", "E", "").await, id);
    assert!(browser.get(&edit).await.text.contains("It stays the same job"));
    let fields = [("payload", "{\"a\":2}"), ("then", "run")];
    let page = browser.submit(&edit, &fields).await;
    assert!(page.text.contains("The job is changed. It is retried."), "{}", page.text);
    assert!(page.text.contains("no such user"), "its history is still told: {}", page.text);
    let job = stock.client.get(id).await.expect("a look").expect("the job");
    assert_eq!((job.payload.as_slice(), job.view.state), (&b"{\"a\":2}"[..], State::Ready));

    let lease = stock.claim("mail").await.lease;
    stock.settle(Settle::Complete { lease, result: None, then: Vec::new() }).await;
    assert_eq!(info(&stock, "mail").await.counts.of(State::Dead), 0, "nothing red is left over");
    assert!(browser.get("/").await.text.contains("Nothing is wrong"));
    let form = browser.get(&edit).await;
    assert!(form.text.contains("Saving enqueues a copy"), "{}", form.text);
    let fields =
        [("payload", "{\"a\":3}"), ("priority", "2"), ("run_at", ""), ("delete_old", "yes"), ("then", "run")];
    let answer = browser.post(&edit, &fields).await;
    let copy = answer
        .header("location")
        .rsplit('/')
        .next()
        .and_then(|id| id.parse().ok())
        .expect("the copy's address");
    assert_ne!(copy, id);
    let job = stock.client.get(copy).await.expect("a look").expect("the copy");
    assert_eq!(
        (job.payload.as_slice(), job.view.state, job.view.priority),
        (&b"{\"a\":3}"[..], State::Ready, 2)
    );
    assert_eq!(job.view.group.as_ref().map(ToString::to_string).as_deref(), Some("g"));
    assert_eq!((job.view.tags.len(), job.unique.is_some()), (1, true));
    assert_eq!(stock.state(id).await, None);

    stock.claim("mail").await;
    assert_eq!(browser.get(&format!("/jobs/{copy}/edit")).await.status, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_set_and_removed_and_schedules_stopped_and_deleted() {
    let stock = Stock::varied().await;
    let home = held(&stock.client);
    let browser = Browser::at(&home);
    let names = async || {
        let page = stock.client.store().limits(None, 100).await.expect("limits");
        page.items.iter().map(|limit| limit.name.to_string()).collect::<Vec<_>>()
    };
    let page = browser.submit("/limits", &[("name", "gpu"), ("concurrency", "2"), ("rate", "10/s")]).await;
    assert!(page.text.contains("Limit gpu has concurrency 2, rate 10/1s."), "{}", page.text);
    assert!(names().await.contains(&"gpu".to_owned()));
    let page = browser.post("/limits", &[("name", "g p u"), ("concurrency", "many"), ("rate", "fast")]).await;
    assert_eq!(page.status, 422);
    assert!(
        page.text.contains("may hold only letters") && page.text.contains("not a whole number"),
        "{}",
        page.text
    );
    let question = browser.post("/limits/gpu/remove", &[]).await;
    assert!(question.text.contains("Remove limit gpu?") && names().await.contains(&"gpu".to_owned()));
    browser.submit("/limits/gpu/remove", &[("confirmed", "yes")]).await;
    assert!(!names().await.contains(&"gpu".to_owned()));

    let paused = async || {
        let all = stock.client.store().schedules().await.expect("schedules");
        all.into_iter().find(|info| info.spec.name.as_str() == "often").map(|info| info.spec.paused)
    };
    let page = browser.submit("/schedules/often/pause", &[("back", "/schedules")]).await;
    assert!(page.text.contains("Schedule often is paused") && paused().await == Some(true));
    browser.submit("/schedules/often/resume", &[]).await;
    assert_eq!(paused().await, Some(false));
    let question = browser.post("/schedules/often/delete", &[]).await;
    assert!(question.text.contains("Delete schedule often?") && paused().await.is_some());
    browser.submit("/schedules/often/delete", &[("confirmed", "yes")]).await;
    assert_eq!(paused().await, None);
    assert_eq!(browser.post("/schedules/often/pause", &[]).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_given_a_target_whose_secret_is_shown_once_and_loses_it_when_somebody_is_sure() {
    let stock = Stock::varied().await;
    let home = held(&stock.client);
    let browser = Browser::at(&home);
    let fields = |url| [("url", url), ("concurrency", "3"), ("timeout", "5s")];
    // What the server may not reach is said beside the form, which keeps what stood in it.
    let refused = browser.post("/queues/mail/target", &fields("http://127.0.0.1:9/in")).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("which is this machine") && refused.text.contains("--allow-target"));
    assert!(refused.text.contains("value=\"http://127.0.0.1:9/in\""), "{}", refused.text);
    let made = browser.post("/queues/mail/target", &fields("https://8.8.8.8/in?token=s3cret")).await;
    assert_eq!((made.status, made.text.matches("whsec_").count()), (200, 1), "{}", made.text);
    let page = browser.get("/queues/mail").await;
    assert!(page.text.contains("https://8.8.8.8/in?…") && page.text.contains("1 secret<"), "{}", page.text);
    assert!(!page.text.contains("whsec_") && !page.text.contains("s3cret"), "{}", page.text);
    // Saved as it is shown, the query stays.
    let saved = browser.submit("/queues/mail/target", &fields("https://8.8.8.8/in?…")).await;
    assert!(saved.text.contains("are sent to https://8.8.8.8/in?…."), "{}", saved.text);
    let (kept, _) = stock.client.store().meta("windlass.targets".into()).await.expect("the store");
    assert!(String::from_utf8(kept).expect("JSON").contains("s3cret"));
    let turned = browser.post("/queues/mail/target/rotate", &[]).await;
    assert_eq!((turned.status, turned.text.matches("whsec_").count()), (200, 1));
    assert!(turned.text.contains("2 secrets<"), "{}", turned.text);
    let asked = browser.post("/queues/mail/target/remove", &[]).await;
    assert!(asked.text.contains("Stop sending jobs of queue mail?"), "{}", asked.text);
    let gone = browser.submit("/queues/mail/target/remove", &[("confirmed", "yes")]).await;
    assert!(gone.text.contains("are sent nowhere any more"), "{}", gone.text);
    assert!(gone.text.contains("Workers claim from this queue."));
}

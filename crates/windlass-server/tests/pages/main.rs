//! The dashboard as a browser sees it: what each page says, that forms do what they say, that nothing stored is ever
//! markup, and who is let in.

#[path = "../asker/mod.rs"]
mod asker;
mod beside;
mod browser;
#[path = "../document/mod.rs"]
mod document;
mod failures;
mod forms;
#[path = "../home/mod.rs"]
mod home;
mod markup;
mod monitor;
mod operations;
mod schedules;
mod sign_in;
mod stock;

use windlass_core::State;

use crate::browser::Browser;
use crate::document::held;
use crate::stock::Stock;

#[tokio::test(flavor = "multi_thread")]
async fn each_page_says_what_there_is() {
    let stock = Stock::varied().await;
    let home = held(&stock.client);
    let browser = Browser::at(&home);
    let (dead, running) = (stock.one(State::Dead).await, stock.one(State::Running).await);
    let (waiting, parent) = (stock.one(State::Scheduled).await, stock.one(State::Completed).await);
    let pages: Vec<(String, &[&str])> = vec![
        (
            "/".into(),
            &[
                "What is wrong now",
                "has 2 dead jobs",
                "card &#60;n&#62; was declined",
                "no worker",
                "is paused",
                "p95 wait",
            ],
        ),
        ("/queues".into(), &["mail", "idle-hands", "no worker"]),
        (
            "/queues/mail".into(),
            &[
                "Enqueued",
                "5 minutes",
                "campaign 7",
                "its own",
                "Failure modes",
                "exponential(",
                "held, opens",
            ],
        ),
        ("/queues/mail?range=24h".into(), &["Last 24 hours"]),
        ("/queues/mail?edit=~campaign+7".into(), &["name=\"weight\" value=\"3\""]),
        ("/jobs".into(), &["scheduled", "mail", "Retry", "Delete…"]),
        ("/jobs?filter=queue%3Amail+state%3Adead".into(), &["dead", "card 17 was declined"]),
        ("/jobs?filter=group%3Anobody".into(), &["No job matches"]),
        (
            format!("/jobs/{dead}"),
            &[
                "dead",
                "card 17 was declined",
                "CardError",
                "at src/card.rs:7",
                "Edit and retry",
                "curl -X POST",
            ],
        ),
        (
            format!("/jobs/{running}"),
            &[
                "running",
                "42 %",
                "half of it",
                "line one",
                "w-0000000000000007",
                "&#34;n&#34;: 12345678901234567890123",
            ],
        ),
        (format!("/jobs/{running}/attempts/1/log"), &["line one"]),
        (format!("/jobs/{waiting}"), &["scheduled", "due", "due at"]),
        (format!("/jobs/{parent}"), &["completed", "Result", "&#34;sent&#34;: 1.0", "Waited for by"]),
        (format!("/jobs/{dead}/edit"), &["It stays the same job", "Save and retry"]),
        ("/errors".into(), &["card &#60;n&#62; was declined", "Retry all dead…", "Delete all dead…"]),
        ("/charts".into(), &["Enqueued", "The same in numbers", "Each queue", "mail", "last 5 minutes"]),
        ("/charts?range=7d".into(), &["last 7 days"]),
        (
            "/schedules/morning".into(),
            &["It has not ticked yet", "value=\"0 9 * * MON-FRI\"", "Save schedule"],
        ),
        ("/new-schedule".into(), &["Create schedule", "Show its next ticks"]),
        ("/schedules".into(), &["Monday to Friday at 09:00", "Europe/Berlin", "every 30s", "Next ticks"]),
        ("/limits".into(), &["smtp", "100/1m", "closed"]),
        ("/workers".into(), &["w-0000000000000007", "host-1", "memory"]),
    ];
    for (path, words) in pages {
        let page = browser.get(&path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text);
        for word in words {
            assert!(page.text.contains(word), "{path} lacks {word:?}:\n{}", page.text);
        }
        assert!(
            page.header("content-security-policy").contains("default-src 'none'; script-src 'self'"),
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_store_says_what_to_do_next() {
    let client = windlass::open("memory:").await.expect("a store");
    let home = held(&client);
    let browser = Browser::at(&home);
    for path in ["/", "/queues", "/jobs", "/errors", "/bulk", "/charts", "/schedules", "/limits", "/workers"]
    {
        let page = browser.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(page.text.contains("curl -"), "{path}: {}", page.text);
    }
    assert!(browser.get("/").await.text.contains("Nothing is wrong"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_and_what_makes_no_sense_is_said_on_a_page() {
    let stock = Stock::varied().await;
    let home = held(&stock.client);
    let browser = Browser::at(&home);
    let gone = "/jobs/01999999-9999-7999-8999-999999999999";
    for (path, status, word) in [
        ("/nope", 404, "Not found"),
        ("/queues/none", 404, "queue none not found"),
        (gone, 404, "retention removed it"),
        ("/jobs/seven", 400, "not a job id"),
        ("/charts?range=1y", 400, "there is no range"),
        ("/schedules/none", 404, "schedule none"),
        ("/jobs?filter=ded", 400, "is no condition"),
        ("/jobs?cursor=x", 400, "cursor is not valid"),
        ("/queues/mail?after=%01", 400, "control characters"),
        ("/queues/mail/pause", 405, "method"),
    ] {
        let page = browser.get(path).await;
        assert_eq!(page.status, status, "{path}");
        assert!(page.text.contains(word) && page.text.contains("<!doctype html>"), "{path}: {}", page.text);
    }
    // A program that asks for the same gets a problem.
    let plain = browser.get_plain("/nope").await;
    assert!(plain.header("content-type").contains("problem+json"), "{}", plain.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_gets_a_sheet_and_a_browser_the_overview() {
    let client = windlass::open("memory:").await.expect("a store");
    let home = held(&client);
    let browser = Browser::at(&home);
    let sheet = browser.get_plain("/").await;
    assert!(
        sheet.text.starts_with("windlass ") && sheet.text.contains("/v1/queues/{queue}"),
        "{}",
        sheet.text
    );
    assert!(browser.get("/").await.text.contains("<nav"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_in_the_search_box_opens_its_job() {
    let stock = Stock::varied().await;
    let home = held(&stock.client);
    let dead = stock.one(State::Dead).await;
    let page = Browser::at(&home).get(&format!("/jobs?filter={dead}")).await;
    assert_eq!((page.status, page.header("location")), (303, format!("/jobs/{dead}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_goes_on_where_it_stopped() {
    let stock = Stock::varied().await;
    stock.bulk(120).await;
    let home = held(&stock.client);
    let browser = Browser::at(&home);
    let (mut at, mut seen) = ("/jobs?filter=queue:bulk".to_owned(), std::collections::HashSet::new());
    for _ in 0..5 {
        let page = browser.get(&at).await;
        seen.extend(page.all("name=\"id\" value=\"", "\""));
        match page.all("<a class=\"button\" href=\"", "\">Next page").first() {
            // The link stands last among the buttons of its line.
            Some(next) => {
                next.rsplit("href=\"").next().unwrap_or_default().replace("&#38;", "&").clone_into(&mut at)
            }
            None => break,
        }
    }
    assert_eq!(seen.len(), 120);
}

#[tokio::test(flavor = "multi_thread")]
async fn assets_are_kept_for_as_long_as_their_content_is_the_same() {
    let client = windlass::open("memory:").await.expect("a store");
    let home = held(&client);
    let browser = Browser::at(&home);
    let page = browser.get("/").await;
    for (name, media_type) in
        [("style.css", "text/css"), ("live.js", "text/javascript"), ("mark.svg", "image/svg+xml")]
    {
        let rest = page.all(&format!("\"/assets/{name}?v="), "\"").first().cloned().expect(name);
        let asset = browser.get(&format!("/assets/{name}?v={rest}")).await;
        assert_eq!(asset.status, 200);
        assert!(asset.header("content-type").starts_with(media_type));
        assert!(asset.header("cache-control").contains("immutable"));
        assert_eq!(browser.get(&format!("/assets/{name}?v=0")).await.header("cache-control"), "no-cache");
    }
    assert_eq!(browser.get("/assets/..%2Fsrc%2Flib.rs").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_told_when_something_happens_and_when_the_server_ends() {
    let stock = Stock::varied().await;
    let home = held(&stock.client);
    let mut stream = Browser::at(&home).open("/live").await;
    assert!(stream.headers()["content-type"].to_str().expect("text").starts_with("text/event-stream"));
    stock.bulk(3).await;
    let word = stream.chunk().await.expect("the stream goes on").expect("a word");
    assert!(String::from_utf8_lossy(&word).contains("data: tick"), "{word:?}");
    let ended = tokio::task::spawn_blocking(move || drop(home));
    while stream.chunk().await.ok().flatten().is_some() {}
    ended.await.expect("the server ends in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_below_a_path_has_its_links_there() {
    let stock = Stock::varied().await;
    let drain = windlass_server::Drain::default();
    let options = windlass_server::Options { drain: drain.clone(), ..windlass_server::Options::default() };
    let router = axum::Router::new().nest("/queue", windlass_server::router(&stock.client, options));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let browser = Browser::to(format!("http://{}", listener.local_addr().expect("an address")));
    let listen = windlass_server::Listen::Tcp(listener);
    let serving = tokio::spawn(windlass_server::serve(vec![(listen, router)], drain.clone()));
    let page = browser.get("/queue/jobs").await;
    assert_eq!(page.status, 200);
    for link in page.all("href=\"", "\"").into_iter().chain(page.all("action=\"", "\"")) {
        assert!(link.starts_with("/queue") || link.starts_with('#'), "{link}");
    }
    assert!(page.text.contains("data-base=\"/queue\""));
    assert_eq!(browser.get("/queue").await.status, 200);
    let paused = browser.post("/queue/queues/mail/pause", &[("back", "/queue/queues/mail")]).await;
    assert_eq!((paused.status, paused.header("location")), (303, "/queue/queues/mail".to_owned()));
    drain.begin();
    serving.await.expect("no panic").expect("the server ends in order");
}

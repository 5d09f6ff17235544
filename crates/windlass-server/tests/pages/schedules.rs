//! A schedule is made, looked at before it is saved, changed, and run apart from its ticks.

use windlass::Draft;
use windlass_core::State;
use windlass_core::schedule::{CatchUp, Overlap, Timing};
use windlass_core::store::{Filter, ScheduleSpec};

use crate::browser::Browser;
use crate::document::held;
use crate::stock::Stock;

async fn spec(stock: &Stock, name: &str) -> Option<ScheduleSpec> {
    let all = stock.client.store().schedules().await.expect("schedules");
    all.into_iter().find(|info| info.spec.name.as_str() == name).map(|info| info.spec)
}

fn with<'a>(fields: &[(&'a str, &'a str)], changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let kept = fields.iter().filter(|(name, _)| !changes.iter().any(|(other, _)| other == name));
    kept.chain(changes).copied().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_made_after_a_look_at_its_next_ticks_and_changed() {
    let stock = Stock::empty().await;
    let home = held(&stock.client);
    let browser = Browser::at(&home);
    let fields = [
        ("name", "morning"),
        ("cron", "0 9 * * MON-FRI"),
        ("time_zone", "Europe/Berlin"),
        ("every", ""),
        ("queue", "reports"),
        ("kind", ""),
        ("group", "eu"),
        ("priority", "3"),
        ("payload", "{\"day\": 1}"),
        ("overlap", "skip"),
        ("catch_up", "all=5"),
        ("then", "save"),
    ];
    let page = browser.post("/schedules", &with(&fields, &[("then", "preview"), ("queue", "")])).await;
    assert_eq!(
        (page.status, page.text.matches(" 09:00:00 Europe/Berlin</span>").count()),
        (200, 5),
        "{}",
        page.text
    );
    assert!(!page.text.contains("Sat 20") && page.text.contains("Mon 20"), "{}", page.text);
    assert!(page.text.contains("value=\"eu\"") && spec(&stock, "morning").await.is_none());

    for (changes, word) in [
        (&[("cron", "0 25 * * *")][..], "aria-invalid"),
        (&[("cron", "")], "write a cron expression, or a span below"),
        (&[("every", "5m")], "not both"),
        (&[("cron", ""), ("every", "10ms")], "is not between 1 s and ten years"),
        (&[("time_zone", "Europe/Atlantis")], "is no time zone"),
        (&[("name", "a b")], "may hold only letters"),
        (&[("queue", "")], "aria-invalid"),
        (&[("priority", "10")], "from -9 to 9"),
        (&[("payload", "{")], "this is not JSON"),
        (&[("catch_up", "all=0")], "is not between 1 and 1,000"),
    ] {
        let page = browser.post("/schedules", &with(&fields, changes)).await;
        assert!(page.status == 422 && page.text.contains(word), "{changes:?}: {}", page.text);
        assert!(spec(&stock, "morning").await.is_none());
    }
    let page = browser.submit("/schedules", &fields).await;
    assert!(page.text.contains("Schedule morning is saved: it ticks next in"), "{}", page.text);
    let made = spec(&stock, "morning").await.expect("the schedule");
    assert_eq!((made.kind.as_str(), made.priority, made.overlap), ("reports", 3, Overlap::Skip));
    assert_eq!((made.payload.as_slice(), made.catch_up), (&b"{\"day\":1}"[..], CatchUp::All { max: 5 }));

    let page = browser.post("/schedules", &fields).await;
    assert!(page.status == 422 && page.text.contains("there is a schedule of that name"), "{}", page.text);
    browser.post("/schedules/morning/pause", &[]).await;
    let changes = [("is_there", "yes"), ("cron", ""), ("every", "90s"), ("group", "")];
    browser.submit("/schedules", &with(&fields, &changes)).await;
    let changed = spec(&stock, "morning").await.expect("the schedule");
    assert!(matches!(changed.timing, Timing::Interval { every_ms: 90_000, .. }) && changed.group.is_none());
    assert!(changed.paused, "a change of its time lets nobody's pause go");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedules_page_tells_what_its_ticks_made_and_runs_one_apart_from_them() {
    let stock = Stock::empty().await;
    let job = Draft::raw("reports", "report", *b"{\"day\":1}");
    let every = std::time::Duration::from_secs(1);
    stock.client.schedule("pulse").every(every).job(job).await.expect("a schedule");
    let home = held(&stock.client);
    let browser = Browser::at(&home);
    let now = stock.client.now();
    stock.client.store().upkeep(1_000, Some(now.plus_ms(3_500))).await.expect("upkeep");
    let page = browser.get("/schedules/pulse").await;
    let made = stock.one(State::Ready).await;
    assert!(page.text.contains(&made.to_string()), "{}", page.text);

    let jobs = async || {
        let filter = Filter::default();
        stock.client.store().list(filter, None, 100, 1_000).await.expect("a list").expect("a page").items
    };
    let before = jobs().await.len();
    let page = browser.submit("/schedules/pulse/run", &[]).await;
    assert!(page.text.contains("one job of schedule pulse, apart from its ticks"), "{}", page.text);
    assert!(jobs().await.len() > before);
    assert_eq!(browser.post("/schedules/none/run", &[]).await.status, 404);
}

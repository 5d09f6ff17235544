//! An application's pages beside the dashboard, as a browser sees them: one navigation, one door, one look.

use askama::Template;
use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use windlass_look::{Flash, Frame, show};
use windlass_server::{Access, Beside, Options, Secret, Visitor};

use crate::browser::Browser;
use crate::document::held_with;

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html><html lang="en"><head><title>Stock</title>{{ f.head() }}</head>
<body data-base="{{ f.base }}">{{ f.top() }}<main id="main">{{ left }} left, {{ f.address }}</main>{{ f.bottom() }}</body></html>"#
)]
struct StockPage {
    f: Frame,
    left: u32,
}

async fn page(visitor: Visitor) -> Response {
    show(&StockPage { f: visitor.frame("/stock"), left: 7 })
}

async fn sell(visitor: Visitor) -> Response {
    visitor.note("sold one");
    visitor.go(&format!("{}/stock?sold=1", visitor.base()), Some(Flash::good("One is sold.")))
}

fn options() -> Options {
    let beside = Beside {
        path: "/stock",
        label: "Stock",
        key: "t",
        admin: Vec::new(),
        router: Router::new().route("/", get(page)).route("/sell", post(sell)),
        open: Router::new().route("/told", get(|| async { "told" })),
        open_bytes: windlass_server::OPEN_BYTES_USUAL,
        of_job: |kind, payload| {
            (kind == "restock").then(|| {
                let item = String::from_utf8_lossy(payload);
                (format!("item {item}"), format!("/items/{item}"))
            })
        },
    };
    Options { beside: vec![beside], ..Options::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_beside_has_the_navigation_and_each_page_of_the_dashboard_leads_there() {
    let client = windlass::open("memory:").await.expect("a store");
    let home = held_with(&client, options());
    let browser = Browser::at(&home);
    for path in ["/", "/jobs", "/queues", "/stock"] {
        let page = browser.get(path).await;
        let link = "<a href=\"/stock\" data-key=\"t\"";
        assert!(page.text.contains(link) && page.text.contains("<dd>Stock</dd>"), "{path}: {}", page.text);
    }
    let page = browser.get("/stock").await;
    assert_eq!(page.status, 200);
    assert!(
        page.text.contains("data-key=\"t\" aria-current=\"page\"") && page.text.contains("7 left, /stock")
    );
    assert!(page.header("content-security-policy").contains("default-src 'none'; script-src 'self'"));
    let sold = browser.submit("/stock/sell", &[]).await;
    assert!(sold.text.contains("One is sold.") && sold.text.contains("/stock?sold=1"), "{}", sold.text);
    assert!(!browser.get("/stock").await.text.contains("One is sold."), "it is told once");
    assert!(browser.get("/audit").await.text.contains("sold one"));
    let gone = browser.get("/stock/nothing").await;
    assert_eq!(gone.status, 404);
    assert!(gone.text.contains("Not found") && gone.text.contains("<nav"), "{}", gone.text);
    assert_eq!(browser.get("/stock/sell").await.status, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_not_come_in_is_led_to_the_login_and_back() {
    let client = windlass::open("memory:").await.expect("a store");
    let home = held_with(&client, Options { access: Access::Bearer(Secret::new("s3cret")), ..options() });
    let browser = Browser::at(&home);
    let page = browser.get("/stock?shelf=2").await;
    assert_eq!((page.status, page.header("location")), (303, "/login?next=%2Fstock%3Fshelf%3D2".to_owned()));
    let page = browser.submit("/login", &[("token", "s3cret"), ("next", "/stock?shelf=2")]).await;
    assert!(page.text.contains("7 left, /stock?shelf=2"), "{}", page.text);
    assert!(page.text.contains("Log out"), "{}", page.text);
    assert_eq!(Browser::at(&home).get("/open/stock/told").await.text, "told");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_beside_a_server_below_a_path_stands_there_too() {
    let client = windlass::open("memory:").await.expect("a store");
    let drain = windlass_server::Drain::default();
    let router = windlass_server::router(&client, Options { drain: drain.clone(), ..options() });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let browser = Browser::to(format!("http://{}", listener.local_addr().expect("an address")));
    let listen = windlass_server::Listen::Tcp(listener);
    let router = Router::new().nest("/queue", router);
    let serving = tokio::spawn(windlass_server::serve(vec![(listen, router)], drain.clone()));
    let page = browser.get("/queue/stock").await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("7 left, /queue/stock") && page.text.contains("data-base=\"/queue\""));
    for link in page.all("href=\"", "\"").into_iter().chain(page.all("action=\"", "\"")) {
        assert!(link.starts_with("/queue") || link.starts_with('#'), "{link}");
    }
    let sold = browser.submit("/queue/stock/sell", &[]).await;
    assert!(sold.text.contains("One is sold."), "{}", sold.text);
    assert_eq!(browser.get("/queue/open/stock/told").await.text, "told");
    assert_eq!(browser.get("/stock").await.status, 404);
    drain.begin();
    serving.await.expect("no panic").expect("the server ends in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_a_job_leads_to_what_an_application_beside_has_of_it() {
    let client = windlass::open("memory:").await.expect("a store");
    let home = held_with(&client, options());
    let browser = Browser::at(&home);
    for (kind, leads) in [("restock", true), ("other", false)] {
        let draft = windlass::Draft::raw("shelf", kind, *b"7");
        let job = client.enqueue(draft).await.expect("it is in").id;
        let page = browser.get(&format!("/jobs/{job}")).await;
        let is_there = page.text.contains("<a href=\"/stock/items/7\">item 7</a>");
        assert_eq!(is_there, leads, "{kind}: {}", page.text);
    }
}

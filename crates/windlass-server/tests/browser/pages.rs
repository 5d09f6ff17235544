//! Every page that there is, as addresses with plausible content: from the table of routes, so that none is forgotten.

use windlass_core::{JobId, State};

use crate::home::Home;
use crate::stock::Stock;

/// What answers GET outside of the API and is no page.
const NO_PAGES: [&str; 7] =
    ["/live", "/openapi.json", "/assets/{file}", "/healthz", "/readyz", "/problems/{code}", "/metrics"];

/// The addresses of a page: with what there is, or with a path that means nothing.
fn addresses(route: &str, known: &Known) -> Vec<String> {
    let Known { dead, running, operation } = known;
    match route {
        "/" => vec!["/".into()],
        "/queues" => vec!["/queues".into(), "/queues?prefix=ma".into()],
        "/queues/{queue}" => vec![
            "/queues/mail".into(),
            "/queues/mail?range=24h&edit=~campaign+7".into(),
            "/queues/stopped".into(),
            "/queues/no-such-queue".into(),
        ],
        "/jobs" => vec![
            "/jobs".into(),
            "/jobs?filter=state:dead".into(),
            "/jobs?filter=queue:nothing-there".into(),
            "/jobs?filter=state:nonsense".into(),
        ],
        "/jobs/{id}" => {
            vec![format!("/jobs/{dead}"), format!("/jobs/{running}"), format!("/jobs/{}", JobId::default())]
        }
        "/jobs/{id}/attempts/{attempt}/log" => {
            vec![format!("/jobs/{running}/attempts/1/log"), format!("/jobs/{dead}/attempts/1/log")]
        }
        "/jobs/{id}/edit" => vec![format!("/jobs/{dead}/edit")],
        "/errors" => {
            vec!["/errors".into(), "/errors?queue=mail".into(), "/errors?queue=nothing-there".into()]
        }
        "/bulk" => vec!["/bulk".into()],
        "/bulk/new" => vec![
            "/bulk/new?action=retry&filter=state:dead&back=/jobs".into(),
            "/bulk/new?action=delete&filter=queue:mail&back=/jobs".into(),
        ],
        "/bulk/{id}" => vec![format!("/bulk/{operation}")],
        "/schedules" => vec!["/schedules".into()],
        "/schedules/{schedule}" => vec!["/schedules/morning".into(), "/schedules/no-such-schedule".into()],
        "/new-schedule" => vec!["/new-schedule".into()],
        "/charts" => vec!["/charts".into()],
        "/monitor" => vec!["/monitor".into(), "/monitor?rule=dead-burst".into()],
        "/keys" => vec!["/keys".into()],
        "/audit" => vec!["/audit".into()],
        "/limits" => vec!["/limits".into(), "/limits?edit=smtp".into()],
        "/workers" => vec!["/workers".into()],
        "/login" => vec!["/login?next=/jobs".into()],
        other => panic!("the page {other} is new: say in tests/browser/pages.rs where it is looked at"),
    }
}

/// What pages are about.
struct Known {
    dead: JobId,
    running: JobId,
    operation: String,
}

/// Every page of a server, which is filled with something of everything or with nothing.
pub(crate) async fn all(stock: &Stock, home: &Home) -> Vec<String> {
    let known = Known {
        dead: stock.first(State::Dead).await,
        running: stock.first(State::Running).await,
        operation: begin(home, "state:dead tag:nobody").await,
    };
    let pages = windlass_server::table()
        .into_iter()
        .filter(|(method, path, _)| method == "GET" && !path.starts_with("/v1/") && !NO_PAGES.contains(path));
    pages.flat_map(|(_, path, _)| addresses(path, &known)).collect()
}

/// Begins an operation that retries the jobs which that filter means, and tells its id.
pub(crate) async fn begin(home: &Home, filter: &str) -> String {
    let request = crate::asker::asker().build().expect("a client").post(format!("{}/v1/bulk", home.url()));
    let asked = serde_json::json!({ "action": "retry", "filter": filter });
    let request = request.header("content-type", "application/json").body(asked.to_string());
    let text = request.send().await.expect("an answer").text().await.expect("a text");
    let bulk: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    bulk["id"].as_str().unwrap_or_else(|| panic!("no operation: {text}")).to_owned()
}

impl Stock {
    /// A job in that state; where there is none, an id that no job has.
    async fn first(&self, state: State) -> JobId {
        let filter = windlass_core::store::Filter { states: vec![state], ..Default::default() };
        let page = self.client.store().list(filter, None, 1, 10_000).await.expect("a list").expect("a page");
        page.items.first().map(|job| job.id).unwrap_or_default()
    }
}

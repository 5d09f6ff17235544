//! Everything there is: each route with its method, who may use it, and what answers.
//!
//! The server is made of this table and of nothing else, so no route can be without a scope. An application may stand
//! beside it, whose routes get theirs in [`beside`].

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use windlass::Client;

use crate::api::{
    audit, backup, bulk, claim, enqueue, errors, events, flows, front, groups, health, info, jobs, keys,
    limits, meta, metrics, monitor, queues, schedules, targets, workers,
};
use crate::app::{App, Options, Root};
use crate::beside;
use crate::gate;
use crate::openapi;
use crate::{traffic, ui};

/// The largest body of a batch: a thousand results of 64 KiB, or a bulk of payloads in base64.
pub(crate) const BATCH_BYTES_MAX: usize = 64 << 20;

/// What a caller must be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Nothing: the front page, the health of the server, and what a browser needs to sign in.
    Open,
    /// To enqueue.
    Produce,
    /// To claim, settle and report.
    Work,
    /// To look.
    Read,
    /// To see what jobs hold: payloads, results, errors, logs. Without it a look shows what stands for them.
    Payloads,
    /// To change jobs, queues, limits and schedules.
    Operate,
    /// To change what the server keeps for itself.
    Admin,
}

impl Scope {
    /// The scope's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Open => "open",
            Scope::Produce => "produce",
            Scope::Work => "work",
            Scope::Read => "read",
            Scope::Payloads => "payloads",
            Scope::Operate => "operate",
            Scope::Admin => "admin",
        }
    }
}

struct Route {
    method: &'static str,
    path: &'static str,
    scope: Scope,
    handler: MethodRouter<Root>,
    /// Whether browsers ask for it: they get a page for an answer, also when something is wrong.
    is_page: bool,
}

macro_rules! routes {
    ($is_page:literal; $($method:ident $path:literal $scope:ident $handler:expr;)*) => {
        vec![$(Route {
            method: stringify!($method),
            path: $path,
            scope: Scope::$scope,
            handler: $method($handler),
            is_page: $is_page,
        },)*]
    };
}

fn all() -> Vec<Route> {
    let mut all = pages();
    all.extend(api());
    all
}

/// The dashboard.
fn pages() -> Vec<Route> {
    routes! {
        true;
        get "/" Open front::front;
        get "/queues" Read ui::queues::page;
        get "/queues/{queue}" Read ui::queue::page;
        post "/queues/{queue}/pause" Operate ui::queue::pause;
        post "/queues/{queue}/resume" Operate ui::queue::resume;
        post "/queues/{queue}/settings" Operate ui::queue::set;
        post "/queues/{queue}/target" Admin ui::queue::set_target;
        post "/queues/{queue}/target/rotate" Admin ui::queue::rotate_target;
        post "/queues/{queue}/target/remove" Admin ui::queue::remove_target;
        post "/queues/{queue}/groups" Operate ui::queue::set_group;
        post "/queues/{queue}/groups/reset" Operate ui::queue::reset_group;
        get "/jobs" Read ui::jobs::page;
        post "/jobs/bulk" Operate ui::bulk::bulk;
        get "/jobs/{id}" Read ui::job::page;
        get "/jobs/{id}/attempts/{attempt}/log" Payloads ui::job::log;
        get "/jobs/{id}/edit" Operate ui::job::form;
        post "/jobs/{id}/edit" Operate ui::job::save;
        post "/jobs/{id}/{act}" Operate ui::bulk::one;
        get "/errors" Read ui::errors::page;
        post "/errors/{fingerprint}/{word}" Operate ui::errors::mark;
        get "/bulk" Read ui::operations::list;
        get "/bulk/new" Read ui::operations::question;
        post "/bulk" Operate ui::operations::begin;
        get "/bulk/{id}" Read ui::operations::page;
        post "/bulk/{id}/{stage}" Operate ui::operations::steer;
        get "/charts" Read ui::charts::page;
        get "/schedules" Read ui::schedules::page;
        get "/new-schedule" Read ui::schedules::blank;
        post "/schedules" Operate ui::schedules::save;
        get "/schedules/{schedule}" Read ui::schedules::one;
        post "/schedules/{schedule}/run" Operate ui::schedules::run;
        post "/schedules/{schedule}/pause" Operate ui::schedules::pause;
        post "/schedules/{schedule}/resume" Operate ui::schedules::resume;
        post "/schedules/{schedule}/delete" Operate ui::schedules::remove;
        get "/limits" Read ui::limits::page;
        post "/limits" Operate ui::limits::set;
        post "/limits/{limit}/remove" Operate ui::limits::remove;
        get "/workers" Read ui::workers::page;
        get "/monitor" Read ui::monitor::page;
        post "/monitor/rules" Operate ui::monitor::set_rule;
        post "/monitor/rules/{rule}/remove" Operate ui::monitor::remove_rule;
        post "/monitor/channels" Admin ui::monitor::set_channel;
        post "/monitor/channels/{channel}/test" Operate ui::monitor::test;
        post "/monitor/channels/{channel}/remove" Admin ui::monitor::remove_channel;
        post "/monitor/incidents/{incident}/acknowledge" Operate ui::monitor::acknowledge;
        post "/monitor/incidents/{incident}/silence" Operate ui::monitor::silence;
        get "/keys" Admin ui::keys::page;
        post "/keys" Admin ui::keys::add;
        post "/keys/{key}/revoke" Admin ui::keys::revoke;
        get "/audit" Admin ui::audit::page;
        get "/live" Read ui::live::live;
        get "/login" Open ui::login::form;
        post "/login" Open ui::login::enter;
        post "/logout" Open ui::login::leave;
    }
}

fn api() -> Vec<Route> {
    routes! {
        false;
        get "/assets/{file}" Open ui::assets::asset;
        get "/healthz" Open health::healthz;
        get "/readyz" Open health::readyz;
        get "/problems/{code}" Open front::problem;
        get "/metrics" Read metrics::metrics;
        get "/openapi.json" Open openapi::openapi;

        post "/v1/jobs" Produce enqueue::any;
        post "/v1/jobs/batch" Produce enqueue::batch;
        post "/v1/queues/{queue}/jobs" Produce enqueue::raw;
        post "/v1/flows" Produce flows::begin;

        post "/v1/claim" Work claim::claim;
        post "/v1/settle" Work claim::settle;
        post "/v1/heartbeat" Work claim::heartbeat;
        post "/v1/report" Work claim::report;
        post "/v1/watch" Work claim::watch;
        post "/v1/jobs/{id}/complete" Work claim::complete;
        post "/v1/jobs/{id}/fail" Work claim::fail;
        post "/v1/jobs/{id}/snooze" Work claim::snooze;
        post "/v1/jobs/{id}/release" Work claim::release;
        post "/v1/jobs/{id}/heartbeat" Work claim::heartbeat_one;
        post "/v1/jobs/{id}/report" Work claim::report_one;
        post "/v1/workers" Work workers::hello;
        delete "/v1/workers/{worker}" Work workers::bye;
        get "/v1/workers" Read workers::list;

        get "/v1/jobs" Read jobs::list;
        post "/v1/jobs/search" Read jobs::search;
        post "/v1/jobs/bodies" Payloads jobs::bodies;
        get "/v1/jobs/{id}" Read jobs::get;
        get "/v1/jobs/{id}/why" Read jobs::why;
        get "/v1/jobs/{id}/flow" Read flows::of;
        get "/v1/jobs/{id}/attempts/{attempt}/log" Payloads jobs::log;
        patch "/v1/jobs/{id}" Operate jobs::edit_one;
        delete "/v1/jobs/{id}" Operate jobs::delete_one;
        post "/v1/jobs/{id}/cancel" Operate jobs::cancel_one;
        post "/v1/jobs/{id}/retry" Operate jobs::retry_one;
        post "/v1/jobs/{id}/run-now" Operate jobs::run_now_one;
        post "/v1/jobs/cancel" Operate jobs::cancel;
        post "/v1/jobs/retry" Operate jobs::retry;
        post "/v1/jobs/run-now" Operate jobs::run_now;
        post "/v1/jobs/delete" Operate jobs::delete;
        post "/v1/jobs/edit" Operate jobs::edit;

        get "/v1/bulk" Read bulk::list;
        post "/v1/bulk" Operate bulk::begin;
        get "/v1/bulk/{id}" Read bulk::get;
        post "/v1/bulk/{id}/pause" Operate bulk::pause;
        post "/v1/bulk/{id}/resume" Operate bulk::resume;
        post "/v1/bulk/{id}/abort" Operate bulk::abort;

        get "/v1/queues" Read queues::list;
        get "/v1/queues/{queue}" Read queues::get;
        get "/v1/queues/{queue}/scale" Read queues::scale;
        get "/v1/queues/{queue}/series" Read queues::series;
        put "/v1/queues/{queue}/settings" Operate queues::set;
        patch "/v1/queues/{queue}/settings" Operate queues::change;
        post "/v1/queues/{queue}/pause" Operate queues::pause;
        post "/v1/queues/{queue}/resume" Operate queues::resume;
        get "/v1/targets" Read targets::list;
        get "/v1/queues/{queue}/target" Read targets::get;
        put "/v1/queues/{queue}/target" Admin targets::set;
        delete "/v1/queues/{queue}/target" Admin targets::remove;
        post "/v1/queues/{queue}/target/rotate" Admin targets::rotate;
        get "/v1/queues/{queue}/groups" Read groups::list;
        put "/v1/queues/{queue}/groups/{group}/settings" Operate groups::set;
        delete "/v1/queues/{queue}/groups/{group}/settings" Operate groups::reset;
        put "/v1/queues/{queue}/ungrouped/settings" Operate groups::set_ungrouped;
        delete "/v1/queues/{queue}/ungrouped/settings" Operate groups::reset_ungrouped;

        get "/v1/limits" Read limits::list;
        put "/v1/limits/{limit}" Operate limits::set;
        delete "/v1/limits/{limit}" Operate limits::remove;

        get "/v1/schedules" Read schedules::list;
        get "/v1/schedules/{schedule}" Read schedules::get;
        put "/v1/schedules/{schedule}" Operate schedules::set;
        delete "/v1/schedules/{schedule}" Operate schedules::remove;

        get "/v1/events" Read events::read;
        get "/v1/readers" Read events::readers;
        put "/v1/readers/{reader}" Admin events::set_reader;
        delete "/v1/readers/{reader}" Admin events::remove_reader;
        get "/v1/errors" Read errors::list;
        post "/v1/errors/{fingerprint}/mute" Operate errors::mute;
        post "/v1/errors/{fingerprint}/resolve" Operate errors::resolve;
        post "/v1/errors/{fingerprint}/reopen" Operate errors::reopen;

        get "/v1/backup" Admin backup::backup;

        get "/v1/monitor/rules" Read monitor::rules;
        get "/v1/monitor/rules/{rule}" Read monitor::rule;
        put "/v1/monitor/rules/{rule}" Operate monitor::set_rule;
        delete "/v1/monitor/rules/{rule}" Operate monitor::remove_rule;
        get "/v1/monitor/channels" Read monitor::channels;
        get "/v1/monitor/channels/{channel}" Read monitor::channel;
        put "/v1/monitor/channels/{channel}" Admin monitor::set_channel;
        delete "/v1/monitor/channels/{channel}" Admin monitor::remove_channel;
        post "/v1/monitor/channels/{channel}/test" Operate monitor::test;
        get "/v1/monitor/incidents" Read monitor::incidents;
        post "/v1/monitor/incidents/{incident}/acknowledge" Operate monitor::acknowledge;
        post "/v1/monitor/incidents/{incident}/silence" Operate monitor::silence;

        get "/v1/info" Read info::info;
        post "/v1/upkeep" Admin info::upkeep;
        get "/v1/keys" Admin keys::list;
        post "/v1/keys" Admin keys::add;
        delete "/v1/keys/{key}" Admin keys::revoke;
        get "/v1/audit" Admin audit::list;
        get "/v1/meta/{key}" Admin meta::get;
        put "/v1/meta/{key}" Admin meta::set;
    }
}

/// Every route: its method, its path, and what a caller must be allowed to do.
pub fn table() -> Vec<(String, &'static str, Scope)> {
    all().into_iter().map(|route| (route.method.to_uppercase(), route.path, route.scope)).collect()
}

/// The whole server as a router, to be made inside of a tokio runtime, for a program that has an axum server of its own. It may be nested below a path; the
/// remote store and the command line reach it there.
///
/// # Panics
/// An application beside it ([`Options::beside`]) has the path or the key of a page of the server or of another one.
pub fn router(client: &Client, options: Options) -> Router {
    let app = App::new(client, options);
    // Outside of a runtime nobody goes on with what an earlier server began, until a request begins something.
    if tokio::runtime::Handle::try_current().is_ok() {
        let drain = app.drain();
        drain.waits_for(crate::bulk::keep(app.downgrade()));
        drain.waits_for(crate::keys::ring::keep(app.downgrade()));
        drain.waits_for(crate::audit::keep(app.downgrade()));
        let push = app.options().push.clone();
        if push.takes() {
            drain.waits_for(crate::push::drive(push, app.downgrade()));
        }
        if app.options().monitors {
            drain.waits_for(crate::monitor::keep(app.downgrade()));
        }
    }
    let mut router = Router::new();
    for route in all() {
        let allowed = (app.clone(), route.scope, route.is_page);
        let mut scoped = route.handler.layer(middleware::from_fn_with_state(allowed, gate::allow));
        if route.is_page {
            scoped = scoped.layer(middleware::from_fn_with_state(app.clone(), ui::page::around));
        }
        let counted = (app.clone(), (route.method, route.path));
        scoped = scoped.layer(middleware::from_fn_with_state(counted, traffic::count));
        router = router.route(route.path, scoped);
    }
    router
        .merge(beside::gated(&app))
        .fallback(ui::page::nowhere)
        .method_not_allowed_fallback(ui::page::not_so)
        .layer(DefaultBodyLimit::max(BATCH_BYTES_MAX))
        .layer(middleware::from_fn_with_state(app.clone(), gate::pass))
        .merge(beside::open(&app))
        .with_state(Root(app))
}

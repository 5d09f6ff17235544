//! Enqueue: a payload as it is, a job, several, or as many lines as there are.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tracing::{Instrument as _, Span};
use windlass::trace;
use windlass_api::page::ItemAnswer;
use windlass_api::payload;
use windlass_api::work::{EnqueuedShape, JobRequest, Results};
use windlass_core::bounds::BATCH_ITEMS_MAX;
use windlass_core::store::{EnqueueStatus, Enqueued, PerItem};
use windlass_core::{JobId, NewJob, QueueName, Rejection};

use super::idempotency::Keyed;
use super::ndjson;
use crate::answer::{Answer, Fault, json, json_with};
use crate::app::App;
use crate::openapi::Listed;
use crate::read::{self, Pairs};

/// `POST /v1/queues/{queue}/jobs`: the body is the payload, the query has the options.
pub(crate) async fn raw(
    State(app): State<App>,
    Path(queue): Path<String>,
    query: Pairs,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let (queue, keyed) = (QueueName::new(queue)?, Keyed::of(&headers)?);
    if is_ndjson(&headers) {
        return Err(Fault::new("unsupported_media_type", "a queue's address takes one payload")
            .hint("send lines of jobs to POST /v1/jobs, each with its queue"));
    }
    let mut request = options(query)?;
    let (payload, encoding) = payload::show(&body);
    if !body.is_empty() {
        request.payload = Some(payload);
        request.payload_encoding = encoding;
    }
    let job = request.job(Some(&queue), keyed.id(&app, 0), app.client().now())?;
    one(&app, &keyed, job).await
}

/// Options as a query spells them; what may be said several times is a list.
fn options(query: Pairs) -> Result<JobRequest<'static>, Fault> {
    let mut fields = Map::new();
    for (name, value) in query.0 {
        let listed = match name.as_str() {
            "tag" | "tags" => Some("tags"),
            "limit" | "limits" => Some("limits"),
            "after" => Some("after"),
            _ => None,
        };
        if let Some(listed) = listed {
            let list = fields.entry(listed).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                list.push(Value::String(value));
            }
            continue;
        }
        if matches!(name.as_str(), "payload" | "payload_encoding" | "queue") {
            return Err(Fault::bad_request(format!(
                "{name} is no parameter here: the body and the address say it"
            )));
        }
        let number = matches!(name.as_str(), "priority" | "max_failures");
        let read =
            if number { value.parse::<i64>().ok().map(Value::from) } else { Some(Value::String(value)) };
        let value = read.ok_or_else(|| Fault::bad_request(format!("{name} is a whole number")))?;
        if fields.insert(name.clone(), value).is_some() {
            return Err(Fault::bad_request(format!("{name} is said twice")));
        }
    }
    serde_json::from_value(Value::Object(fields)).map_err(|error| Fault::bad_request(error.to_string()))
}

fn is_ndjson(headers: &HeaderMap) -> bool {
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = said.split(';').next().unwrap_or_default().trim();
    ["application/x-ndjson", "application/ndjson", "application/jsonl"]
        .iter()
        .any(|name| kind.eq_ignore_ascii_case(name))
}

/// Enqueues one job: 201 when it is new, 200 with the one that was there otherwise. Single jobs that come at the same
/// time share one step of the store.
async fn one(app: &App, keyed: &Keyed, mut job: NewJob) -> Answer {
    let asked = keyed.is_there().then(|| job.clone());
    go_on_with_trace(app, std::slice::from_mut(&mut job));
    let enqueued = match app.client().enqueue_raw(job).await {
        Ok(enqueued) => enqueued,
        Err(windlass::Error::Rejected(rejection)) => return Err(rejection.into()),
        Err(windlass::Error::Store(error)) => return Err(error.into()),
        Err(error) => return Err(Fault::new("internal", error.to_string())),
    };
    if let Some(asked) = asked {
        keyed.confirm(app, &[asked], &vec![Ok(enqueued)]).await?;
    }
    let new = enqueued.status == EnqueueStatus::Created;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = json_with(status, &EnqueuedShape::from(enqueued))?;
    if let Ok(place) = HeaderValue::from_str(&format!("/v1/jobs/{}", enqueued.id)) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// `POST /v1/jobs`: one job, a list of them, or lines of them without end.
pub(crate) async fn any(State(app): State<App>, mut query: Pairs, request: Request) -> Answer {
    let all_or_nothing = query.take_value::<bool>("all_or_nothing")?.unwrap_or(false);
    query.end("all_or_nothing")?;
    let keyed = Keyed::of(request.headers())?;
    if is_ndjson(request.headers()) {
        if all_or_nothing {
            return Err(Fault::bad_request(
                "lines come one after the other, so all_or_nothing is not for them",
            ));
        }
        let body = ndjson::enqueue(app, keyed, request.into_body());
        return Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response());
    }
    let body = whole(request).await?;
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'[') {
        let list: Vec<&RawValue> = serde_json::from_slice(&body)
            .map_err(|error| Fault::new("bad_json", format!("the body is no list of jobs: {error}")))?;
        return several(&app, &keyed, &list, all_or_nothing).await;
    }
    let job: JobRequest<'_> = read::json(&body)?;
    let job = job.job(None, keyed.id(&app, 0), app.client().now())?;
    one(&app, &keyed, job).await
}

async fn whole(request: Request<Body>) -> Result<Bytes, Fault> {
    Bytes::from_request(request, &()).await.map_err(|error| {
        let code = if error.status() == StatusCode::PAYLOAD_TOO_LARGE { "too_large" } else { "bad_request" };
        Fault::new(code, error.body_text())
    })
}

/// Several jobs.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch<'a> {
    /// The jobs.
    #[serde(borrow)]
    #[schemars(with = "Vec<Listed>", length(max = BATCH_ITEMS_MAX))]
    jobs: Vec<&'a RawValue>,
}

/// `POST /v1/jobs/batch`: several in one step of the store, with an answer for each.
pub(crate) async fn batch(
    State(app): State<App>,
    mut query: Pairs,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let all_or_nothing = query.take_value::<bool>("all_or_nothing")?.unwrap_or(false);
    query.end("all_or_nothing")?;
    let batch: Batch<'_> = read::json(&body)?;
    several(&app, &Keyed::of(&headers)?, &batch.jobs, all_or_nothing).await
}

async fn several(app: &App, keyed: &Keyed, jobs: &[&RawValue], all_or_nothing: bool) -> Answer {
    if jobs.len() > BATCH_ITEMS_MAX {
        let why = format!("{} jobs are more than {BATCH_ITEMS_MAX}", jobs.len());
        return Err(Fault::from(Rejection::Invalid { what: "batch", why }).hint(
            "send them as lines (Content-Type: application/x-ndjson), of which there may be any number",
        ));
    }
    // Each by itself, so that one that cannot be read stops no other.
    let place = |(place, job): (usize, &&RawValue)| item(app, job.get().as_bytes(), keyed.id(app, place));
    let read: Vec<Result<NewJob, Rejection>> = jobs.iter().enumerate().map(place).collect();
    let asked: Vec<NewJob> =
        if keyed.is_there() { read.iter().flatten().cloned().collect() } else { Vec::new() };
    keyed.expect(app, &asked).await?;
    let taken: Vec<bool> = read.iter().map(Result::is_ok).collect();
    let answers = enqueue(app, read, all_or_nothing).await?;
    let told = answers.iter().zip(taken).filter(|(_, taken)| *taken).map(|(answer, _)| answer.clone());
    keyed.confirm(app, &asked, &told.collect()).await?;
    let results = answers.into_iter().map(|answer| ItemAnswer(answer.map(EnqueuedShape::from))).collect();
    json(&Results { results })
}

/// Enqueues those that could be read, and gives an answer for each.
pub(super) async fn enqueue(
    app: &App,
    read: Vec<Result<NewJob, Rejection>>,
    all_or_nothing: bool,
) -> Result<PerItem<Enqueued>, Fault> {
    let mut answers: PerItem<Enqueued> = Vec::with_capacity(read.len());
    let mut jobs = Vec::with_capacity(read.len());
    let mut places = Vec::with_capacity(read.len());
    for (place, job) in read.into_iter().enumerate() {
        match job {
            Ok(job) => {
                jobs.push(job);
                places.push(place);
                // Overwritten by the store's answer below.
                answers.push(Err(Rejection::BatchRefused));
            }
            Err(rejection) => answers.push(Err(rejection)),
        }
    }
    if all_or_nothing && jobs.len() < answers.len() {
        return Ok(answers);
    }
    if !jobs.is_empty() {
        go_on_with_trace(app, &mut jobs);
        let span = trace::send(&mut jobs);
        let done = app.store().enqueue(jobs, all_or_nothing, None).instrument(span.clone()).await;
        let done = done.inspect_err(|error| trace::failed(&span, "store", &error.to_string()))?;
        for (place, answer) in places.into_iter().zip(done) {
            answers[place] = answer;
        }
    }
    Ok(answers)
}

/// Jobs that name no trace of their own belong to that of their request, where this server does not trace it itself.
fn go_on_with_trace(app: &App, jobs: &mut [NewJob]) {
    if let Some(parent) = &app.caller().trace
        && trace::context(&Span::current()).is_none()
    {
        jobs.iter_mut().filter(|job| job.trace.is_none()).for_each(|job| job.trace = Some(parent.clone()));
    }
}

/// One job of several, as it stands in a body.
pub(super) fn item(app: &App, text: &[u8], id: JobId) -> Result<NewJob, Rejection> {
    let invalid = |why: String| Rejection::Invalid { what: "batch", why };
    if text.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(invalid("a job is a JSON object".to_owned()));
    }
    let request: JobRequest<'_> = serde_json::from_slice(text).map_err(|error| {
        let why = error.to_string();
        let why = why.split(" at line ").next().unwrap_or(&why).to_owned();
        invalid(format!("this is no job: {why} (column {})", error.column()))
    })?;
    request.job(None, id, app.client().now())
}

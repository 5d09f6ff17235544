//! What one route takes and answers, as the document says it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::{Map, Value, json};
use windlass_api::idempotency::IdempotencyKey;
use windlass_api::problem::{MEDIA_TYPE, Problem, codes};

use super::schemas::{Make, Schemas, of};
use crate::routes::{BATCH_BYTES_MAX, Scope};

/// Lines of JSON.
pub(super) const NDJSON: &str = "application/x-ndjson";

/// One route.
pub(crate) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    id: &'static str,
    summary: &'static str,
    detail: Option<&'static str>,
    parameters: Vec<Parameter>,
    body: Vec<Media>,
    body_may_be_empty: bool,
    answers: Vec<(u16, &'static str, Option<Media>)>,
    codes: Vec<&'static str>,
    tag: &'static str,
}

struct Parameter {
    place: &'static str,
    name: &'static str,
    about: &'static str,
    schema: Make,
    repeated: bool,
}

struct Media {
    kind: &'static str,
    /// None of bytes that are not JSON.
    schema: Option<Make>,
    example: Option<Value>,
}

macro_rules! methods {
    ($($method:ident)*) => {$(
        pub(super) fn $method(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
            Operation::new(stringify!($method), path, id, summary)
        }
    )*};
}
methods! { get post put patch delete }

impl Operation {
    fn new(method: &'static str, path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self {
            method,
            path,
            id,
            summary,
            detail: None,
            parameters: Vec::new(),
            body: Vec::new(),
            body_may_be_empty: false,
            answers: Vec::new(),
            codes: Vec::new(),
            tag: "",
        }
    }

    /// The same under that noun.
    pub(super) fn under(self, tag: &'static str) -> Self {
        Self { tag, ..self }
    }

    /// More than the summary says.
    pub(super) fn detail(mut self, detail: &'static str) -> Self {
        self.detail = Some(detail);
        self
    }

    /// A parameter of the query.
    pub(super) fn query<T: JsonSchema>(self, name: &'static str, about: &'static str) -> Self {
        self.query_of(name, about, of::<T>)
    }

    /// A parameter of the query with that schema.
    pub(super) fn query_of(mut self, name: &'static str, about: &'static str, schema: Make) -> Self {
        self.parameters.push(Parameter { place: "query", name, about, schema, repeated: false });
        self
    }

    /// A parameter of the query that may be said several times.
    pub(super) fn query_list<T: JsonSchema>(mut self, name: &'static str, about: &'static str) -> Self {
        self.parameters.push(Parameter { place: "query", name, about, schema: of::<T>, repeated: true });
        self
    }

    /// A header.
    pub(super) fn header<T: JsonSchema>(mut self, name: &'static str, about: &'static str) -> Self {
        self.parameters.push(Parameter { place: "header", name, about, schema: of::<T>, repeated: false });
        self
    }

    /// A request that may have an idempotency key.
    pub(super) fn keyed(self) -> Self {
        self.header::<IdempotencyKey>(
            "Idempotency-Key",
            "Names the request: sent again with the same key it is done once, at every server of the store.",
        )
        .refuses(&["idempotency_key_reused"])
    }

    /// A body of JSON.
    pub(super) fn takes<T: JsonSchema>(self, example: Value) -> Self {
        self.takes_as("application/json", of::<T>, example)
    }

    /// A body of JSON that may be left out.
    pub(super) fn may_take<T: JsonSchema>(self, example: Value) -> Self {
        self.takes::<T>(example).optional_body()
    }

    /// A body of another type.
    pub(super) fn takes_as(mut self, kind: &'static str, schema: Make, example: Value) -> Self {
        self.body.push(Media { kind, schema: Some(schema), example: Some(example) });
        self
    }

    /// A body of lines, each of that type. Without an example: one line is no example of lines, and several are no JSON.
    pub(super) fn takes_lines<T: JsonSchema>(mut self) -> Self {
        self.body.push(Media { kind: NDJSON, schema: Some(of::<T>), example: None });
        self
    }

    /// A body may be left out.
    pub(super) fn optional_body(mut self) -> Self {
        self.body_may_be_empty = true;
        self
    }

    /// A body of any bytes.
    pub(super) fn takes_bytes(mut self, kind: &'static str) -> Self {
        self.body.push(Media { kind, schema: None, example: None });
        self
    }

    /// An answer of JSON.
    pub(super) fn answers<T: JsonSchema>(self, status: u16, about: &'static str) -> Self {
        self.answers_as(status, about, "application/json", Some(of::<T>))
    }

    /// An answer of another type; one status may have several.
    pub(super) fn answers_as(
        mut self,
        status: u16,
        about: &'static str,
        kind: &'static str,
        schema: Option<Make>,
    ) -> Self {
        self.answers.push((status, about, Some(Media { kind, schema, example: None })));
        self
    }

    /// 204: done, and no more to say.
    pub(super) fn done(mut self) -> Self {
        self.answers.push((204, "Done.", None));
        self
    }

    /// The codes of the problems that this route has of its own; those that every route may have go without saying.
    pub(super) fn refuses(mut self, codes: &[&'static str]) -> Self {
        self.codes.extend(codes);
        self
    }

    /// Its part of the document.
    pub(super) fn written(&self, scope: Scope, schemas: &mut Schemas) -> Value {
        let mut written = json!({
            "operationId": self.id,
            "summary": self.summary,
            "tags": [self.tag],
            "x-windlass-scope": scope.as_str(),
            "responses": self.responses(scope, schemas),
        });
        let fields = [
            ("description", self.detail.map(Value::from)),
            ("parameters", self.parameters(schemas)),
            ("requestBody", self.request(schemas)),
            // A server without a token asks nobody, so no security is also enough.
            (
                "security",
                Some(if scope == Scope::Open {
                    json!([])
                } else {
                    json!([{ "bearer": [scope.as_str()] }, {}])
                }),
            ),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                written[name] = value;
            }
        }
        written
    }

    fn parameters(&self, schemas: &mut Schemas) -> Option<Value> {
        let mut all: Vec<Value> = Vec::new();
        for name in self.path.split(['{', '}']).skip(1).step_by(2) {
            let (about, make) = super::operations::path_parameter(self.path, name);
            all.push(json!({
                "name": name, "in": "path", "required": true, "description": about, "schema": schemas.read(make),
            }));
        }
        for parameter in &self.parameters {
            let mut schema = schemas.read(parameter.schema);
            if parameter.repeated {
                schema = json!({ "type": "array", "items": schema });
            }
            all.push(json!({
                "name": parameter.name, "in": parameter.place, "description": parameter.about, "schema": schema,
            }));
        }
        (!all.is_empty()).then_some(Value::Array(all))
    }

    fn request(&self, schemas: &mut Schemas) -> Option<Value> {
        let mut content = Map::new();
        for media in &self.body {
            let mut written = json!({});
            if let Some(make) = media.schema {
                written["schema"] = schemas.read(make);
            }
            if let Some(example) = &media.example {
                written["example"] = example.clone();
            }
            content.insert(media.kind.into(), written);
        }
        if content.is_empty() {
            return None;
        }
        let lines = if content.contains_key(NDJSON) { " Of lines there may be any number." } else { "" };
        let bound = format!("At most {} MiB.{lines}", BATCH_BYTES_MAX >> 20);
        Some(json!({ "required": !self.body_may_be_empty, "description": bound, "content": content }))
    }

    fn responses(&self, scope: Scope, schemas: &mut Schemas) -> Value {
        let mut all = Map::new();
        for (status, about, media) in &self.answers {
            let place = all.entry(status.to_string()).or_insert_with(|| json!({ "description": about }));
            if let Some(media) = media {
                place["content"][media.kind] = match media.schema {
                    Some(make) => json!({ "schema": schemas.written(make) }),
                    None => json!({ "schema": { "type": "string" } }),
                };
            }
        }
        let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
        for (code, status, _) in codes().filter(|(code, ..)| self.has(code, scope)) {
            by_status.entry(status).or_default().push(code);
        }
        for (status, codes) in by_status {
            all.insert(status.to_string(), problem(&codes, schemas));
        }
        Value::Object(all)
    }

    /// Whether this route may answer with that problem.
    fn has(&self, code: &str, scope: Scope) -> bool {
        let changes = self.method != "get";
        let reads = !self.body.is_empty();
        match code {
            "host_not_allowed" | "internal" | "store" | "too_busy" | "shutting_down" => true,
            "unauthorized" | "too_many_tries" | "forbidden" => scope != Scope::Open,
            "cross_site" => changes,
            "bad_json" | "too_large" => reads || self.codes.contains(&code),
            "bad_request" => reads || self.path.contains('{') || !self.parameters.is_empty(),
            "invalid" => self.path.contains('{') || self.codes.contains(&code),
            other => self.codes.contains(&other),
        }
    }
}

/// An answer with a problem of one of these codes. Routes that have the same ones share it.
fn problem(own: &[&str], schemas: &mut Schemas) -> Value {
    let name = own.join(".");
    if !schemas.responses.contains_key(&name) {
        let titles = codes().filter(|(code, ..)| own.contains(code));
        let about: Vec<String> = titles.map(|(code, _, title)| format!("`{code}`: {title}.")).collect();
        let problem = schemas.written(of::<Problem>);
        let response = json!({
            "description": about.join(" "),
            "content": { MEDIA_TYPE: { "schema": {
                "allOf": [problem, { "type": "object", "properties": { "code": { "enum": own } } }],
            } } },
        });
        schemas.responses.insert(name.clone(), response);
    }
    json!({ "$ref": format!("#/components/responses/{name}") })
}

//! What is watched for, who is told, and what was found.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};
use windlass_api::monitor::{Channel, ChannelSet, ChannelShape, Incident, Quiet, Rule, RuleShape, Tested};

use super::super::operation::{Operation, delete, get, post, put};
use crate::answer::Items;
use crate::api::monitor::{OF_CHANNELS, OF_RULES};

/// A rule, also as it was read.
fn rule(schemas: &mut SchemaGenerator) -> Schema {
    as_read(Rule::json_schema(schemas), &OF_RULES)
}

/// A channel, also as it was read.
fn channel(schemas: &mut SchemaGenerator) -> Schema {
    as_read(Channel::json_schema(schemas), &OF_CHANNELS)
}

/// The schema with the fields that only answers have: they may stand in what is sent back, and mean nothing there.
fn as_read(schema: Schema, fields: &[&str]) -> Schema {
    let mut schema = schema.to_value();
    let beside = |object: &mut Value| {
        if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
            for field in fields.iter().chain(&["name"]) {
                properties.insert((*field).to_owned(), true.into());
            }
        }
    };
    beside(&mut schema);
    schema.get_mut("oneOf").and_then(Value::as_array_mut).into_iter().flatten().for_each(beside);
    Schema::try_from(schema).unwrap_or_default()
}

pub(super) fn operations() -> Vec<Operation> {
    let quiet = |path, name, summary| {
        post(path, name, summary)
            .may_take::<Quiet>(json!({ "for": "2h" }))
            .answers::<Incident>(200, "The incident.")
            .refuses(&["not_found"])
    };
    vec![
        get("/v1/monitor/rules", "listRules", "All rules, those that every server has among them")
            .answers::<Items<RuleShape>>(200, "The rules."),
        get("/v1/monitor/rules/{rule}", "getRule", "One rule")
            .answers::<RuleShape>(200, "The rule.")
            .refuses(&["not_found"]),
        put("/v1/monitor/rules/{rule}", "setRule", "Sets a rule")
            .detail("What was read of one can be changed and sent back.")
            .takes_as(
                "application/json",
                rule,
                json!({ "when": "dead", "queue": "email-*", "above": 100, "for": "5m" }),
            )
            .answers::<RuleShape>(200, "The rule."),
        delete(
            "/v1/monitor/rules/{rule}",
            "removeRule",
            "Removes a rule; one that every server has is in force again",
        )
        .done()
        .refuses(&["not_found"]),
        get("/v1/monitor/channels", "listChannels", "Where notices go, without secrets, and how that does")
            .answers::<Items<ChannelShape>>(200, "The channels."),
        get("/v1/monitor/channels/{channel}", "getChannel", "One channel")
            .answers::<ChannelShape>(200, "The channel.")
            .refuses(&["not_found"]),
        put(
            "/v1/monitor/channels/{channel}",
            "setChannel",
            "Sets a channel; a secret that is not said stays, or is made",
        )
        .detail("What was read of one can be changed and sent back.")
        .takes_as(
            "application/json",
            channel,
            json!({ "type": "webhook", "url": "https://example.com/hook" }),
        )
        .answers::<ChannelSet>(
            200,
            "Its name, and the secret if one was made: it is told in this answer and nowhere else.",
        ),
        delete("/v1/monitor/channels/{channel}", "removeChannel", "Removes a channel")
            .done()
            .refuses(&["not_found"]),
        post("/v1/monitor/channels/{channel}/test", "testChannel", "Sends a notice to try a channel out")
            .answers::<Tested>(200, "It arrived.")
            .refuses(&["not_found", "not_delivered"]),
        get("/v1/monitor/incidents", "listIncidents", "What fires, what is pending, and what is over")
            .answers::<Items<Incident>>(200, "The incidents, the newest of each stage first."),
        quiet(
            "/v1/monitor/incidents/{incident}/acknowledge",
            "acknowledgeIncident",
            "Somebody looks into it: no reminders come",
        ),
        quiet(
            "/v1/monitor/incidents/{incident}/silence",
            "silenceIncident",
            "Nothing is told of that rule and subject for a while",
        ),
    ]
}

//! What derive(Job) makes of a type.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use windlass::core::job::{OnConflict, UniqueScope};
use windlass::core::retry::{Jitter, RetryPolicy};
use windlass::{Draft, Job, Time};

#[derive(Serialize, Deserialize, windlass::Job)]
struct HTTPCall;

#[derive(Serialize, Deserialize, windlass::Job)]
#[job(
    kind = "email.send",
    queue = "email",
    alias = "send_email",
    alias = "mail",
    max_failures = 8,
    retry(exponential(base = "5s", cap = "30min")),
    timeout = "1m30s",
    priority = -3,
    group = "campaign",
    unique(by("user", "template"), for = "1h", on_conflict = "replace"),
    tags("bulk", "user:{user}"),
    limits("smtp:{domain}", "gpu" = 2),
    expires_in = "2h"
)]
struct SendEmail {
    user: u64,
    template: String,
    campaign: u32,
    domain: String,
}

#[derive(Serialize, Deserialize, windlass::Job)]
#[job(max_attempts = 2, unique(by = "name", scope = "until_start"), delay = "5s")]
struct Greet {
    name: String,
}

#[derive(Serialize, Deserialize, windlass::Job)]
#[job(retry(never))]
struct Once<T> {
    value: T,
}

#[test]
fn a_type_without_options_is_a_job_of_its_own_name_in_the_default_queue() {
    assert_eq!((HTTPCall::KIND, HTTPCall::QUEUE), ("http_call", "default"));
    assert_eq!(Once::<u8>::KIND, "once");
    let never = Once { value: 1u8 }.options().retry.expect("its own policy");
    assert_eq!(never.max_failures(), 1);
}

#[test]
fn every_option_reaches_the_job() {
    let now = Time(1_767_225_600_000);
    let email = SendEmail { user: 7, template: "a/b".into(), campaign: 12, domain: "x.org".into() };
    let job = Draft::of(&email).into_new_job(now).expect("a good job");
    assert_eq!(SendEmail::ALIASES, ["send_email", "mail"]);
    assert_eq!((job.queue.as_str(), job.kind.as_str(), job.priority), ("email", "email.send", -3));
    assert_eq!(job.group.expect("its campaign").as_str(), "12");
    assert_eq!(job.timeout_ms, Some(90_000));
    assert_eq!(job.expires_at, Some(now.plus_ms(7_200_000)));
    let retry =
        RetryPolicy::Exponential { base_ms: 5_000, cap_ms: 1_800_000, max_failures: 8, jitter: Jitter::Full };
    assert_eq!(job.retry, Some(retry));
    let unique = job.unique.expect("a key");
    assert_eq!(unique.key.as_str(), "email.send:7/\"a/b\"");
    assert_eq!(unique.scope, UniqueScope::For { ttl_ms: 3_600_000 });
    assert_eq!(unique.on_conflict, OnConflict::Replace);
    let tags: Vec<_> = job.tags.iter().map(|tag| tag.as_str()).collect();
    assert_eq!(tags, ["bulk", "user:7"]);
    let limits: Vec<_> = job.limits.iter().map(|limit| (limit.name.as_str(), limit.cost)).collect();
    assert_eq!(limits, [("smtp:x.org", 1), ("gpu", 2)]);
    assert_eq!(job.id.time(), now);
}

#[test]
fn a_key_of_one_text_field_is_the_text_behind_the_kind() {
    let draft = Draft::of(&Greet { name: "Öl".into() });
    let job = draft.delay(Duration::from_secs(1)).into_new_job(Time(0)).expect("a good job");
    let unique = job.unique.expect("a key");
    assert_eq!((unique.key.as_str(), unique.scope), ("greet:Öl", UniqueScope::UntilStart));
    assert_eq!(job.retry.expect("a policy").max_failures(), 2);
    assert_eq!(job.delay_ms, Some(1_000), "the enqueue's word wins over the type's");
}

#[test]
fn a_wrong_option_is_told_when_the_job_is_sent_and_the_first_one_wins() {
    let draft = || Draft::raw("queue", "kind", *b"{}");
    let told = |draft: Draft| draft.into_new_job(Time(0)).expect_err("refused").to_string();
    assert!(told(draft().queue("a b").group("")).contains("queue name"));
    assert!(told(draft().group("")).contains("group key"));
    assert!(told(draft().unique("x".repeat(300))).contains("unique key"));
    assert!(told(draft().unique_scope(UniqueScope::UntilStart)).contains("unique(…)"));
    assert!(told(draft().limit("", 1)).contains("limit name"));
    assert!(told(Draft::raw("queue", "", *b"{}")).contains("kind"));
}

//! `windlass enqueue`, one job at a time.

use crate::redis;
use crate::shell::{Shell, keys, sorted, text};

#[test]
fn an_enqueued_job_has_what_the_options_say() {
    let shell = Shell::new();
    let id = shell.enqueue(&[
        "email",
        "send_email",
        r#"{"to": "a@b.c", "n": 12345678901234567890}"#,
        "--group",
        "campaign 7",
        "--priority",
        "-3",
        "--delay",
        "10m",
        "--unique",
        "k",
        "--unique-for",
        "1h",
        "--limit",
        "gpu=2",
        "--limit",
        "smtp",
        "--tag",
        "a",
        "--tag",
        "b",
        "--expires-in",
        "1d",
        "--max-failures",
        "3",
        "--timeout",
        "30s",
    ]);
    let job = shell.object(&["jobs", "get", &id]);
    assert_eq!(
        keys(&job),
        sorted(
            "id state queue kind group priority tags attempt failures losses snoozes enqueued_at since last_error \
             fingerprint cause payload payload_encoding result checkpoint progress attempts unique limits parents children \
             retry expires_at timeout_ms trace cancel_requested worker deadline"
        )
    );
    assert_eq!(
        (&job["state"], &job["queue"], &job["kind"]),
        (&"scheduled".into(), &"email".into(), &"send_email".into())
    );
    assert_eq!((&job["group"], &job["priority"]), (&"campaign 7".into(), &(-3).into()));
    assert_eq!(job["payload"]["to"], "a@b.c");
    assert_eq!(job["tags"], serde_json::json!(["a", "b"]));
    assert_eq!(
        job["limits"],
        serde_json::json!([{ "name": "gpu", "cost": 2 }, { "name": "smtp", "cost": 1 }])
    );
    assert_eq!(job["unique"]["key"], "k");
    assert_eq!(job["unique"]["scope"]["for"]["ttl_ms"], 3_600_000);
    assert_eq!(job["retry"]["exponential"]["max_failures"], 3);
    assert_eq!(job["timeout_ms"], 30_000);
    assert!(text(&job["expires_at"]) > text(&job["since"]), "a day is later than ten minutes");
    let raw = shell.ok(&["jobs", "get", &id, "--json"]);
    assert!(raw.contains("12345678901234567890"), "digits are kept: {raw}");
}

#[test]
fn a_payload_comes_from_the_argument_a_file_or_stdin() {
    let shell = Shell::new();
    std::fs::write(shell.path("mail.json"), "{ \"from\": \"file\" }\n").expect("a file");
    let id = shell.enqueue(&["q", "k", "@mail.json"]);
    let told = shell.ok(&["jobs", "get", &id]);
    assert!(told.contains(r#"{"from":"file"}"#), "{told}");
    let ran = shell.feed(&["enqueue", "q", "k", "-", "--plain"], b"[1,2]");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let id = ran.out.split('\t').next().expect("an id").to_owned();
    assert_eq!(shell.object(&["jobs", "get", &id])["payload"], serde_json::json!([1, 2]));
    let id = shell.enqueue(&["q", "k"]);
    assert_eq!(shell.object(&["jobs", "get", &id])["payload"], serde_json::json!({}));
    let id = shell.enqueue(&["q", "k", "plain text", "--raw"]);
    let job = shell.object(&["jobs", "get", &id]);
    assert_eq!((&job["payload"], &job["payload_encoding"]), (&"plain text".into(), &"text".into()));
}

#[test]
fn the_exact_bytes_of_a_payload_stand_beside_their_encoding() {
    let shell = Shell::new();
    for (bytes, shown, encoding, told) in [
        (&b"{\"n\": 1}"[..], serde_json::json!({ "n": 1 }), "json", r#"{"n":1}"#),
        (b"{ \"n\": 1 }\n", serde_json::json!("{ \"n\": 1 }\n"), "text", r#"{"n":1}"#),
        (b"plain", serde_json::json!("plain"), "text", "plain"),
        (&[0xff, 0x00], serde_json::json!("/wA="), "base64", "base64:/wA="),
    ] {
        let ran = shell.feed(&["enqueue", "q", "k", "-", "--raw", "--plain"], bytes);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let id = ran.out.split('\t').next().expect("an id");
        let job = shell.object(&["jobs", "get", id]);
        assert_eq!((&job["payload"], &job["payload_encoding"]), (&shown, &encoding.into()));
        let record = shell.ok(&["jobs", "get", id]);
        assert!(record.contains(told), "{record}");
    }
}

#[test]
fn nonsense_is_refused_with_code_2_and_makes_no_store() {
    let shell = Shell::new();
    for (arguments, says) in [
        (&["enqueue"][..], "required"),
        (&["enqueue", "q"], "required"),
        (&["enqueue", "a b", "k"], "queue name"),
        (&["enqueue", "q", "k", "{to:1}"], "not JSON"),
        (&["enqueue", "q", "k", "@/no/such/file"], "/no/such/file"),
        (&["enqueue", "q", "k", "--delay", "soon"], "1h30m"),
        (&["enqueue", "q", "k", "--delay", "1m", "--run-at", "2026-01-01T00:00:00Z"], "cannot be used"),
        (&["enqueue", "q", "k", "--run-at", "tomorrow"], "RFC 3339"),
        (&["enqueue", "q", "k", "--unique-for", "1h"], "--unique"),
        (&["enqueue", "q", "k", "--unique", "k", "--on-conflict", "explode"], "existing, replace"),
        (&["enqueue", "q", "k", "--limit", "gpu=many"], "whole number"),
        (&["enqueue", "q", "k", "--after", "7"], "job id"),
        (&["enqueue", "q", "k", "--retry", "often"], "exponential("),
        (&["enqueue", "q", "k", "--id", "7"], "UUID"),
        (&["enqueue", "q", "k", "--prioritty", "7"], "--priority"),
        (&["enque", "q", "k"], "enqueue"),
    ] {
        let ran = shell.run(arguments);
        let code = if says.starts_with('/') { 1 } else { 2 };
        assert_eq!(ran.code, code, "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains(says), "{arguments:?}: {}", ran.err);
        assert_eq!(ran.out, "", "{arguments:?}");
    }
    assert!(!shell.path("data").exists(), "nothing was opened");
}

#[test]
fn what_only_the_store_can_refuse_has_its_own_code() {
    let shell = Shell::new();
    let ran = shell.run(&["enqueue", "q", "k", "--priority", "10"]);
    assert_eq!((ran.code, ran.err.contains("-9 and 9")), (2, true), "{}", ran.err);
    let holder = shell.enqueue(&["q", "k", "--unique", "one"]);
    let again = shell.object(&["enqueue", "q", "k", "--unique", "one"]);
    assert_eq!((&again["id"], &again["status"]), (&holder.as_str().into(), &"existing".into()));
    let ran = shell.run(&["enqueue", "q", "k", "--unique", "one", "--on-conflict", "refuse", "--json"]);
    assert_eq!(ran.code, 4);
    assert_eq!(ran.error()["code"], "unique_conflict");
    assert!(text(&ran.error()["next"]).contains(&holder), "{}", ran.err);
    let ran = shell.run(&["enqueue", "q", "k", "--after", "01a1fdd3-6d88-7000-946e-3dfc8d3f4511"]);
    assert_eq!(ran.code, 4, "an unknown parent: {}", ran.err);
    let id = shell.enqueue(&["q", "k"]);
    let known = shell.object(&["enqueue", "q", "k", "--id", &id]);
    assert_eq!((&known["id"], &known["status"]), (&id.as_str().into(), &"known".into()));
}

#[test]
fn a_proposed_command_can_be_given_as_it_is_told_or_says_what_to_add() {
    let shell = Shell::new();
    let (server, address) = redis::Server::on_loopback(&["--appendonly", "no", "--requirepass", "secret"]);
    let secret = format!("redis://:secret@{address}?namespace=n");
    let put = |more: &[&str]| {
        let ran = shell.run(&[&["enqueue", "q", "k"], more].concat());
        assert_eq!(ran.code, 0, "{}", ran.err);
        let id = ran.out.split(' ').nth(1).expect("an id").to_owned();
        (id, ran.err)
    };
    let (id, told) = put(&[]);
    assert_eq!(told, format!("see it: windlass jobs get {id}\n"), "the environment names the store");
    let other = format!("file:{}", shell.path("it's other").display());
    let (id, told) = put(&["--store", &other]);
    let command = told.trim().strip_prefix("see it: windlass ").expect("a command");
    let script = format!("{} {command}", env!("CARGO_BIN_EXE_windlass"));
    let seen = std::process::Command::new("sh").args(["-c", &script]).output().expect("a shell");
    assert!(seen.status.success() && String::from_utf8_lossy(&seen.stdout).contains(&id), "{script}");
    let (id, told) = put(&["--store", &secret]);
    assert_eq!(told, format!("see it: windlass jobs get {id} (with the same --store)\n"));

    // What is proposed because something failed is no different.
    let nobody = "01a1fdd3-6d88-7000-946e-3dfc8d3f4511";
    for (store, says) in
        [(&other, r"windlass jobs ls --store 'file:"), (&secret, "jobs ls (with the same --store)")]
    {
        let told = shell.run(&["jobs", "get", nobody, "--store", store]);
        assert!(told.code == 3 && told.err.contains(says) && !told.err.contains("secret"), "{}", told.err);
    }
    let told = shell.run(&["queues", "pause", "q", "--store", &secret]);
    assert!(told.err.contains("windlass queues resume q (with the same --store)"), "{}", told.err);
    drop(server);
}

#[test]
fn a_child_waits_for_its_parent() {
    let shell = Shell::new();
    let parent = shell.enqueue(&["q", "k"]);
    let child = shell.enqueue(&["q", "k", "--after", &format!("{parent}=always")]);
    let job = shell.object(&["jobs", "get", &child]);
    assert_eq!((&job["state"], &job["parents"][0]["on"]), (&"blocked".into(), &"always".into()));
    assert_eq!(shell.object(&["jobs", "why", &child])["reason"], "waiting_on_parents");
    shell.ok(&["jobs", "cancel", &parent]);
    assert_eq!(shell.object(&["jobs", "get", &child])["state"], "ready");
}

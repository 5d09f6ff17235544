//! `windlass jobs`: lists, filters, and changes by id and by filter.

use crate::shell::{Shell, keys, lines, sorted, text};

const UNKNOWN: &str = "01a1fdd3-6d88-7000-946e-3dfc8d3f4511";

#[test]
fn a_list_is_narrowed_by_its_filter() {
    let shell = Shell::new();
    let a = shell.enqueue(&["email", "send", r#"{"to":"ann"}"#, "--group", "c7", "--tag", "vip"]);
    let b = shell.enqueue(&["email", "send", r#"{"to":"bob"}"#, "--delay", "1h"]);
    let c = shell.enqueue(&["sms", "text"]);
    let ids = |arguments: &[&str]| {
        let mut ids: Vec<String> =
            shell.json(&[&["jobs", "ls"], arguments].concat()).iter().map(|job| text(&job["id"])).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(&[]), [a.clone(), b.clone(), c.clone()]);
    assert_eq!(ids(&["--queue", "email"]), [a.clone(), b.clone()]);
    assert_eq!(ids(&["--state", "scheduled"]), std::slice::from_ref(&b));
    assert_eq!(ids(&["--state", "scheduled,ready", "--queue", "sms"]), std::slice::from_ref(&c));
    assert_eq!(ids(&["--group", "c7"]), std::slice::from_ref(&a));
    assert_eq!(ids(&["--kind", "text"]), std::slice::from_ref(&c));
    assert_eq!(ids(&["--tag", "vip"]), std::slice::from_ref(&a));
    assert_eq!(ids(&["--payload-contains", "bob"]), std::slice::from_ref(&b));
    assert_eq!(ids(&["--after", "1h"]).len(), 3);
    assert_eq!(ids(&["--before", "1h"]).len(), 0);
    let job = shell.object(&["jobs", "ls", "--group", "c7"]);
    let fields = "id state queue kind group priority tags attempt failures losses snoozes enqueued_at since last_error fingerprint cause";
    assert_eq!(keys(&job), sorted(fields));
    let table = shell.ok(&["jobs", "ls"]);
    assert!(table.starts_with("ID ") && table.lines().count() == 4, "{table}");
    let plain = shell.ok(&["jobs", "ls", "--plain"]);
    assert!(plain.lines().all(|line| line.split('\t').count() == 9), "{plain}");
}

#[test]
fn a_list_goes_on_where_it_ended() {
    let shell = Shell::new();
    for _ in 0..5 {
        shell.enqueue(&["q", "k"]);
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let mut arguments = vec!["jobs", "ls", "--limit", "2", "--json"];
        if !cursor.is_empty() {
            arguments.extend(["--cursor", &cursor]);
        }
        let ran = shell.run(&arguments);
        assert_eq!(ran.code, 0, "{}", ran.err);
        seen.extend(lines(&ran.out).iter().map(|job| text(&job["id"])));
        match lines(&ran.err).first() {
            Some(more) => cursor = text(&more["next"]),
            None => break,
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 5);
    let ran = shell.run(&["jobs", "ls", "--cursor", "nonsense"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
}

#[test]
fn a_job_that_is_not_there_is_code_3_for_every_verb() {
    let shell = Shell::new();
    shell.enqueue(&["q", "k"]);
    for verb in ["get", "why", "logs", "retry", "cancel", "run-now", "delete"] {
        let ran = shell.run(&["jobs", verb, UNKNOWN, "--json"]);
        assert_eq!(ran.code, 3, "{verb}: {}", ran.err);
        assert_eq!(ran.error()["code"], "not_found", "{verb}");
    }
    assert_eq!(shell.run(&["jobs", "edit", UNKNOWN, "--priority", "1"]).code, 3);
    assert_eq!(shell.run(&["jobs", "get", "nonsense"]).code, 2);
}

#[test]
fn a_dead_job_is_found_explained_retried_and_deleted() {
    let shell = Shell::new();
    let id = shell.enqueue(&["email", "send", "--max-failures", "1"]);
    shell.fail_all("email", "connection refused by 10.0.0.1");
    let job = shell.object(&["jobs", "get", &id]);
    assert_eq!(
        (&job["state"], &job["attempts"][0]["error"]["message"]),
        (&"dead".into(), &"connection refused by 10.0.0.1".into())
    );
    assert_eq!(shell.json(&["jobs", "ls", "--error-contains", "refused"]).len(), 1);
    let mode = shell.object(&["errors", "--queue", "email"]);
    assert_eq!(keys(&mode), sorted("fingerprint title queue kind dead failures first_seen last_seen sample"));
    assert_eq!((&mode["dead"], &mode["sample"]), (&1.into(), &id.as_str().into()));
    assert!(shell.ok(&["errors"]).contains("FINGERPRINT"));
    let fingerprint = text(&mode["fingerprint"]);

    let retried = shell.object(&["jobs", "retry", "--fingerprint", &fingerprint, "--yes"]);
    assert_eq!((&retried["id"], &retried["outcome"]), (&id.as_str().into(), &"retried".into()));
    let ran = shell.run(&["jobs", "retry", &id, "--json"]);
    assert_eq!(ran.code, 4, "a ready job cannot be retried: {}", ran.out);
    assert_eq!(ran.error()["code"], "wrong_state");
    shell.fail_all("email", "again");
    assert_eq!(shell.object(&["jobs", "delete", &id])["outcome"], "deleted");
    assert_eq!(shell.run(&["jobs", "get", &id]).code, 3);
}

#[test]
fn logs_tell_what_an_attempt_said_or_that_there_is_none() {
    let shell = Shell::new();
    let id = shell.enqueue(&["q", "k"]);
    let ran = shell.run(&["jobs", "logs", &id]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""));
    assert!(ran.err.contains("not started"), "{}", ran.err);
    shell.fail_all("q", "no");
    let log = shell.object(&["jobs", "logs", &id, "--attempt", "1"]);
    assert_eq!(keys(&log), sorted("id attempt log"));
}

#[test]
fn waiting_jobs_are_edited_and_made_due() {
    let shell = Shell::new();
    let id = shell.enqueue(&["q", "k", "--delay", "1h"]);
    assert_eq!(shell.object(&["jobs", "why", &id])["reason"], "scheduled");
    shell.ok(&["jobs", "edit", &id, "--priority", "5", "--payload", r#"{"new":true}"#]);
    let job = shell.object(&["jobs", "get", &id]);
    assert_eq!((&job["priority"], &job["payload"]["new"]), (&5.into(), &true.into()));
    assert_eq!(shell.object(&["jobs", "run-now", &id])["outcome"], "due");
    assert_eq!(shell.object(&["jobs", "get", &id])["state"], "ready");
    assert_eq!(shell.run(&["jobs", "edit", &id]).code, 2, "nothing to change");
}

#[test]
fn a_filter_changes_what_was_counted_and_needs_a_yes() {
    let shell = Shell::new();
    for group in ["c7", "c7", "c8"] {
        shell.enqueue(&["email", "send", "--group", group]);
    }
    let dry = shell.object(&["jobs", "cancel", "--group", "c7", "--dry-run"]);
    assert_eq!((&dry["jobs"], &dry["verb"]), (&2.into(), &"cancel".into()));
    let ran = shell.run(&["jobs", "cancel", "--group", "c7", "--json"]);
    assert_eq!((ran.code, ran.out.as_str()), (4, ""), "nobody can be asked here");
    assert_eq!(ran.error()["code"], "not_confirmed");
    assert_eq!(shell.json(&["jobs", "ls", "--state", "ready"]).len(), 3, "nothing was changed");
    assert!(shell.ok(&["jobs", "cancel", "--group", "c7", "--yes"]).contains("cancelled 2 jobs"));
    assert_eq!(shell.json(&["jobs", "ls", "--state", "cancelled"]).len(), 2);
    assert_eq!(shell.json(&["jobs", "delete", "--all", "--yes"]).len(), 2, "only ended jobs");
    assert_eq!(shell.json(&["jobs", "ls"]).len(), 1);
}

#[test]
fn a_change_needs_to_know_which_jobs() {
    let shell = Shell::new();
    for arguments in [
        &["jobs", "retry"][..],
        &["jobs", "cancel", UNKNOWN, "--queue", "q"],
        &["jobs", "delete", UNKNOWN, "--all"],
        &["jobs", "delete", "--queue", "q", "--all"],
    ] {
        let ran = shell.run(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.err);
    }
    assert!(!shell.path("data").exists(), "nothing was opened");
}

#[test]
fn among_many_each_job_has_its_own_outcome() {
    let shell = Shell::new();
    let id = shell.enqueue(&["q", "k"]);
    let ran = shell.run(&["jobs", "cancel", &id, UNKNOWN, "--json"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    let outcomes = lines(&ran.out);
    assert_eq!(outcomes[0]["outcome"], "cancelled");
    assert_eq!(outcomes[1]["error"]["code"], "not_found");
}

#[test]
fn events_tell_a_jobs_whole_life() {
    let shell = Shell::new();
    let id = shell.enqueue(&["email", "send"]);
    shell.enqueue(&["sms", "send"]);
    shell.fail_all("email", "no");
    let events = shell.json(&["events", "--queue", "email"]);
    let types: Vec<String> = events.iter().map(|event| text(&event["type"])).collect();
    assert_eq!(types, ["enqueued", "claimed", "died"]);
    assert!(events.iter().all(|event| event["job"] == id.as_str()));
    assert_eq!(
        keys(&events[0]),
        sorted("cursor at type job queue kind group attempt cause worker text result")
    );
    let cursor = text(&events[0]["cursor"]);
    let rest = shell.json(&["events", "--queue", "email", "--from", &cursor]);
    assert_eq!(rest.len(), 2);
    assert_eq!(shell.json(&["events", "--limit", "1"]).len(), 1);
    assert_eq!(shell.json(&["events", "--from", "latest"]).len(), 0);
    assert!(shell.ok(&["events"]).contains("died"));
    assert_eq!(shell.run(&["events", "--from", "yesterday"]).code, 2);
}

#[test]
fn following_prints_what_is_asked_for_and_ends() {
    let shell = Shell::new();
    shell.enqueue(&["q", "k"]);
    let ran = shell.run(&["events", "-f", "--from", "earliest", "--limit", "1", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(lines(&ran.out)[0]["type"], "enqueued");
}

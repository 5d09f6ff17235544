//! Stores that cannot be had, and data directories looked at from outside.

use crate::redis;
use crate::shell::{Shell, keys, lines, sorted, text};

#[test]
fn a_directory_that_another_process_holds_is_refused_with_that_process_named() {
    let shell = Shell::new();
    shell.enqueue(&["q", "k"]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let client =
        runtime.block_on(windlass::open(&format!("file:{}", shell.data()))).expect("the store opens");
    let own = std::process::id().to_string();
    for arguments in [
        &["jobs", "ls"][..],
        &["enqueue", "q", "k"],
        &["verify", &shell.data()],
        &["doctor", &shell.data(), "--repair"],
    ] {
        let ran = shell.run(arguments);
        assert_eq!(ran.code, 5, "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains(&own), "the process is named: {}", ran.err);
        assert!(ran.err.contains("/it-") || ran.err.contains("it "), "its command is named: {}", ran.err);
        assert!(ran.err.contains("stop"), "what to do is said: {}", ran.err);
    }
    let ran = shell.run(&["jobs", "ls", "--json"]);
    assert_eq!((&ran.error()["code"], &ran.error()["exit"]), (&"held".into(), &5.into()));
    let checks = shell.json(&["doctor", &shell.data()]);
    let lock = checks.iter().find(|check| check["check"] == "lock").expect("a check of the lock");
    assert!(text(&lock["found"]).contains(&own), "{lock}");
    runtime.block_on(client.store().close()).expect("the store closes");
    drop(client);
    shell.ok(&["jobs", "ls"]);
}

#[test]
fn a_store_that_is_not_there_is_not_made_by_looking() {
    let shell = Shell::new();
    let ran = shell.run(&["jobs", "ls"]);
    assert_eq!(ran.code, 5, "{}", ran.err);
    assert!(ran.err.contains("does not exist") && ran.err.contains("--store"), "{}", ran.err);
    assert!(!shell.path("data").exists());
}

#[test]
fn a_look_at_a_mistyped_namespace_of_redis_is_an_error_and_makes_no_key() {
    let (server, address) = redis::Server::on_loopback(&["--appendonly", "no"]);
    let shell = Shell::new();
    let (ours, typo) = (format!("redis://{address}"), format!("redis://{address}?namespace=typo"));
    let archive = ["archive", "--once", "--to", "sqlite:history.db"];
    for arguments in [&["queues", "ls"][..], &["jobs", "ls"], &["info"], &["events"], &archive] {
        for (store, name) in [(&ours, "windlass"), (&typo, "typo")] {
            let told = shell.run(&[arguments, &["--store", store]].concat());
            assert_eq!(told.code, 5, "{arguments:?}: {}", told.err);
            let says = format!("there is no namespace {name} on this server; check the name");
            assert!(told.err.contains(&says) && !told.err.contains("create="), "{}", told.err);
        }
    }
    let told = shell.run(&["erase", "--yes", "typo", "--store", &typo]);
    assert_eq!(told.code, 3, "nothing was made: {}", told.err);
    // Who says so looks at an empty one, and whoever puts something in makes one.
    assert_eq!(shell.run(&["queues", "ls", "--store", &format!("{typo}&create=true")]).code, 0);
    shell.ok(&["enqueue", "q", "k", "--store", &ours]);
    assert_eq!(shell.json(&["queues", "ls", "--store", &ours]).len(), 1);
    drop(server);
}

#[test]
fn a_directory_that_is_not_ours_is_left_alone() {
    let shell = Shell::new();
    std::fs::create_dir(shell.path("data")).expect("a directory");
    std::fs::write(shell.path("data").join("thesis.txt"), "mine").expect("a file");
    let ran = shell.run(&["enqueue", "q", "k"]);
    assert_eq!(ran.code, 5, "{}", ran.err);
    assert!(ran.err.contains("thesis.txt"), "{}", ran.err);
    let left: Vec<_> = std::fs::read_dir(shell.path("data")).expect("a directory").collect();
    assert_eq!(left.len(), 1, "nothing was written");
}

#[test]
fn a_url_that_names_no_store_is_code_2() {
    let shell = Shell::new();
    for url in [
        "data",
        "ftp://localhost",
        "http:",
        "redis:",
        "redis://localhost?ack=power",
        "postgres:",
        "postgres://u@h/d?sslmode=bogus",
        "postgres://u@h/d?colour=blue",
        "postgres://u@h:port/d",
        "postgres://u@h/d?connections=many",
        "postgres://u@h/d?namespace=Not-Plain",
        "file:",
        "file:./x?akc=process",
        "file:./x?ack=always",
        "memory:x",
    ] {
        let ran = shell.run(&["--store", url, "enqueue", "q", "k"]);
        assert_eq!(ran.code, 2, "{url}: {}", ran.err);
    }
    assert_eq!(shell.run(&["--store", "memory:", "enqueue", "q", "k"]).code, 0);
}

#[test]
fn a_server_that_cannot_be_reached_is_code_5_and_no_password_is_shown() {
    let shell = Shell::new();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = nobody.local_addr().expect("its own address");
    drop(nobody);
    for scheme in ["redis", "postgres"] {
        let url = format!("{scheme}://ann:hunter2@{address}/0");
        let ran = shell.run(&["--store", &url, "enqueue", "q", "k"]);
        assert_eq!(ran.code, 5, "{url}: {}", ran.err);
        assert!(ran.err.contains("ann@") && !ran.err.contains("hunter2"), "{}", ran.err);
    }
}

#[test]
fn the_store_option_wins_over_the_environment_and_may_stand_anywhere() {
    let shell = Shell::new();
    let other = format!("file:{}", shell.path("other").display());
    shell.ok(&["enqueue", "--store", &other, "q", "k"]);
    assert!(!shell.path("data").exists());
    assert_eq!(shell.json(&["jobs", "ls", "--store", &other]).len(), 1);
}

#[test]
fn verify_and_doctor_find_a_sound_directory_sound() {
    let shell = Shell::new();
    shell.enqueue(&["q", "k"]);
    let report = shell.object(&["verify", &shell.data()]);
    let fields = "directory store_id segments segment_bytes used_bytes spares spare_bytes batches durable_lsn last_lsn torn_bytes \
                  problems warnings";
    assert_eq!(keys(&report), sorted(fields));
    assert_eq!(report["problems"], serde_json::json!([]));
    assert!(shell.ok(&["verify", &shell.data()]).contains("sound"));
    let checks = shell.json(&["doctor", &shell.data()]);
    let names: Vec<String> = checks.iter().map(|check| text(&check["check"])).collect();
    assert_eq!(
        names,
        ["rights", "file system", "free space", "sync", "open files", "socket", "lock", "content"]
    );
    assert_eq!(keys(&checks[0]), sorted("check status found advice"));
    assert!(checks.iter().all(|check| check["status"] != "bad"), "{checks:?}");
    assert!(shell.ok(&["doctor", &shell.data(), "--repair"]).contains("sound"));
    assert_eq!(shell.run(&["verify", "/no/such/directory"]).code, 5);
    // Without a directory it is that of the store, wherever that is named.
    let of_store = shell.object(&["verify"]);
    assert_eq!(of_store["store_id"], report["store_id"]);
    assert_eq!(shell.json(&["doctor"]).len(), checks.len());
    let other = format!("file:{}", shell.path("other").display());
    assert_eq!(shell.run(&["verify", "--store", &other]).code, 5, "there is no such directory");
    for command in ["verify", "doctor"] {
        let told = shell.run(&[command, "--store", "redis://u:secret@h"]);
        assert_eq!(told.code, 2, "{}", told.err);
        assert!(told.err.contains("windlass info tells") && !told.err.contains("secret"), "{}", told.err);
    }
}

#[test]
fn rights_that_let_others_look_are_told_with_what_to_do() {
    use std::os::unix::fs::PermissionsExt;
    let shell = Shell::new();
    shell.enqueue(&["q", "k"]);
    std::fs::set_permissions(shell.data(), std::fs::Permissions::from_mode(0o755)).expect("rights");
    let checks = shell.json(&["doctor", &shell.data()]);
    assert_eq!(checks[0]["status"], "warn");
    assert!(text(&checks[0]["advice"]).contains("chmod 700"));
}

#[test]
fn damage_is_found_refused_and_repaired_with_what_was_dropped() {
    let shell = Shell::new();
    for _ in 0..20 {
        shell.enqueue(&["q", "k"]);
    }
    // The middle of the oldest segment that holds batches: acknowledged long ago, so never a torn tail.
    let report = shell.object(&["verify", &shell.data()]);
    assert!(report["batches"].as_u64() > Some(10), "{report}");
    let mut segments: Vec<_> = std::fs::read_dir(shell.data())
        .expect("a directory")
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wlj"))
        .collect();
    segments.sort();
    let damaged = segments.iter().any(|path| {
        let mut bytes = std::fs::read(path).expect("a segment");
        let Some(at) = (16_384..bytes.len()).find(|at| bytes[*at] != 0) else { return false };
        bytes[at] ^= 0xff;
        std::fs::write(path, bytes).expect("a segment");
        shell.run(&["verify", &shell.data()]).code == 1
    }) || segments.iter().any(|path| {
        let mut bytes = std::fs::read(path).expect("a segment");
        let header = 4_096.min(bytes.len());
        let Some(at) = (header..bytes.len()).find(|at| bytes[*at] != 0) else { return false };
        bytes[at + 20] ^= 0xff;
        std::fs::write(path, bytes).expect("a segment");
        shell.run(&["verify", &shell.data()]).code == 1
    });
    assert!(damaged, "no byte of {segments:?} mattered");
    let ran = shell.run(&["verify", &shell.data(), "--json"]);
    assert_eq!(ran.code, 1);
    assert!(!lines(&ran.out)[0]["problems"].as_array().expect("a list").is_empty());
    assert_eq!(ran.error()["code"], "damaged");
    assert!(text(&ran.error()["next"]).contains("doctor --repair"));
    assert_eq!(shell.run(&["doctor", &shell.data()]).code, 1);
    assert_eq!(shell.run(&["jobs", "ls"]).code, 5, "a damaged store is not opened");
    assert_eq!(shell.run(&["doctor", &shell.data(), "--repair"]).code, 4, "nobody can be asked here");
    let repaired = shell.object(&["doctor", &shell.data(), "--repair", "--yes"]);
    assert_eq!(keys(&repaired), sorted("directory last_lsn cuts"));
    assert!(!repaired["cuts"].as_array().expect("a list").is_empty());
    shell.ok(&["jobs", "ls"]);
}

#[test]
fn a_missing_segment_at_the_front_is_found_refused_and_given_up_only_on_demand() {
    let shell = Shell::new();
    for payload in ["1", "2", "3"] {
        shell.enqueue(&["q", "k", payload]);
    }
    std::fs::remove_file(format!("{}/000001.wlj", shell.data())).expect("the first segment");
    let data = shell.data();
    let ran = shell.run(&["verify", &data]);
    assert!(ran.code == 1 && ran.out.contains("are missing"), "{}{}", ran.out, ran.err);
    let ran = shell.run(&["jobs", "ls"]);
    assert!(ran.code == 5 && ran.err.contains("doctor --repair"), "{} {}", ran.code, ran.err);
    assert!(shell.ok(&["doctor", &data, "--repair", "--yes"]).contains("goes on without"));
    assert_eq!(shell.json(&["jobs", "ls"]).len(), 2);
    assert_eq!(shell.run(&["verify", &data]).code, 0);
}

const HISTORY: &str = r#"{"windlass_history":1,"store":"embedded","ack_level":"power","events":"total","all_clients":true}
{"by":"a","at":1,"us":1,"call":{"id":0,"ask":{"enqueue":{"jobs":[{"id":"019aa4b6-4500-7000-8000-000000000001","queue":"q"}]}}}}
{"by":"a","at":2,"us":2,"answer":{"id":0,"told":{"enqueued":[{"ok":{"id":"019aa4b6-4500-7000-8000-000000000001","status":"created","state":"ready"}}]}}}
{"by":"a","at":3,"us":3,"fault":{"what":"store_killed"}}
{"by":"a","at":4,"us":4,"dump":{}}
{"by":"a","at":4,"us":4,"queue":{"name":"q","settings":{},"counts":[0,1,0,0,0,0,0,0]}}
{"by":"a","at":4,"us":4,"job":{"id":"019aa4b6-4500-7000-8000-000000000001","state":"ready","queue":"q","attempt":0,"failures":0,"losses":0,"snoozes":0,"since":2}}
{"by":"a","at":4,"us":4,"dump_end":{"quiet":true,"events_complete":false}}
"#;

#[test]
fn a_history_is_held_against_the_invariants() {
    let shell = Shell::new();
    let file = format!("{}-history", shell.data());
    let verify = |text: String, more: &[&str]| {
        std::fs::write(&file, text).expect("a file");
        shell.run(&[&["verify", "--history", &file], more].concat())
    };
    let fine = verify(HISTORY.into(), &[]);
    assert!(fine.code == 0 && fine.out.contains("no invariant is broken"), "{}{}", fine.out, fine.err);
    assert!(fine.out.contains("nothing to check") && fine.out.contains("I13"), "{}", fine.out);
    // The job is due and has not ended.
    let waits = verify(HISTORY.into(), &["--complete"]);
    assert!(waits.code == 1 && waits.out.contains("I15: "), "{}{}", waits.out, waits.err);
    // Without the job in the look, its enqueue was lost.
    let lost: String =
        HISTORY.lines().filter(|line| !line.contains(r#""job":{"#)).map(|l| format!("{l}\n")).collect();
    let lost = verify(lost.replace("[0,1,", "[0,0,"), &["--json"]);
    assert_eq!(lost.code, 1, "{}{}", lost.out, lost.err);
    let report: serde_json::Value = serde_json::from_str(lost.out.trim()).expect("one object");
    assert_eq!(
        (&report["violations"][0]["invariant"], &report["violations"][0]["lines"][0]),
        (&"I1".into(), &3.into())
    );
    assert_eq!(lost.error()["code"], "violated");
    // What is no history is told with its line, and nothing is guessed.
    let none = verify("id,state\n".into(), &[]);
    assert!(none.code == 1 && none.err.contains("line 1: not a history"), "{}", none.err);
    let newer = verify(HISTORY.replace("history\":1", "history\":9"), &[]);
    assert!(newer.code == 1 && newer.err.contains("version 9"), "{}", newer.err);
    let broken = verify(HISTORY.replace("\"told\"", "\"says\""), &[]);
    assert!(broken.code == 1 && broken.err.contains("line 3"), "{}", broken.err);
    // Nobody asked for anything, so nothing is proven.
    let head = HISTORY.lines().next().expect("a head");
    let idle = HISTORY
        .lines()
        .filter(|line| !line.contains("\"call\"") && !line.contains("\"answer\""))
        .map(|l| format!("{l}\n"));
    let idle = idle.collect::<String>().replace("[0,1,", "[0,0,");
    let idle: String =
        idle.lines().filter(|line| !line.contains(r#""job":{"#)).map(|l| format!("{l}\n")).collect();
    for nothing in [format!("{head}\n"), idle] {
        let told = verify(nothing, &["--json"]);
        assert_eq!((told.code, &told.error()["code"]), (1, &"history".into()), "{}{}", told.out, told.err);
        assert!(told.out.is_empty() && told.err.contains("nothing to judge"), "{}{}", told.out, told.err);
    }
    assert_eq!(shell.run(&["verify", "--history", "/no/such/file"]).code, 1);
    std::fs::remove_file(&file).expect("removed");
}

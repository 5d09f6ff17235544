//! Queues, groups, limits and schedules.

use crate::shell::{Shell, keys, sorted, text};

#[test]
fn a_queue_keeps_what_is_set_and_only_that_changes() {
    let shell = Shell::new();
    let set = shell.object(&[
        "queues",
        "set",
        "email",
        "--concurrency",
        "30",
        "--rate",
        "100/1m,burst=20",
        "--lease",
        "1m",
        "--retry",
        "fixed(10s,max=5)",
        "--max-waiting",
        "1000",
        "--keep-completed",
        "1h",
        "--keep-dead",
        "5000",
        "--group-weight",
        "2",
        "--group-concurrency",
        "3",
        "--ordered",
        "--on-head-death",
        "park",
    ]);
    assert_eq!(keys(&set), sorted("queue settings"));
    let queue = shell.object(&["queues", "show", "email"]);
    assert_eq!(
        keys(&queue),
        sorted("queue paused jobs oldest_ready groups completed_last_minute totals wait_ms run_ms settings")
    );
    assert_eq!(keys(&queue["wait_ms"]), sorted("count p50 p95 p99 max histogram"));
    assert_eq!(queue["settings"], set["settings"]);
    let settings = &queue["settings"];
    assert_eq!(settings["concurrency"], 30);
    assert_eq!(settings["rate"], serde_json::json!({ "count": 100, "period_ms": 60_000, "burst": 20 }));
    assert_eq!((&settings["lease_ms"], &settings["max_waiting"]), (&60_000.into(), &1_000.into()));
    assert_eq!(settings["retention"]["completed_ms"], 3_600_000);
    assert_eq!(settings["retention"]["dead_count"], 5_000);
    assert_eq!(
        (&settings["groups"]["ordered"], &settings["groups"]["on_head_death"]),
        (&true.into(), &"park".into())
    );
    let said = shell.ok(&["queues", "set", "email", "--concurrency", "none"]);
    assert!(said.contains("concurrency: 30 -> none") && !said.contains("rate"), "{said}");
    assert_eq!(shell.object(&["queues", "show", "email"])["settings"]["rate"]["count"], 100);
}

#[test]
fn a_paused_queue_says_so_everywhere_until_it_is_resumed() {
    let shell = Shell::new();
    let id = shell.enqueue(&["email", "send"]);
    shell.ok(&["queues", "pause", "email"]);
    assert_eq!(shell.object(&["queues", "ls"])["paused"], true);
    assert_eq!(shell.object(&["jobs", "why", &id])["reason"], "queue_paused");
    assert!(shell.ok(&["queues", "ls"]).contains("paused"));
    shell.ok(&["queues", "resume", "email"]);
    assert_eq!(shell.object(&["queues", "ls"])["paused"], false);
}

#[test]
fn what_cannot_be_set_is_code_2_and_what_is_not_there_code_3() {
    let shell = Shell::new();
    shell.enqueue(&["q", "k"]);
    for (arguments, code) in [
        (&["queues", "set", "q"][..], 2),
        (&["queues", "set", "q", "--rate", "fast"], 2),
        (&["queues", "set", "q", "--lease", "1ms"], 2),
        (&["queues", "set", "q", "--group-weight", "0"], 2),
        (&["queues", "show", "nowhere"], 3),
        (&["queues", "pause", "nowhere"], 3),
        (&["groups", "ls", "nowhere"], 3),
        (&["groups", "set", "q", "g"], 2),
        (&["groups", "set", "q", "g", "--weight", "1001"], 2),
        (&["groups", "set", "q", "g", "--weight", "5", "--defaults"], 2),
        (&["limits", "set", "l"], 2),
        (&["limits", "show", "nowhere"], 3),
        (&["limits", "rm", "nowhere"], 3),
        (&["schedules", "show", "nowhere"], 3),
        (&["schedules", "rm", "nowhere"], 3),
        (&["schedules", "run", "nowhere"], 3),
        (&["schedules", "pause", "nowhere"], 3),
        (&["schedules", "set", "s", "--queue", "q", "--kind", "k"], 2),
        (&["schedules", "set", "s", "--every", "5m", "--queue", "q"], 2),
        (&["schedules", "set", "s", "--every", "1ms", "--queue", "q", "--kind", "k"], 2),
        (&["schedules", "set", "s", "--cron", "every noon", "--queue", "q", "--kind", "k"], 2),
        (
            &[
                "schedules",
                "set",
                "s",
                "--cron",
                "0 3 * * *",
                "--tz",
                "Mars/Base",
                "--queue",
                "q",
                "--kind",
                "k",
            ],
            2,
        ),
    ] {
        let ran = shell.run(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {}", ran.err);
        assert!(ran.err.starts_with("error: "), "{arguments:?}: {}", ran.err);
    }
}

#[test]
fn a_group_has_its_own_terms_until_it_gets_the_defaults_back() {
    let shell = Shell::new();
    shell.enqueue(&["email", "send", "--group", "c7"]);
    shell.enqueue(&["email", "send"]);
    let set = shell.object(&["groups", "set", "email", "c7", "--weight", "10", "--rate", "10/s"]);
    assert_eq!(keys(&set), sorted("queue group settings"));
    let groups = shell.json(&["groups", "ls", "email"]);
    let c7 = groups.iter().find(|group| group["group"] == "c7").expect("the group");
    assert_eq!(keys(c7), sorted("group jobs claimed held_until shut_by own_settings settings"));
    assert_eq!((&c7["own_settings"], &c7["settings"]["weight"]), (&true.into(), &10.into()));
    shell.ok(&["groups", "set", "email", "c7", "--concurrency", "1"]);
    let groups = shell.json(&["groups", "ls", "email"]);
    let c7 = groups.iter().find(|group| group["group"] == "c7").expect("the group");
    assert_eq!(
        (&c7["settings"]["weight"], &c7["settings"]["concurrency"]),
        (&10.into(), &1.into()),
        "the weight stays"
    );
    assert!(shell.ok(&["groups", "ls", "email"]).contains("GROUP"));
    shell.ok(&["groups", "set", "email", "c7", "--defaults"]);
    let groups = shell.json(&["groups", "ls", "email"]);
    let c7 = groups.iter().find(|group| group["group"] == "c7").expect("the group");
    assert_eq!((&c7["own_settings"], &c7["settings"]["weight"]), (&false.into(), &1.into()));
}

#[test]
fn a_limit_is_set_shown_and_removed() {
    let shell = Shell::new();
    let set = shell.object(&["limits", "set", "twilio", "--concurrency", "0", "--rate", "1/s,burst=5"]);
    assert_eq!(keys(&set), sorted("limit settings"));
    let id = shell.enqueue(&["sms", "send", "--limit", "twilio"]);
    assert_eq!(shell.run(&["enqueue", "sms", "send", "--limit", "twilio=6"]).code, 4, "above its burst");
    let shown = shell.object(&["limits", "show", "twilio"]);
    assert_eq!(keys(&shown), sorted("limit concurrency rate in_use waiting_lanes closed_until"));
    assert_eq!((&shown["concurrency"], &shown["rate"]["burst"]), (&0.into(), &5.into()));
    assert_eq!(shell.object(&["jobs", "why", &id])["reason"], "limit");
    shell.ok(&["limits", "set", "twilio", "--concurrency", "none"]);
    assert!(shell.ok(&["limits", "ls"]).contains("1/1s,burst=5"));
    shell.ok(&["limits", "rm", "twilio"]);
    assert_eq!(shell.run(&["limits", "rm", "other"]).code, 3);
}

#[test]
fn a_schedule_is_set_changed_paused_run_and_removed() {
    let shell = Shell::new();
    let set = shell.object(&[
        "schedules",
        "set",
        "nightly",
        "--cron",
        "30 2 * * *",
        "--tz",
        "Europe/Berlin",
        "--queue",
        "reports",
        "--kind",
        "build",
        "--payload",
        r#"{"full":true}"#,
        "--overlap",
        "skip",
        "--catch-up",
        "all=3",
    ]);
    let fields = "schedule timing overlap catch_up queue kind group priority paused payload payload_encoding last_tick last_job \
                  next_tick ticks skipped upcoming";
    assert_eq!(keys(&set), sorted(fields));
    assert_eq!(set["timing"]["cron"]["time_zone"], "Europe/Berlin");
    assert_eq!(set["payload"]["full"], true);
    assert_eq!(set["next_tick"], set["upcoming"][0]);
    let changed = shell.object(&["schedules", "set", "nightly", "--cron", "0 3 * * *"]);
    assert_eq!(
        (&changed["timing"]["cron"]["time_zone"], &changed["overlap"]),
        (&"Europe/Berlin".into(), &"skip".into())
    );
    assert_eq!(shell.object(&["schedules", "pause", "nightly"])["paused"], true);
    assert_eq!(shell.object(&["schedules", "resume", "nightly"])["paused"], false);
    let id = text(&shell.object(&["schedules", "run", "nightly"])["id"]);
    let job = shell.object(&["jobs", "get", &id]);
    assert_eq!((&job["queue"], &job["payload"]["full"]), (&"reports".into(), &true.into()));
    shell.ok(&["schedules", "set", "pulse", "--every", "5m", "--queue", "watch", "--kind", "ping"]);
    let table = shell.ok(&["schedules", "ls"]);
    assert!(table.contains("every 5m") && table.contains("0 3 * * * Europe/Berlin"), "{table}");
    assert!(shell.ok(&["schedules", "show", "nightly"]).contains("next"));
    shell.ok(&["schedules", "rm", "nightly"]);
    assert_eq!(shell.json(&["schedules", "ls"]).len(), 1);
}

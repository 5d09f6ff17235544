//! `windlass outbox`, from the schema to a job, on a SQLite file.

use crate::shell::Shell;

/// A file with an outbox made by the command's own SQL.
fn app(shell: &Shell) -> rusqlite::Connection {
    let app = rusqlite::Connection::open(shell.path("app.db")).expect("a file");
    app.execute_batch(&shell.ok(&["outbox", "schema", "sqlite"])).expect("the schema");
    app
}

#[test]
fn a_committed_row_becomes_a_job_and_a_refused_one_can_be_tried_again() {
    let shell = Shell::new();
    let app = app(&shell);
    app.execute_batch(
        "INSERT INTO windlass_outbox (queue, kind, payload, options) VALUES ('email', 'send', '{\"to\":\"a\"}', '{\"priority\":3}');
         INSERT INTO windlass_outbox (queue, kind) VALUES ('e mail', 'send');
         BEGIN; INSERT INTO windlass_outbox (queue, kind) VALUES ('email', 'never'); ROLLBACK;",
    )
    .expect("rows");
    let relayed = shell.object(&["outbox", "relay", "--from", "sqlite:app.db", "--once"]);
    assert_eq!((relayed["rows"].as_u64(), relayed["refused"].as_u64()), (Some(1), Some(1)));
    let jobs = shell.json(&["jobs", "ls", "--queue", "email"]);
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    assert_eq!((jobs[0]["kind"].as_str(), jobs[0]["priority"].as_i64()), (Some("send"), Some(3)));

    let status = shell.json(&["outbox", "status", "--from", "sqlite:app.db"]);
    assert_eq!((status[0]["waiting"].as_u64(), status[0]["refused"].as_u64()), (Some(0), Some(1)));
    assert!(status[1]["reason"].as_str().is_some_and(|why| why.contains("queue name")), "{status:?}");
    app.execute("UPDATE windlass_outbox_aside SET queue = 'email'", []).expect("a repair");
    let seq = status[1]["seq"].to_string();
    assert_eq!(shell.object(&["outbox", "retry", "--from", "sqlite:app.db", &seq])["rows"].as_u64(), Some(1));
    shell.ok(&["outbox", "relay", "--from", "sqlite:app.db", "--once"]);
    assert_eq!(shell.json(&["jobs", "ls", "--queue", "email"]).len(), 2);
}

#[test]
fn what_the_relay_notes_for_itself_is_not_missed_by_an_archive_of_payloads() {
    let shell = Shell::new();
    app(&shell)
        .execute("INSERT INTO windlass_outbox (queue, kind) VALUES ('email', 'send')", [])
        .expect("a row");
    shell.ok(&["outbox", "relay", "--from", "sqlite:app.db", "--once"]);
    let told = shell.object(&["archive", "--to", "sqlite:a.db", "--once", "--payloads"]);
    assert_eq!((&told["payloads"], &told["payloads_gone"]), (&1.into(), &0.into()));
    let archive = rusqlite::Connection::open(shell.path("a.db")).expect("an archive");
    let count = |sql: &str| archive.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a count");
    assert_eq!(count("SELECT count(*) FROM jobs WHERE queue = 'windlass.outbox'"), 1, "the fence was there");
    assert_eq!(count("SELECT count(*) FROM payload"), 1);
}

#[test]
fn a_place_that_is_no_outbox_is_told_with_what_to_do() {
    let shell = Shell::new();
    rusqlite::Connection::open(shell.path("empty.db"))
        .and_then(|c| c.execute_batch("CREATE TABLE t (a)"))
        .expect("a file");
    for (from, code, says) in [
        ("mysql:x", 2, "sqlite:FILE"),
        ("sqlite:", 2, "sqlite:FILE"),
        ("sqlite:missing.db", 5, "missing.db"),
        ("sqlite:empty.db", 5, "windlass outbox schema"),
    ] {
        let ran = shell.run(&["outbox", "status", "--from", from]);
        assert_eq!(ran.code, code, "{from}: {}", ran.err);
        assert!(ran.err.contains(says), "{from}: {}", ran.err);
    }
    assert_eq!(shell.run(&["outbox", "schema", "sqlite", "--table", "no good"]).code, 2);
    let named = shell.ok(&["outbox", "schema", "postgres", "--table", "mail_out", "--doorbell"]);
    assert!(named.contains("CREATE TABLE IF NOT EXISTS mail_out ("), "{named}");
    assert!(!named.contains("windlass_outbox"), "{named}");
}

#[test]
fn a_relay_ends_in_good_order_when_it_is_asked_to() {
    let shell = Shell::new();
    app(&shell)
        .execute("INSERT INTO windlass_outbox (queue, kind) VALUES ('email', 'send')", [])
        .expect("a row");
    let mut relay = shell.command(&["outbox", "relay", "--from", "sqlite:app.db", "--json"]);
    let relay = relay.stdout(std::process::Stdio::piped()).spawn().expect("it starts");
    let patience = std::time::Instant::now();
    while shell.json(&["outbox", "status", "--from", "sqlite:app.db"])[0]["waiting"].as_u64() != Some(0) {
        assert!(patience.elapsed().as_secs() < 30, "the row goes");
    }
    let pid = rustix::process::Pid::from_child(&relay);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("our own child");
    let ended = relay.wait_with_output().expect("it ends");
    assert!(ended.status.success());
    assert!(String::from_utf8_lossy(&ended.stdout).contains("\"rows\":1"), "{ended:?}");
    assert_eq!(shell.json(&["jobs", "ls", "--queue", "email"]).len(), 1);
}

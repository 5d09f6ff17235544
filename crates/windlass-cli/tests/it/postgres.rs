//! What the command does about a PostgreSQL server, on a real one.

use crate::server::Server;
use crate::shell::Shell;

/// A server, and a database of it as the command names it.
pub(crate) fn server() -> (Server, String) {
    let (server, address) = Server::on_loopback();
    (server, format!("postgres://windlass@{address}/postgres"))
}

#[test]
fn a_schema_is_planned_printed_and_made() {
    let (_server, url) = server();
    let shell = Shell::new();
    let migrate = |more: &[&str]| shell.object(&[&["migrate", "--store", url.as_str()], more].concat());
    let planned = migrate(&["--dry-run"]);
    assert_eq!((&planned["schema"], &planned["from"]), (&"windlass".into(), &0.into()));
    assert_eq!((&planned["functions"], &planned["dry_run"]), (&true.into(), &true.into()));
    let told = shell.ok(&["migrate", "--store", &url, "--dry-run"]);
    assert!(told.contains("would be made, version") && told.contains("would be installed"), "{told}");
    let script = shell.ok(&["migrate", "--store", &url, "--print"]);
    assert!(script.contains("BEGIN;") && script.contains("CREATE TABLE windlass.job"), "{script}");
    assert_eq!(migrate(&["--dry-run"]), planned, "neither has changed anything");
    let elsewhere = format!("{url}?namespace=elsewhere");
    let told = shell.ok(&["migrate", "--store", &elsewhere]);
    assert!(told.contains("made, version") && !told.contains("would be"), "{told}");
    let done = migrate(&[]);
    assert_eq!((&done["from"], &done["to"], &done["dry_run"]), (&0.into(), &planned["to"], &false.into()));
    let again = migrate(&[]);
    assert_eq!((&again["from"], &again["functions"]), (&planned["to"], &false.into()));
    assert_eq!(shell.ok(&["migrate", "--store", &url, "--print"]), "");
    let other = format!("{url}?namespace=other");
    assert_eq!(shell.object(&["migrate", "--store", &other])["schema"], "other");
    shell.ok(&["enqueue", "q", "kind", "{}", "--store", &other]);
    assert_eq!(shell.run(&["migrate"]).code, 2, "a directory has no schema");
}

#[test]
fn a_benchmark_leaves_no_schema_behind() {
    let (server, url) = server();
    let shell = Shell::new();
    shell.ok(&["bench", "--profile", "enqueue", "--jobs", "300", "--store", &url]);
    assert_eq!(server.sql("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'bench%'"), "0");
}

#[test]
fn a_look_at_a_mistyped_namespace_makes_no_schema() {
    let (server, url) = server();
    let told = Shell::new().run(&["queues", "ls", "--store", &format!("{url}?namespace=typo")]);
    assert_eq!(told.code, 5, "{}", told.err);
    assert!(told.err.contains("no schema typo"), "{}", told.err);
    assert!(!told.err.contains("migrate="), "the URL is told as it was given: {}", told.err);
    assert_eq!(server.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'typo'"), "0");
}

#[test]
fn no_message_shows_a_password() {
    let shell = Shell::new();
    for arguments in [
        &["queues", "ls", "--store", "postgress://u:secret@h/d"][..],
        &["queues", "ls", "--store", "postgres://u:secret@127.0.0.1:1/d?sslmode=bogus"],
        &["queues", "ls", "--store", "redis://u:secret@127.0.0.1:1?sentinel_pasword=secret"],
        &["verify", "redis://u:secret@h"],
        &["bench", "--profile", "enqueue", "--jobs", "100", "--store", "redis://u:secret@127.0.0.1:1"],
    ] {
        let told = shell.run(arguments);
        assert_ne!(told.code, 0, "{arguments:?}");
        assert!(!told.err.contains("secret") && !told.out.contains("secret"), "{}", told.err);
    }
}

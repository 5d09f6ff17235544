//! `windlass backup`, `restore` and `verify` of a store that is in use, by real processes.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::serve::{Running, serve, until};
use crate::shell::{Shell, text};

/// Jobs acknowledged before the backup begins.
const BEFORE: usize = 300;
const PROGRAM: &str = env!("CARGO_BIN_EXE_windlass");

/// Why a command failed, with that exit code.
fn fault(shell: &Shell, arguments: &[&str], code: i32) -> Value {
    let ran = shell.run(&[arguments, &["--json"]].concat());
    assert_eq!(ran.code, code, "{arguments:?}: {}{}", ran.out, ran.err);
    ran.error()
}

#[test]
fn a_store_in_full_use_is_backed_up_and_what_was_acknowledged_before_is_restored() {
    let shell = Shell::new();
    let (mut server, url) = serve(&shell);
    let lines: String = (0..BEFORE).map(|n| format!("{{\"payload\":{{\"n\":{n}}}}}\n")).collect();
    let file = shell.path("jobs.ndjson");
    std::fs::write(&file, lines).expect("a file");
    let kept = ["enqueue", "kept", "send", "--ndjson", file.to_str().expect("text")];
    shell.ok(&kept);
    // Producers and a worker that never rest.
    shell.enqueue(&["beside", "send", "{}"]);
    let again = format!(
        "while true; do '{}' enqueue beside send --ndjson '{}' --quiet --store {url}; done",
        PROGRAM,
        file.display()
    );
    let mut beside: Vec<Running> = (0..2)
        .map(|_| {
            let mut command = std::process::Command::new("sh");
            Running(
                command.args(["-c", &again]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("sh"),
            )
        })
        .collect();
    let worker = ["worker", "--url", &url, "-q", "beside", "-c", "2", "--quiet", "--", "true"];
    beside.push(Running(shell.command(&worker).spawn().expect("it starts")));
    let completed = || shell.object(&["queues", "show", "beside"])["totals"]["completed"].as_u64();
    until(|| completed() > Some(20));

    let whole = shell.path("whole.backup");
    let told = shell.object(&["backup", whole.to_str().expect("text")]);
    assert!(told["jobs"].as_u64() > Some(BEFORE as u64), "{told}");
    // Its server is killed in the middle of many more: none of them looks whole unless it is.
    let directory = shell.path("more");
    std::fs::create_dir(&directory).expect("a directory");
    let many = format!(
        "for n in $(seq 1000); do '{}' backup '{}'/$n --quiet --store {url} || exit 0; done",
        PROGRAM,
        directory.display()
    );
    let many = std::process::Command::new("sh")
        .args(["-c", &many])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    let mut many = Running(many.expect("sh"));
    until(|| std::fs::read_dir(&directory).expect("a directory").count() > 2);
    server.0.kill().expect("it runs");
    server.0.wait().expect("it ends");
    many.0.wait().expect("it ends by itself");
    drop(beside);
    for entry in std::fs::read_dir(&directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        assert_ne!(
            path.extension().and_then(|name| name.to_str()),
            Some("partial"),
            "nothing is left half done"
        );
        shell.ok(&["verify", path.to_str().expect("text")]);
    }

    let into = shell.path("restored");
    shell.ok(&["restore", whole.to_str().expect("text"), into.to_str().expect("text")]);
    let store = format!("file:{}", into.display());
    let queue = shell.object(&["queues", "show", "kept", "--store", &store]);
    assert_eq!(queue["jobs"]["ready"], json!(BEFORE), "{queue}");
    assert_eq!(shell.object(&["queues", "show", "beside", "--store", &store])["jobs"]["running"], json!(0));
    shell.ok(&["verify", into.to_str().expect("text")]);
    // And the store that was killed has everything, too.
    let queue = shell.object(&["queues", "show", "kept"]);
    assert_eq!(text(&queue["queue"]), "kept");
    assert_eq!(queue["jobs"]["ready"], json!(BEFORE), "{queue}");
}

#[test]
fn a_backup_that_is_refused_says_what_to_do() {
    let shell = Shell::new();
    shell.enqueue(&["email", "send", "{}"]);
    let file = shell.path("b");
    let file = file.to_str().expect("text");
    shell.ok(&["backup", file]);
    assert_eq!(fault(&shell, &["backup", file], 4)["code"], "exists");
    assert_eq!(
        fault(&shell, &["restore", file, shell.path("data").to_str().expect("text")], 4)["code"],
        "not_empty"
    );
    let mut bytes = std::fs::read(file).expect("a backup");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file, &bytes).expect("written");
    for command in [vec!["verify", file], vec!["restore", file, "nowhere"]] {
        let told = fault(&shell, &command, 1);
        assert_eq!(told["code"], "damaged", "{told}");
        assert!(text(&told["message"]).contains("restore another backup"), "{told}");
    }
    let missing = format!("file:{}", shell.path("missing").display());
    assert_eq!(fault(&shell, &["backup", "x", "--store", &missing], 5)["code"], "unreachable");
}

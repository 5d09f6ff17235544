//! `windlass serve --config`, and what stands around a server: its health, its service manager, its log.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::serve::{PATIENCE, Running, serve_everywhere, until};
use crate::shell::{Shell, text};

fn signal(server: &Running, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(server.0.id()).expect("a process id")).expect("a process");
    kill_process(pid, signal).expect("it runs");
}

/// A server with these variables and arguments, and its URL.
fn start(shell: &Shell, arguments: &[&str], variables: &[(&str, &str)]) -> (Running, String) {
    let mut command = shell.command(&[&["serve", "--json", "--quiet"], arguments].concat());
    command.env_remove("WINDLASS_TOKEN").envs(variables.iter().copied());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| {
        let mut said = String::new();
        let _ = child.stderr.take().expect("a pipe").read_to_string(&mut said);
        panic!("{line:?} {said}");
    });
    (Running(child), text(&ready["url"]))
}

#[test]
fn a_server_takes_its_settings_from_the_file_and_again_at_sighup() {
    let shell = Shell::new();
    let file = shell.path("w.toml");
    let path = file.display().to_string();
    let write = |concurrency: u32| {
        let text = format!(
            "listen = \"127.0.0.1:0\"\nlog_format = \"json\"\n[queues.email]\nconcurrency = {concurrency}\n"
        );
        std::fs::write(&file, text).expect("a file");
    };
    write(30);
    let (mut server, url) = start(&shell, &["--config", &path], &[("WINDLASS_LOG", "info")]);
    let concurrency = || shell.object(&["queues", "show", "email"])["settings"]["concurrency"].clone();
    assert_eq!(concurrency(), json!(30));
    assert_eq!(shell.object(&["health", &url])["ready"], json!(true));
    write(40);
    signal(&server, Signal::HUP);
    until(|| concurrency() == json!(40));
    // What was changed live stays, and the log says so, as JSON.
    shell.ok(&["queues", "set", "email", "--concurrency", "7"]);
    write(50);
    let live = shell.run(&["config", "check", "--config", &path, "--live", "--json"]);
    assert_eq!((live.code, live.error()["code"].clone()), (4, json!("drift")), "{}", live.err);
    std::fs::write(&file, "listen = 3\n[queues.email]\nconcurency = 1\n").expect("a file");
    signal(&server, Signal::HUP);
    write(50);
    signal(&server, Signal::HUP);
    let log = BufReader::new(server.0.stderr.take().expect("a pipe"));
    let mut told =
        log.lines().map(|line| serde_json::from_str::<Value>(&line.expect("a line")).expect("JSON"));
    let drift =
        told.find(|event| event["message"].as_str().is_some_and(|message| message.contains("changed live")));
    let drift = drift.expect("it is told");
    assert_eq!(drift["level"], "WARN");
    assert!(text(&drift["message"]).contains("7 in force, 50 in the file"), "{drift}");
    assert_eq!(concurrency(), json!(7));
    assert_eq!(server.end(), 0);
    assert_eq!(shell.run(&["health", &url]).code, 5, "nobody is there");
}

#[test]
fn a_file_that_is_wrong_starts_nothing_and_says_where() {
    let shell = Shell::new();
    let path = shell.path("w.toml").display().to_string();
    for (wrong, told) in [
        ("lisen = \"x\"", "w.toml:1: there is no setting lisen"),
        ("\nlisten = \"x\"", "w.toml:2: invalid value 'x' for '--listen <ADDRESS>'"),
        ("[queues.email]\nrate = \"fast\"", "w.toml:2: [queues.email] invalid value"),
    ] {
        std::fs::write(&path, wrong).expect("a file");
        // At a port of its own: somebody may have a server at the usual one.
        let serve = vec!["serve", "--listen", "127.0.0.1:0", "--config", &path];
        for command in [serve, vec!["config", "check", "--config", &path]] {
            let ran = shell.run(&[command, vec!["--json"]].concat());
            assert_eq!(ran.code, 2, "{}", ran.err);
            assert!(text(&ran.error()["message"]).contains(told), "{}", ran.err);
        }
    }
    let origin = |variables: &[(&str, &str)]| {
        std::fs::write(&path, "listen = \"127.0.0.1:1\"").expect("a file");
        let mut command = shell.command(&["config", "show", "--origin", "--config", &path, "--plain"]);
        let out = command
            .env_remove("WINDLASS_LISTEN")
            .envs(variables.iter().copied())
            .output()
            .expect("it runs")
            .stdout;
        let out = String::from_utf8(out).expect("text");
        out.lines().find(|line| line.starts_with("listen\t")).expect("a line").to_owned()
    };
    assert_eq!(origin(&[]), format!("listen\t127.0.0.1:1\t{path}:1"));
    assert_eq!(origin(&[("WINDLASS_LISTEN", "127.0.0.1:2")]), "listen\t127.0.0.1:2\tWINDLASS_LISTEN");
}

#[test]
fn a_service_manager_is_told_when_the_server_is_ready_lives_and_ends() {
    let shell = Shell::new();
    let path = shell.path("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a bound");
    let path = path.display().to_string();
    let variables = [("NOTIFY_SOCKET", path.as_str()), ("WATCHDOG_USEC", "200000")];
    let (server, _) = start(&shell, &["--listen", "127.0.0.1:0"], &variables);
    let hear = || {
        let mut bytes = [0; 512];
        let read = socket.recv(&mut bytes).expect("a word in time");
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    };
    assert!(hear().contains("READY=1"));
    assert!(hear().contains("WATCHDOG=1"));
    assert!(hear().contains("WATCHDOG=1"), "again and again");
    signal(&server, Signal::TERM);
    until(|| hear().contains("STOPPING=1"));
    assert_eq!(server.end_by_itself(), 0);
}

/// What the image and a service of the compose file set, by their own files.
fn of_the_container(service: &str) -> Vec<(String, String)> {
    let read = |name: &str| {
        let path = format!("{}/../../operations/container/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).expect("it is there")
    };
    let (image, compose) = (read("Containerfile"), read("compose.yaml"));
    let of_image = image
        .split_whitespace()
        .filter_map(|word| word.split_once('=').filter(|(name, _)| name.starts_with("WINDLASS_")));
    let service = compose.split(&format!("\n  {service}:\n")).nth(1).expect("a service");
    let service = service.split("\n\n").next().expect("its end");
    let of_service = service
        .lines()
        .filter_map(|line| line.trim().split_once(": ").filter(|(name, _)| name.starts_with("WINDLASS_")));
    let plain = |(name, value): (&str, &str)| (name.to_owned(), value.trim_matches('"').to_owned());
    of_image.map(plain).chain(of_service.map(plain)).collect()
}

#[test]
fn the_container_starts_as_its_files_set_it_and_asks_for_the_token() {
    for service in ["file", "on-postgres", "on-redis"] {
        let shell = Shell::new();
        let token = "a token of the container, long enough";
        std::fs::write(shell.path("token"), token).expect("our own directory");
        let mut variables = of_the_container(service);
        assert!(variables.len() >= 5, "{variables:?}");
        for (name, value) in &mut variables {
            match name.as_str() {
                "WINDLASS_LISTEN" => *value = value.replace(":7979", ":0"),
                "WINDLASS_TOKEN_FILE" => *value = shell.path("token").display().to_string(),
                // What the store is makes no difference here.
                "WINDLASS_STORE" => "memory:".clone_into(value),
                _ => {}
            }
        }
        let named: Vec<(&str, String)> =
            variables.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        let (server, url) = serve_everywhere(&shell, &named);
        let url = url.replace("0.0.0.0", "127.0.0.1");
        let info = |token: &str| {
            let mut command = shell.command(&["info", "--store", &url]);
            command.env("WINDLASS_TOKEN", token).output().expect("it runs").status.success()
        };
        assert!(info(token) && !info("another token, as long as that one"), "{service}");
        assert_eq!(server.end(), 0);
    }
}

//! The lines of docs/http-api.md, run as they stand.

use std::process::Stdio;

use tokio::process::Command;

use crate::talk::Talk;

/// What curl prints behind a body.
const MARK: &str = "\nstatus ";

/// The fenced lines of a shell that only ask; those that loop or start a server are for people.
fn blocks(text: &str) -> impl Iterator<Item = &str> {
    text.split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .filter(|block| !block.contains("while "))
}

#[tokio::test]
async fn every_example_of_the_documentation_is_a_request_that_makes_sense() {
    let talk = Talk::begin().await;
    let room = tempfile::tempdir().expect("a place");
    std::fs::write(room.path().join("jobs.ndjson"), "{\"queue\":\"email\"}\n").expect("a file");
    // Streams go on for ever, so each line has its time.
    let curl =
        format!("curl() {{ command curl -sS --max-time 5 -w '{}%{{http_code}}\\n' \"$@\"; }}", "\\nstatus ");
    let mut asked = 0;
    for block in blocks(include_str!("../../../../docs/http-api.md")) {
        let lines: String =
            block.split_inclusive('\n').filter(|line| !line.starts_with("windlass ")).collect();
        let script = lines
            .replace("localhost:7979", &talk.address().to_string())
            .replace("/ID", "/01a20349-19a4-7000-a26a-6a7218659a2a")
            .replace("\"ID\"", "\"01a20349-19a4-7000-a26a-6a7218659a2a\"")
            .replace("LEASE", "1.1.1");
        let run = Command::new("sh")
            .args(["-c", &format!("{curl}\n{script}")])
            .current_dir(room.path())
            .stdin(Stdio::null())
            .output()
            .await
            .expect("a shell");
        let told = String::from_utf8_lossy(&run.stdout);
        let statuses: Vec<&str> = told.split(MARK).skip(1).filter_map(|rest| rest.get(..3)).collect();
        assert_eq!(statuses.len(), script.matches("curl ").count(), "{script}\n{told}");
        asked += statuses.len();
        // A job that there is not, or a lease that was never given, is all that may be wrong.
        let is_fine = |status: &&str| status.starts_with('2') || ["404", "409"].contains(status);
        assert!(statuses.iter().all(is_fine) && !told.contains("no_such_route"), "{script}\n{told}");
    }
    assert!(asked > 15, "{asked}");
}

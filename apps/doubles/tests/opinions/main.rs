//! Second opinions: Twilio's own packages for JavaScript and Python use the double as they use Twilio.
//!
//! Each script sends, lists, is called back and judges the callbacks by the package's own validator; it ends at its
//! first surprise. `cargo xtask test` installs what they need, once, below the target directory.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::{net::SocketAddr, path::PathBuf, process::Stdio, time::Duration};

use tokio::process::Command;
use windlass_doubles::{
    Rules,
    twilio::{self, Account, Options},
};

/// A script that has not ended by then never will.
const DEADLINE: Duration = Duration::from_secs(60);
const SID: &str = "AC0123456789abcdef0123456789abcdef";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Where the packages are.
fn shelf() -> PathBuf {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    target.parent().unwrap().join("opinions")
}

/// Has a script use a double, and gives how many texts and calls it took.
async fn opinion(program: PathBuf, script: &str) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let rules = ["+15550000002=machine", "+15550000003=429:2s", "+15550000004=30005"];
    let options = Options {
        account: Some(Account { sid: SID.into(), token: TOKEN.into() }),
        rules: Rules::parse(1, &rules).unwrap(),
        pace: Duration::from_millis(5),
        ..Options::default()
    };
    let addr = SocketAddr::from(([127, 0, 0, 1], 0));
    let handle = twilio::start(addr, &dir.path().join("phone.jsonl"), options).await.unwrap();
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/opinions").join(script);
    let running = Command::new(&program)
        .arg(script)
        .env("DOUBLE_URL", handle.url())
        .env("DOUBLE_SID", SID)
        .env("DOUBLE_TOKEN", TOKEN)
        .env("DOUBLE_PACKAGES", shelf())
        // Nothing of this leaves the machine, whatever the environment says of proxies.
        .env("NO_PROXY", "*")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let ended = tokio::time::timeout(DEADLINE, running).await.expect("the script ends");
    let ended = ended.unwrap_or_else(|error| {
        panic!("{}: {error}; `cargo xtask test -p windlass-doubles` brings it", program.display())
    });
    let [out, err] = [&ended.stdout, &ended.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert!(
        ended.status.success() && out.trim_end().ends_with("agreed"),
        "{out}{err}\n(`cargo xtask test -p windlass-doubles` brings packages that are missing)"
    );
    handle.shutdown().await.accepted
}

#[tokio::test]
async fn the_official_client_for_javascript_takes_the_double_for_twilio() {
    assert_eq!(opinion("node".into(), "client.cjs").await, 8);
}

#[tokio::test]
async fn the_official_client_for_python_takes_the_double_for_twilio() {
    assert_eq!(opinion(shelf().join("python/bin/python"), "client.py").await, 8);
}

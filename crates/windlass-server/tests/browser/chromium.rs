//! A headless Chromium of its own for each test, driven over WebDriver (W3C) through a chromedriver of its own.
//!
//! The protocol is JSON over HTTP, and this is the part of it that the tests need; decision 0022 says why it is no
//! library. What a person does in a page is in `person`. Nothing outlives a test: the browser ends when its driver does,
//! because it is told what to do through a pipe, and the driver is stopped by its process id, also when a test fails.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::asker::asker;

/// How long a page is asked for what it ought to show. Only a test that fails waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How long one request to the driver may take: what it waits for by itself, and a start on a busy machine.
const ANSWER_WITHIN: Duration = Duration::from_secs(90);
/// As wide as the window of a laptop, so that no page is in its narrow shape unless a test asks for it.
pub(crate) const WIDE: (u32, u32) = (1280, 900);

/// The word that WebDriver has for the id of an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// No request leaves the machine, whatever a page holds: a name that is not the server's leads nowhere.
const FLAGS: [&str; 13] = [
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-device-scale-factor=1",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

/// A browser with one window.
pub(crate) struct Chromium {
    driver: Child,
    /// Kept open: a driver that writes to nobody would end.
    _told: ChildStdout,
    _profile: TempDir,
    http: reqwest::Client,
    session: String,
}

/// A request that the driver or the page refused.
#[derive(Debug)]
pub(crate) struct Refused {
    /// WebDriver's word for it.
    pub(crate) code: String,
    pub(crate) text: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What follows the first line is the driver's own stack.
        write!(f, "{}: {}", self.code, self.text.lines().next().unwrap_or_default())
    }
}

pub(crate) type Answer<T> = Result<T, Refused>;

/// An element that was found in the page.
#[derive(Clone, Debug)]
pub(crate) struct Element(String);

impl Chromium {
    /// Starts a driver on a free port, and a browser with a new profile.
    pub(crate) async fn start() -> Self {
        let profile = tempfile::tempdir().expect("a temporary directory");
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("chromedriver does not start: {error}; `cargo xtask test` installs it (Debian: apt-get install chromium chromium-driver)"));
        let mut told = BufReader::new(driver.stdout.take().expect("it is piped"));
        let port = port(&mut told);
        let mut chromium = Self {
            driver,
            _told: told.into_inner(),
            http: asker().timeout(ANSWER_WITHIN).no_proxy().build().expect("a client"),
            session: format!("http://127.0.0.1:{port}/session"),
            _profile: profile,
        };
        let opened = chromium.post("", &chromium.wishes()).await.unwrap_or_else(|refused| {
            panic!("chromium does not start: {refused} (Debian: apt-get install chromium chromium-driver)")
        });
        let id = opened["sessionId"].as_str().expect("a session has an id").to_owned();
        chromium.session = format!("{}/{id}", chromium.session);
        let ms = u64::try_from(PATIENCE.as_millis()).expect("it is short");
        chromium
            .post("/timeouts", &json!({"implicit": ms, "pageLoad": ms, "script": ms}))
            .await
            .expect("bounds of time");
        chromium.size(WIDE).await;
        chromium
    }

    fn wishes(&self) -> Value {
        let profile = format!("--user-data-dir={}", self._profile.path().display());
        let arguments: Vec<&str> = FLAGS.into_iter().chain([profile.as_str(), "about:blank"]).collect();
        json!({"capabilities": {"alwaysMatch": {
            // A dialog stays open and is seen; nobody answers it unasked.
            "unhandledPromptBehavior": "ignore",
            "goog:loggingPrefs": {"performance": "ALL", "browser": "ALL"},
            "goog:chromeOptions": {"args": arguments},
        }}})
    }

    /// Gives the window that size.
    pub(crate) async fn size(&self, (width, height): (u32, u32)) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Has pages see a system that is set to that theme.
    pub(crate) async fn theme(&self, theme: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": theme}]});
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// Has pages run no scripts, from the next page on.
    pub(crate) async fn without_scripts(&self) {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({"value": true})).await;
    }

    /// Has that script run in every page before the page's own.
    pub(crate) async fn before_each_page(&self, script: &str) {
        self.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": script})).await;
    }

    /// What only Chromium can be asked for.
    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let asked = json!({"cmd": command, "params": parameters});
        self.post("/goog/cdp/execute", &asked).await.unwrap_or_else(|refused| panic!("{command}: {refused}"))
    }

    /// What has happened since it was asked last: `performance` for requests and dialogs, `browser` for the console.
    pub(crate) async fn log(&self, kind: &str) -> Vec<String> {
        let entries = self.post("/se/log", &json!({"type": kind})).await.expect("a log");
        let entries = entries.as_array().map(Vec::as_slice).unwrap_or_default();
        entries.iter().filter_map(|entry| entry["message"].as_str()).map(ToOwned::to_owned).collect()
    }

    /// Opens an address, and waits until the page has loaded.
    pub(crate) async fn open(&self, address: &str) -> Answer<()> {
        self.post("/url", &json!({"url": address})).await.map(drop)
    }

    pub(crate) async fn address(&self) -> String {
        self.get("/url").await.ok().and_then(|url| url.as_str().map(ToOwned::to_owned)).unwrap_or_default()
    }

    pub(crate) async fn back(&self) -> Answer<()> {
        self.post("/back", &json!({})).await.map(drop)
    }

    pub(crate) async fn reload(&self) -> Answer<()> {
        self.post("/refresh", &json!({})).await.map(drop)
    }

    /// The element at that XPath, once there is one.
    pub(crate) async fn find(&self, path: &str) -> Answer<Element> {
        let found = self.post("/element", &json!({"using": "xpath", "value": path})).await?;
        Ok(Element(found[ELEMENT].as_str().unwrap_or_default().to_owned()))
    }

    pub(crate) async fn click(&self, element: &Element) -> Answer<()> {
        self.post(&format!("/element/{}/click", element.0), &json!({})).await.map(drop)
    }

    pub(crate) async fn clear(&self, element: &Element) -> Answer<()> {
        self.post(&format!("/element/{}/clear", element.0), &json!({})).await.map(drop)
    }

    /// Types into an element, which gets the focus.
    pub(crate) async fn write(&self, element: &Element, text: &str) -> Answer<()> {
        self.post(&format!("/element/{}/value", element.0), &json!({"text": text})).await.map(drop)
    }

    /// Presses and releases these keys, one after the other, wherever the focus is.
    pub(crate) async fn keys(&self, keys: &str) -> Answer<()> {
        let strokes: Vec<Value> = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key.to_string()})))
            .collect();
        let actions = json!({"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]});
        self.post("/actions", &actions).await.map(drop)
    }

    /// What a script returns; one that is given `done` as its last argument calls that instead.
    pub(crate) async fn run(&self, script: &str, arguments: Value) -> Answer<Value> {
        self.post("/execute/sync", &json!({"script": script, "args": arguments})).await
    }

    pub(crate) async fn run_async(&self, script: &str, arguments: Value) -> Answer<Value> {
        self.post("/execute/async", &json!({"script": script, "args": arguments})).await
    }

    /// What the window shows, as a PNG.
    pub(crate) async fn picture(&self) -> Answer<Vec<u8>> {
        use base64::Engine as _;
        let text = self.get("/screenshot").await?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap_or_default());
        bytes.map_err(|error| Refused { code: "no picture".into(), text: error.to_string() })
    }

    async fn get(&self, path: &str) -> Answer<Value> {
        self.answer(self.http.get(format!("{}{path}", self.session))).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer<Value> {
        self.answer(self.http.post(format!("{}{path}", self.session)).body(body.to_string())).await
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Answer<Value> {
        let no_answer = |error: reqwest::Error| Refused { code: "no answer".into(), text: error.to_string() };
        let bytes = request.send().await.map_err(no_answer)?.bytes().await.map_err(no_answer)?;
        let mut answer: Value = serde_json::from_slice(&bytes)
            .map_err(|error| Refused { code: "no JSON".into(), text: error.to_string() })?;
        let value = answer["value"].take();
        match value["error"].as_str() {
            Some(code) => {
                let text = value["message"].as_str().unwrap_or_default().to_owned();
                Err(Refused { code: code.to_owned(), text })
            }
            None => Ok(value),
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // The other end of the browser's pipe goes with it, and so does the browser.
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The port that the driver says it listens on.
fn port(told: &mut BufReader<ChildStdout>) -> u16 {
    const BEFORE: &str = "started successfully on port ";
    let lines = told.lines().map_while(Result::ok);
    let ports = lines.filter_map(|line| line.split_once(BEFORE)?.1.trim_end_matches('.').parse().ok());
    ports.into_iter().next().expect("chromedriver says its port")
}

/// Where tests leave what people may look at: below `target`, one folder for all of them.
pub(crate) fn shelf() -> PathBuf {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    target.parent().expect("it is in the target folder").join("browser")
}

//! A person at a browser: opens pages, reads them, clicks what has a name, types into what has a label.
//!
//! Whatever is asked for is waited for, with a bound: a page that is live changes while somebody looks at it.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use serde_json::{Value, json};

use crate::chromium::{Answer, Chromium, Element, PATIENCE, Refused, shelf};
use crate::home::Home;

/// Keys as WebDriver spells them.
pub(crate) const ENTER: &str = "\u{e007}";
pub(crate) const TAB: &str = "\u{e004}";
pub(crate) const ESCAPE: &str = "\u{e00c}";
pub(crate) const SPACE: &str = " ";

/// How soon somebody looks again whether it is so.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Somebody who looks at the pages of one server.
pub(crate) struct Person {
    pub(crate) browser: Chromium,
    server: String,
    step: RefCell<String>,
}

/// Runs a story in a browser of its own. When it fails, it is said in which step and on which page, and where the
/// picture of that page is.
pub(crate) fn story<F>(name: &str, told: F)
where
    F: AsyncFnOnce(&mut Person),
{
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let browser = Chromium::start().await;
        let mut person = Person { browser, server: String::new(), step: RefCell::default() };
        let outcome = AssertUnwindSafe(told(&mut person)).catch_unwind().await;
        if let Err(panic) = outcome {
            let step = person.step.borrow().clone();
            let page = person.browser.address().await;
            eprintln!("\nthe story failed while somebody {step}\n  page:    {page}");
            eprintln!("  picture: {}\n", person.leave_picture(name).await);
            drop(person);
            resume_unwind(panic);
        }
    });
}

impl Person {
    /// From here on addresses are those of that server.
    pub(crate) fn visits(&mut self, home: &Home) {
        self.server = home.url();
    }

    /// What somebody does now, for whoever reads of a failure.
    pub(crate) fn now(&self, step: impl Into<String>) {
        *self.step.borrow_mut() = step.into();
    }

    /// Opens a page of the server.
    pub(crate) async fn opens(&self, path: &str) {
        let opened = self.browser.open(&format!("{}{path}", self.server)).await;
        opened.unwrap_or_else(|refused| panic!("{path} does not open: {refused}"));
    }

    pub(crate) async fn reloads(&self) {
        self.browser.reload().await.unwrap_or_else(|refused| panic!("no reload: {refused}"));
    }

    pub(crate) async fn goes_back(&self) {
        self.browser.back().await.unwrap_or_else(|refused| panic!("no way back: {refused}"));
    }

    /// The path of the page, with its query.
    pub(crate) async fn path(&self) -> String {
        let address = self.browser.address().await;
        address.strip_prefix(&self.server).map(ToOwned::to_owned).unwrap_or(address)
    }

    /// Waits until the page says that, anywhere.
    pub(crate) async fn reads(&self, text: &str) {
        self.finds(&format!("//body[contains(normalize-space(.), {})]", quoted(text)), text).await;
    }

    /// Waits until the page does not say that, anywhere.
    pub(crate) async fn reads_no(&self, text: &str) {
        let path = format!("//body[not(contains(normalize-space(.), {}))]", quoted(text));
        self.finds(&path, &format!("a page without {text:?}")).await;
    }

    /// Waits until the element with that id says that.
    pub(crate) async fn reads_in(&self, id: &str, text: &str) {
        let path = format!("//*[@id='{id}'][contains(normalize-space(.), {})]", quoted(text));
        self.finds(&path, &format!("{text:?} in {id}")).await;
    }

    /// Waits until there is an element at that XPath.
    pub(crate) async fn finds(&self, path: &str, what: &str) -> Element {
        self.patiently(what, async || self.browser.find(path).await).await
    }

    /// Clicks the button or the link of that name.
    pub(crate) async fn clicks(&self, name: &str) {
        let named = format!("normalize-space()={0} or @aria-label={0}", quoted(name));
        self.clicks_at(&format!("//*[self::a or self::button or self::summary][{named}]"), name).await;
    }

    /// Clicks what is at that XPath.
    pub(crate) async fn clicks_at(&self, path: &str, what: &str) {
        self.patiently(what, async || self.browser.click(&self.browser.find(path).await?).await).await;
    }

    /// Writes into the first field whose label begins so, in the place of what stood there.
    pub(crate) async fn fills(&self, label: &str, text: &str) {
        let path = format!("//*[@id = //label[starts-with(normalize-space(), {})]/@for]", quoted(label));
        self.fills_at(&path, label, text).await;
    }

    /// Writes into the field at that XPath, in the place of what stood there.
    pub(crate) async fn fills_at(&self, path: &str, what: &str, text: &str) {
        self.patiently(what, async || {
            let field = self.browser.find(path).await?;
            self.browser.clear(&field).await?;
            self.browser.write(&field, text).await
        })
        .await;
    }

    /// Presses keys, wherever the focus is.
    pub(crate) async fn presses(&self, keys: &str) {
        self.browser.keys(keys).await.unwrap_or_else(|refused| panic!("keys: {refused}"));
    }

    /// What the focused element says, or is called.
    pub(crate) async fn focus(&self) -> String {
        let script = "const e = document.activeElement; return e.ariaLabel || e.innerText.trim() || e.id || e.localName;";
        self.runs(script, json!([])).await.as_str().unwrap_or_default().to_owned()
    }

    /// What a script returns in the page.
    pub(crate) async fn runs(&self, script: &str, arguments: Value) -> Value {
        self.browser.run(script, arguments).await.unwrap_or_else(|refused| panic!("a script: {refused}"))
    }

    /// Remembers this page, so that [`Self::is_still_there`] can tell it from the same page loaded again.
    pub(crate) async fn marks_the_page(&self) {
        self.runs("window.isMarked = true", json!([])).await;
    }

    /// Whether the page was not loaded again since it was marked.
    pub(crate) async fn is_still_there(&self) -> bool {
        self.runs("return window.isMarked === true", json!([])).await == json!(true)
    }

    /// Waits until it is so.
    pub(crate) async fn waits_until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let so = async {
            while !is_so().await {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::time::timeout(PATIENCE, so).await.unwrap_or_else(|_| panic!("it never came that {what}"));
    }

    /// A live page replaces its parts: what was found may be gone before it is clicked, and is then found again.
    async fn patiently<T>(&self, what: &str, attempt: impl AsyncFn() -> Answer<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            match attempt().await {
                Ok(done) => return done,
                Err(refused) if is_of_a_moment(&refused) && Instant::now() < until => {}
                Err(refused) => panic!("{what:?} is not to be had: {refused}"),
            }
        }
    }

    /// Leaves a picture of the page where people find it, and says where.
    async fn leave_picture(&self, name: &str) -> String {
        let path = shelf().join(format!("failed-{}.png", name.replace(' ', "-")));
        let kept = match self.browser.picture().await {
            Ok(png) => std::fs::create_dir_all(shelf()).and_then(|()| std::fs::write(&path, png)),
            Err(refused) => return format!("none: {refused}"),
        };
        kept.map_or_else(|error| format!("none: {error}"), |()| path.display().to_string())
    }
}

fn is_of_a_moment(refused: &Refused) -> bool {
    let codes = ["stale element reference", "element click intercepted", "element not interactable"];
    codes.contains(&refused.code.as_str())
}

/// As XPath spells a text, which has no way to escape a quote.
fn quoted(text: &str) -> String {
    if text.contains('\'') { format!("\"{text}\"") } else { format!("'{text}'") }
}

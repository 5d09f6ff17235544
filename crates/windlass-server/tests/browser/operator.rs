//! What an operator does: mends a dead job, stops a queue, changes a limit, retries a failure mode and thinks again.

use serde_json::json;
use windlass::{Client, Draft, JobId};
use windlass_core::State;
use windlass_core::store::{Counts, From};

use crate::chromium::PATIENCE;
use crate::crew::{BAD_CARD, Crew};
use crate::document::held;
use crate::person::{Person, story};
use crate::stock::{Stock, queue};

/// Jobs of the failure mode that is retried.
const DEAD: usize = 10_000;

/// The field among the settings of a queue; groups and the target have fields with that label too.
const CONCURRENCY: &str = "//*[@id='s-concurrency']";

async fn store() -> Client {
    windlass::open("memory:").await.expect("a store")
}

fn charge(card: &str, order: usize) -> Draft {
    Draft::raw("payments", "charge", format!("{{\"card\": \"{card}\", \"order\": {order}}}"))
}

/// Waits until the job is in that state.
async fn becomes(client: &Client, id: JobId, state: State) {
    let mut events = client.events(From::Earliest);
    let seen = async {
        loop {
            if client.get(id).await.expect("a look").is_some_and(|job| job.view.state == state) {
                return;
            }
            events.next().await.expect("an event");
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.unwrap_or_else(|_| panic!("{id} never was {state}"));
}

/// A queue of payments of which one has died, and its worker.
async fn payments() -> (Client, Crew, JobId) {
    let client = store().await;
    let crew = Crew::of(&client, &["payments"], 8).await;
    for order in 0..40 {
        client.enqueue(charge("4111", order)).await.expect("an enqueue");
    }
    let dead = client.enqueue(charge(BAD_CARD, 4711)).await.expect("an enqueue").id;
    crew.let_go(41);
    becomes(&client, dead, State::Dead).await;
    (client, crew, dead)
}

/// Finds the dead job, reads why it died, and saves it with another card.
async fn mends(person: &Person, dead: JobId) {
    person.now("looks at what is wrong");
    person.opens("/").await;
    person.reads_in("wrong", "has 1 dead job").await;
    person.now("searches for the dead job");
    person.fills("Search jobs", "kind:charge state:dead error:declined\n").await;
    person.reads_in("jobs", "card 4000 was declined: insufficient_funds").await;
    person.clicks_at("//table//a[contains(@class, 'row')]", "the row of the job").await;
    assert_eq!(person.path().await, format!("/jobs/{dead}"));
    person.now("reads why it died");
    person.reads_in("head", "card 4000 was declined: insufficient_funds").await;
    person.reads_in("attempts", "CardError").await;
    person.reads_in("attempts", "charging with").await;
    person.now("writes another card into its payload");
    person.clicks("Edit and retry").await;
    person.fills("Payload", "{\"card\": \"4111\", \"order\": 4711}").await;
    person.clicks("Save and retry").await;
    person.reads("The job is changed. It is retried.").await;
    assert_eq!(person.path().await, format!("/jobs/{dead}"), "it stays the same job");
}

#[test]
fn a_dead_job_is_found_read_mended_and_seen_to_complete() {
    story("mend", async |person| {
        let (client, crew, dead) = payments().await;
        let home = held(&client);
        person.visits(&home);
        mends(person, dead).await;
        person.now("watches it run and complete, without loading the page again");
        person.reads_in("head", "running").await;
        person.marks_the_page().await;
        crew.let_go(1);
        person.reads_in("head", "completed").await;
        person.reads_in("attempts", "#2").await;
        person.reads_in("attempts", "insufficient_funds").await;
        assert!(person.is_still_there().await, "the page was loaded again");
        crew.goes_home().await;
    });
}

#[test]
fn without_scripts_a_dead_job_is_mended_by_forms_and_reloads() {
    story("mend without scripts", async |person| {
        let (client, crew, dead) = payments().await;
        let home = held(&client);
        person.visits(&home);
        person.browser.without_scripts().await;
        mends(person, dead).await;
        for id in ["live", "pause", "theme", "keys-open"] {
            person.now(format!("looks for the control {id}, which would do nothing"));
            person.finds(&format!("//*[@id='{id}'][@hidden]"), "a hidden control").await;
        }
        person.now("loads the page until the job has completed");
        crew.runs(1).await;
        person.reloads().await;
        person.reads_in("head", "running").await;
        crew.let_go(1);
        becomes(&client, dead, State::Completed).await;
        person.reads_in("head", "running").await;
        person.reloads().await;
        person.reads_in("head", "completed").await;
        crew.goes_home().await;
    });
}

#[test]
fn a_paused_queue_gives_nothing_out_until_it_is_resumed() {
    story("pause", async |person| {
        let client = store().await;
        let crew = Crew::of(&client, &["email", "sms"], 4).await;
        client.set_queue("email", windlass_core::queue::QueueSettings::default()).await.expect("a queue");
        let home = held(&client);
        person.visits(&home);
        person.now("pauses the queue");
        person.opens("/queues/email").await;
        person.clicks_at("//section[@id='head']//button[.='Pause']", "Pause").await;
        person.reads_in("head", "paused").await;
        person.marks_the_page().await;

        person.now("sees jobs wait in it");
        for _ in 0..3 {
            client.enqueue(Draft::raw("email", "send", *b"{}")).await.expect("an enqueue");
        }
        person
            .finds(
                "//section[@id='head']//li[normalize-space()='3 ready' or normalize-space()='3ready']",
                "3 ready",
            )
            .await;
        // The same worker asks for both queues, so a job of the other one says that it has asked since.
        let other = client.enqueue(Draft::raw("sms", "send", *b"{}")).await.expect("an enqueue").id;
        crew.let_go(1);
        becomes(&client, other, State::Completed).await;
        let counts = counts(&client, "email").await;
        assert_eq!((counts.of(State::Ready), counts.of(State::Running)), (3, 0));
        person.now("resumes the queue and sees its jobs complete");
        assert!(person.is_still_there().await, "the page was loaded again");
        person.clicks_at("//section[@id='head']//button[.='Resume']", "Resume").await;
        person.reads_in("head", "working").await;
        crew.let_go(3);
        person.finds("//dl[@class='sums']/div[dt='completed'][dd='3']", "3 completed").await;
        crew.goes_home().await;
    });
}

#[test]
fn a_concurrency_that_is_saved_in_a_form_holds_in_a_running_worker() {
    story("concurrency", async |person| {
        let client = store().await;
        let crew = Crew::of(&client, &["email"], 8).await;
        for _ in 0..40 {
            client.enqueue(Draft::raw("email", "send", *b"{}")).await.expect("an enqueue");
        }
        crew.runs(8).await;
        let home = held(&client);
        person.visits(&home);
        person.now("sets a concurrency of 2");
        person.opens("/queues/email").await;
        person.reads_in("head", "8").await;
        person.fills_at(CONCURRENCY, "the queue's concurrency", "2\n").await;
        person.reads("concurrency: none → 2").await;
        crew.let_go(8);
        crew.runs(2).await;
        crew.most();
        for _ in 0..6 {
            crew.let_go(1);
        }
        person.finds("//dl[@class='sums']/div[dt='completed'][dd='14']", "14 completed").await;
        crew.runs(2).await;
        assert_eq!(crew.most(), 2, "the concurrency did not hold");

        person.now("writes nonsense into the form");
        person.fills_at(CONCURRENCY, "the queue's concurrency", "lots\n").await;
        person
            .finds("//*[@id='s-concurrency'][@aria-invalid='true'][@value='lots']", "what was written")
            .await;
        person.now("sets a concurrency of 5");
        person.fills_at(CONCURRENCY, "the queue's concurrency", "5\n").await;
        crew.runs(5).await;
        person.now("looks at the job that waits for it");
        person.opens("/jobs?filter=queue:email+state:ready").await;
        person.clicks_at("//table//a[contains(@class, 'row')]", "a row").await;
        person.reads_in("head", "concurrency").await;
        crew.goes_home().await;
    });
}

#[test]
fn a_failure_mode_is_retried_at_a_rate_and_the_operation_aborted_half_way() {
    story("operation", async |person| {
        let stock = Stock::empty().await;
        stock.kill_many("email", DEAD).await;
        let home = held(&stock.client);
        person.visits(&home);
        person.now("finds the failure mode");
        person.opens("/errors").await;
        person.reads_in("modes", "10,000").await;
        person.clicks("Retry all dead…").await;
        person.now("asks for it at a rate");
        person.reads("10,000 jobs").await;
        person.fills("Rate", "1000/s").await;
        person.clicks("Retry 10,000 jobs").await;
        person.now("watches it go on");
        let half = "//*[@id='done'][number(translate(., ',', '')) >= 2000]";
        person.finds(half, "2,000 jobs done").await;
        person.now("pauses and resumes it");
        person.clicks("Pause operation").await;
        person.reads_in("stage", "paused").await;
        person.clicks("Resume operation").await;
        person.now("aborts it");
        let half = "//*[@id='done'][number(translate(., ',', '')) >= 4000]";
        person.finds(half, "4,000 jobs done").await;
        person.clicks("Abort operation").await;
        person.reads_in("stage", "aborted").await;
        person.reads_in("operation", "What was done stays done").await;
        person.marks_the_page().await;
        person.now("sees that its count is the truth");
        let counted = || async {
            let counts = stock.counts("email").await;
            let shown = person.runs("return document.getElementById('done').textContent", json!([])).await;
            let shown: u64 = shown.as_str().unwrap_or_default().replace(',', "").parse().unwrap_or_default();
            assert_eq!(counts.of(State::Ready) + counts.of(State::Dead), DEAD as u64);
            shown == counts.of(State::Ready)
        };
        person.waits_until("the page counts what was retried", counted).await;
        let left = stock.counts("email").await.of(State::Dead);
        assert!(left > 0, "nothing was left to abort");
        assert!(person.is_still_there().await, "the page was loaded again");
        person.now("finds it among the operations");
        person.opens("/bulk").await;
        person.reads_in("operations", "aborted").await;
    });
}

async fn counts(client: &Client, name: &str) -> Counts {
    client.store().queues(Some(queue(name)), None).await.expect("queues").remove(0).counts
}

impl Stock {
    async fn counts(&self, name: &str) -> Counts {
        counts(&self.client, name).await
    }

    /// So many dead jobs that failed the same way.
    async fn kill_many(&self, name: &str, n: usize) {
        let drafts = (0..n).map(|n| Draft::raw(name, "send", format!("{{\"n\":{n}}}")));
        for answer in self.client.enqueue_many(drafts).await.expect("a bulk") {
            answer.expect("an enqueue");
        }
        for _ in 0..n {
            self.kill(name, "connection to smtp-2 timed out after 3000 ms", "Timeout", "at smtp.rs:9").await;
        }
    }
}

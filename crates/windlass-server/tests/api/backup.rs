//! `GET /v1/backup`: a whole store as one answer.

use crate::asker::asker;
use crate::document::held;

#[tokio::test]
async fn a_backup_comes_with_its_length_and_one_that_breaks_off_is_seen_to() {
    let client = windlass::open("memory:").await.expect("a store");
    let home = held(&client);
    let ask = asker().build().expect("a client");
    for n in 0..40 {
        let sent = ask
            .post(format!("{}/v1/queues/q/jobs", home.url()))
            .body(format!("{{\"n\":{n}}}{}", " ".repeat(40_000)));
        assert_eq!(
            sent.header("content-type", "application/json").send().await.expect("an answer").status(),
            201
        );
    }
    let url = format!("{}/v1/backup", home.url());
    let answer = ask.get(&url).send().await.expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &"application/x-tar".parse().expect("text"))
    );
    let told: usize = answer.headers()["content-length"].to_str().expect("text").parse().expect("a number");
    let bytes = answer.bytes().await.expect("all of it");
    assert_eq!(bytes.len(), told);
    assert!(bytes.starts_with(b"windlass-backup.json\0"));
    // The server ends while somebody takes his time: what he has is no backup, and he is told.
    let slow = ask.get(&url).send().await.expect("an answer");
    let ending = tokio::task::spawn_blocking(move || drop(home));
    let taken = slow.bytes().await;
    // All of it may have been on its way already.
    assert!(taken.as_ref().map_or(true, |bytes| bytes.len() >= told), "{taken:?}");
    ending.await.expect("it ends");
}

//! What `keep_ms` deletes, and what it leaves.

use windlass_archive::Options;

use crate::life::Life;
use crate::place::Place;

const DAY_MS: u64 = 24 * 3_600_000;

#[tokio::test]
async fn the_history_of_a_job_goes_when_its_end_is_too_old_and_not_before() {
    let mut life = Life::new();
    life.every_ending().await;
    life.pass(10 * DAY_MS);
    life.complete_many(4).await;
    for place in Place::both() {
        windlass_archive::forget(life.store.as_ref(), "main").await.expect("forgotten");
        let keep = |days: u64| Options { keep_ms: Some(days * DAY_MS), adopt: true, ..Options::default() };
        let mut archiver = life.archiver(&place, keep(30)).await;
        archiver.catch_up(|_| {}).await.expect("it catches up");
        let jobs = place.count("(SELECT count(*) FROM job)").await;
        assert_eq!(archiver.standing().deleted, 0);
        drop(archiver);
        let ended = place.count("(SELECT count(*) FROM job WHERE ended_at IS NOT NULL)").await;
        let live = place.count("(SELECT count(*) FROM job WHERE ended_at IS NULL)").await;
        assert_eq!((jobs, live), (ended + live, 2), "what was deleted while it waited has ended");
        let mut archiver = life.archiver_when_free(&place, keep(5)).await;
        archiver.catch_up(|_| {}).await.expect("it catches up");
        assert_eq!(archiver.standing().deleted, jobs - live - 4);
        assert_eq!(place.count("(SELECT count(*) FROM job)").await, live + 4);
        assert_eq!(
            place.count("(SELECT count(*) FROM attempt WHERE job NOT IN (SELECT id FROM job))").await,
            0
        );
        assert_eq!(place.count("(SELECT count(*) FROM retry)").await, 0);
        assert_eq!(
            place.count("(SELECT count(*) FROM failure_mode)").await,
            0,
            "titles go with their last attempt"
        );
        assert_eq!(
            place.count("(SELECT count(*) FROM attempt)").await,
            4 + live - 1,
            "those of live jobs stay"
        );
    }
}

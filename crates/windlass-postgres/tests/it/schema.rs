//! The schema: what erases it, and whom it belongs to.

use crate::{client, job, shared, store};
use windlass_core::store::{Admin, Queue};
use windlass_postgres::PostgresStore;

#[tokio::test]
async fn an_erased_schema_is_gone_and_its_neighbour_stays() {
    let url = shared().url("postgres");
    for schema in ["erased", "erased_not"] {
        let store = store(shared(), schema).await;
        store.enqueue(vec![job(1)], false, None).await.unwrap().remove(0).unwrap();
    }
    assert!(PostgresStore::erase(&url, "erased").await.unwrap());
    assert!(!PostgresStore::erase(&url, "erased").await.unwrap(), "there is none any more");
    assert_eq!(store(shared(), "erased").await.info().await.unwrap().jobs, 0);
    assert_eq!(store(shared(), "erased_not").await.info().await.unwrap().jobs, 1);
}

#[tokio::test]
async fn a_schema_of_somebody_else_is_not_erased() {
    let client = client(shared()).await;
    // Even one that has a table of the same name.
    client
        .batch_execute("CREATE SCHEMA theirs; CREATE TABLE theirs.schema (version int); CREATE TABLE theirs.orders (id int)")
        .await
        .unwrap();
    let told =
        PostgresStore::erase(&shared().url("postgres"), "theirs").await.expect_err("theirs").to_string();
    assert!(told.contains("theirs is not a store"), "{told}");
    client.query("SELECT FROM theirs.orders", &[]).await.expect("it is still there");
    for name in ["public", "pg_catalog", "x; DROP SCHEMA erased"] {
        PostgresStore::erase(&shared().url("postgres"), name).await.expect_err(name);
    }
}

//! TLS to a real server, with certificates that are made here: who is let in, who is not, and that nothing goes in the clear.

use crate::authority::Authority;
use crate::job;
use crate::server::Server;
use std::net::SocketAddr;
use windlass_core::store::Queue;
use windlass_postgres::{OpenError, Options, PostgresStore};

async fn open(host: &str, address: SocketAddr, query: &str) -> Result<PostgresStore, OpenError> {
    let url = format!("postgres://windlass@{host}:{}/postgres?application_name=tls&{query}", address.port());
    PostgresStore::open(&url, Options { upkeep: false, ..Options::default() }).await
}

#[tokio::test]
async fn a_server_is_believed_as_far_as_sslmode_says() {
    let (ours, other) = (Authority::new(), Authority::new());
    let (server, address) = ours.server();
    for (host, query) in [
        ("localhost", format!("sslmode=verify-full&sslrootcert={}", ours.file())),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={}", ours.file())),
        ("127.0.0.1", "sslmode=require".to_owned()),
        ("127.0.0.1", "sslmode=prefer".to_owned()),
        ("127.0.0.1", String::new()),
    ] {
        let store = open(host, address, &query).await.unwrap_or_else(|why| panic!("{host} {query}: {why}"));
        store.enqueue(vec![job(1)], false, None).await.unwrap().remove(0).unwrap();
        let safe = "SELECT bool_and(s.ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.application_name = 'tls'";
        assert_eq!(server.sql(safe), "t", "{query}: nothing goes in the clear");
    }
    for (host, query, says) in [
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={}", ours.file()), "not valid for name"),
        ("localhost", format!("sslmode=verify-full&sslrootcert={}", other.file()), "certificate"),
        ("localhost", format!("sslmode=verify-ca&sslrootcert={}", other.file()), "certificate"),
        ("localhost", format!("sslmode=require&sslrootcert={}", other.file()), "certificate"),
        ("localhost", "sslmode=verify-full".to_owned(), "certificate"),
        (
            "localhost",
            "sslmode=verify-full&sslrootcert=/no/such/file".to_owned(),
            "sslrootcert /no/such/file",
        ),
    ] {
        let told = open(host, address, &query).await.expect_err(&query).to_string();
        assert!(told.contains(says), "{host} {query}: {told}");
    }
    let store = open("localhost", address, "sslmode=disable").await.expect("the server takes it too");
    drop(store);
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_it_is_required_and_taken_where_it_is_preferred() {
    let (_server, address) = Server::on_loopback();
    let told = open("localhost", address, "sslmode=require").await.expect_err("no TLS").to_string();
    assert!(told.contains("does not support TLS"), "{told}");
    open("localhost", address, "sslmode=prefer").await.expect("in the clear, as asked");
}

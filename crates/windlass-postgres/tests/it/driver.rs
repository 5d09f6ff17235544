//! A user's own connection, by each of the drivers that jobs and completions can go with.

use crate::server::Server;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio_postgres::Client;
use windlass_core::store::{Enqueued, PerItem};
use windlass_core::{Lease, NewJob, Rejection, StoreError};

/// What a test does on a user's connection.
pub(crate) trait Driver: Sized {
    async fn connect(server: &Server) -> Self;
    async fn run(&mut self, sql: &str);
    async fn enqueue_in(&mut self, schema: &str, jobs: &[NewJob]) -> Result<PerItem<Enqueued>, StoreError>;
    async fn complete_in(
        &mut self,
        schema: &str,
        lease: &Lease,
        result: Option<&[u8]>,
    ) -> Result<Result<(), Rejection>, StoreError>;

    /// One job, which must be taken.
    async fn enqueue_one(&mut self, schema: &str, job: &NewJob) -> Enqueued {
        self.enqueue_in(schema, std::slice::from_ref(job)).await.unwrap().remove(0).unwrap()
    }
}

impl Driver for Client {
    async fn connect(server: &Server) -> Self {
        crate::client(server).await
    }

    async fn run(&mut self, sql: &str) {
        self.batch_execute(sql).await.unwrap();
    }

    async fn enqueue_in(&mut self, schema: &str, jobs: &[NewJob]) -> Result<PerItem<Enqueued>, StoreError> {
        windlass_postgres::enqueue_in(self, schema, jobs).await
    }

    async fn complete_in(
        &mut self,
        schema: &str,
        lease: &Lease,
        result: Option<&[u8]>,
    ) -> Result<Result<(), Rejection>, StoreError> {
        windlass_postgres::complete_in(self, schema, lease, result).await
    }
}

impl Driver for PgConnection {
    async fn connect(server: &Server) -> Self {
        let (host, port) = server.place();
        let options = sqlx::postgres::PgConnectOptions::new_without_pgpass()
            .socket(host)
            .port(port)
            .username("windlass")
            .database("postgres");
        PgConnection::connect_with(&options).await.unwrap()
    }

    async fn run(&mut self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(self).await.unwrap();
    }

    async fn enqueue_in(&mut self, schema: &str, jobs: &[NewJob]) -> Result<PerItem<Enqueued>, StoreError> {
        windlass_postgres::sqlx::enqueue_in(self, schema, jobs).await
    }

    async fn complete_in(
        &mut self,
        schema: &str,
        lease: &Lease,
        result: Option<&[u8]>,
    ) -> Result<Result<(), Rejection>, StoreError> {
        windlass_postgres::sqlx::complete_in(self, schema, lease, result).await
    }
}

/// Makes a test of each function for each driver, in a schema of its own.
macro_rules! by_each_driver {
    ($($name:ident in $schema:literal;)*) => {
        mod by_tokio_postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name::<tokio_postgres::Client>(concat!("tp_", $schema)).await;
            })*
        }
        mod by_sqlx {
            $(#[tokio::test]
            async fn $name() {
                super::$name::<sqlx::PgConnection>(concat!("sx_", $schema)).await;
            })*
        }
    };
}
pub(crate) use by_each_driver;

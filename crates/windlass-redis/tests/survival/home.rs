//! Where the load finds the store.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use windlass_core::store::Store;
use windlass_redis::{RedisOptions, RedisStore};
use windlass_survival::Home;

/// The server at a URL.
pub(crate) struct At(pub(crate) String);

impl Home for At {
    fn store(&self) -> &'static str {
        "redis"
    }

    fn open(&self, upkeep: bool) -> Pin<Box<dyn Future<Output = Arc<dyn Store>> + Send + '_>> {
        Box::pin(async move {
            let options = RedisOptions { upkeep, ..RedisOptions::default() };
            Arc::new(RedisStore::open(&self.0, options).await.unwrap()) as Arc<dyn Store>
        })
    }
}

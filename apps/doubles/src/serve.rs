//! Serving HTTP until the handle says stop, with a grace for what is under way.

use axum::Router;
use tokio::sync::watch;

use crate::{
    STOP_GRACE,
    listener::{Cord, CuttableListener},
};

pub(crate) async fn serve_until(listener: CuttableListener, app: Router, stopped: watch::Receiver<bool>) {
    let app = app.into_make_service_with_connect_info::<Cord>();
    let stopping = |mut stopped: watch::Receiver<bool>| async move {
        // The handle that is dropped means the same as one that asks.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let served = axum::serve(listener, app).with_graceful_shutdown(stopping(stopped.clone()));
    let cut = async {
        stopping(stopped).await;
        tokio::time::sleep(STOP_GRACE).await;
    };
    tokio::select! {
        _ = served => {}
        () = cut => {}
    }
}

//! The protector with a real HAProxy and a real API server. Needs `haproxy` (Debian: `apt-get install haproxy`).
#![allow(clippy::unwrap_used)]

mod balancer;
mod conformance;
mod manifest;
mod restart;

use cafe_tests::bed::{Bed, Options};
use tokio::sync::OnceCell;

const PROTECTOR: &str = env!("CARGO_BIN_EXE_protector-haproxy");

/// One API server for all tests.
async fn bed() -> &'static Bed {
    static READY: OnceCell<&'static Bed> = OnceCell::const_new();
    let start = || async {
        let bed = Bed::shared().await.unwrap();
        bed.up(&Options::default()).await.unwrap();
        bed
    };
    READY.get_or_init(start).await
}

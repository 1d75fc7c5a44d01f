//! What all cases share: a bed without a controller, the controller's binary, and how many cases run at once.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use cafe_tests::bed::{Bed, Options, controller};
use tokio::sync::{OnceCell, Semaphore};

/// Cases spend most of their time waiting for one another's API server.
const AT_ONCE: usize = 12;

static GROUND: OnceCell<Ground> = OnceCell::const_new();
/// Cases that may run at once, over all stories.
pub(crate) static SEATS: Semaphore = Semaphore::const_new(AT_ONCE);
static LIVES: AtomicUsize = AtomicUsize::new(0);

/// Where cases take place.
pub(crate) struct Ground {
    pub(crate) bed: &'static Bed,
    pub(crate) controller: PathBuf,
}

/// The ground of this process.
pub(crate) async fn ground() -> Result<&'static Ground> {
    let prepare = || async {
        let controller = tokio::task::spawn_blocking(|| controller::build(false)).await??;
        let bed = Bed::shared().await?;
        let cells = ["CellA", "CellB", "CellC"].map(String::from).to_vec();
        bed.up(&Options { cells, ..Options::default() }).await?;
        Ok(Ground { bed, controller })
    };
    GROUND.get_or_try_init(prepare).await
}

/// A name for one life of a controller, never given twice.
pub(crate) fn name_of_a_life() -> String {
    format!("life-{}", LIVES.fetch_add(1, Ordering::Relaxed))
}

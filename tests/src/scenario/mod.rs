//! Releases on a real control plane: a workload to drive, and a watcher that sees every version of every object.
//!
//! A [`Workload`] is one CafeDeployment, or one InPlaceSet alone, in a namespace of its own, with a Service in front of it. Its
//! [`Watcher`] records from the first moment on; [`Workload::finish`] replays the record and checks what must hold at every
//! single version.

mod invariants;
mod manifest;
mod nodes;
mod object;
mod view;
mod watcher;
mod workload;
mod writes;

use anyhow::Result;
use tokio::sync::OnceCell;

pub use invariants::Verdict;
pub use manifest::{CONTAINER, image, merge, minimal, solo, web};
pub use nodes::Cell;
pub(crate) use object::condition;
pub use object::{Container, Gate, Pod, Revision};
pub use view::View;
pub(crate) use view::serving;
pub use watcher::{Kind, Seen, Watcher};
pub use workload::Workload;

use crate::bed::{Bed, Options, controller};

static READY: OnceCell<&'static Bed> = OnceCell::const_new();

/// The bed that all tests of this process share, with three cells and the controller running.
///
/// # Errors
/// When the controller does not compile or the bed does not start; the next caller tries again.
pub async fn bed() -> Result<&'static Bed> {
    let start = || async {
        let binary = tokio::task::spawn_blocking(|| controller::build(false)).await??;
        let bed = Bed::shared().await?;
        let cells = ["CellA", "CellB", "CellC"].map(String::from).to_vec();
        bed.up(&Options { cells, nodes: 2, controller: Some(binary), ..Options::default() }).await?;
        Ok(bed)
    };
    READY.get_or_try_init(start).await.copied()
}

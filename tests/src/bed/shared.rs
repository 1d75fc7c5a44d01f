//! One bed for all tests of a process.

use anyhow::Result;
use tokio::sync::OnceCell;

use super::{Bed, Options};

static SHARED: OnceCell<Bed> = OnceCell::const_new();

impl Bed {
    /// The bed that all tests of this process share, each in a namespace of its own (see [`Bed::namespace`]). It is
    /// started by the first caller, with the default options, and goes when the process ends.
    ///
    /// # Errors
    /// When it cannot be started; the next caller tries again.
    pub async fn shared() -> Result<&'static Self> {
        SHARED
            .get_or_try_init(|| async {
                let bed = Self::temporary()?;
                bed.up(&Options::default()).await?;
                Ok(bed)
            })
            .await
    }
}

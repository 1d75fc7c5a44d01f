//! Many units and many CafeDeployments, in a size that every run can afford; `cargo xtask bench thousands` plays the large one.

use std::time::Duration;

use anyhow::Result;
use cafe_tests::bed::{Bed, Options, controller};
use cafe_tests::thousands::{Size, run};

#[tokio::test]
async fn sixty_four_units_serve_and_cost_nothing_when_nothing_happens() -> Result<()> {
    let size = Size { units: 64, deployments: 4, pods: 300 };
    let binary = tokio::task::spawn_blocking(|| controller::build(false)).await??;
    let bed = Bed::temporary()?;
    bed.up(&Options { cells: size.cells(), nodes: 1, controller: Some(binary), ..Options::default() })
        .await?;
    let figures =
        run(&bed, size, Duration::from_secs(10), Duration::from_secs(300), &|line| println!("{line}"))
            .await?;
    println!("{figures:#?}");
    Ok(())
}

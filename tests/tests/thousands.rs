//! Many units and many CafeDeployments, in a size that every run can afford; `cargo xtask bench thousands` plays the large one.

use std::time::Duration;

use anyhow::{Context as _, Result};
use cafe_tests::bed::{Bed, Options, controller};
use cafe_tests::thousands::{Size, run};

/// MiB that the controller may have needed with 1,000 pods in 256 InPlaceSets: twice what it needs.
const MEMORY: f64 = 48.0;

#[tokio::test]
async fn sixty_four_units_serve_and_cost_nothing_when_nothing_happens() -> Result<()> {
    let size = Size { units: 64, deployments: 4, pods: 1_000 };
    let binary = tokio::task::spawn_blocking(|| controller::build(false)).await??;
    let bed = Bed::temporary()?;
    bed.up(&Options { cells: size.cells(), nodes: 1, controller: Some(binary), ..Options::default() })
        .await?;
    let figures =
        run(&bed, size, Duration::from_secs(10), Duration::from_secs(300), &|line| println!("{line}"))
            .await?;
    println!("{figures:#?}");
    assert!(figures.peak_rss_mib <= MEMORY, "{} MiB", figures.peak_rss_mib);
    Ok(())
}

#[tokio::test]
async fn a_controller_that_dies_ends_it_with_its_last_words() -> Result<()> {
    let size = Size { units: 2, deployments: 1, pods: 4 };
    let binary = tokio::task::spawn_blocking(|| controller::build(false)).await??;
    let bed = Bed::temporary()?;
    bed.up(&Options { cells: size.cells(), nodes: 1, controller: Some(binary), ..Options::default() })
        .await?;
    // Dies when everything serves and nothing is left to happen, which nobody would notice otherwise.
    let kill = |line: String| {
        if line.contains("1 of 1 CafeDeployments ready, 4 of 4") {
            bed.stop("controller", Duration::ZERO).ok();
        }
    };
    let hour = Duration::from_secs(3600);
    let died = run(&bed, size, hour, hour, &kill).await.err().context("it goes on without a controller")?;
    let said = format!("{died:#}");
    assert!(said.contains("controller has ended") && said.contains(r#""msg":"applied""#), "{said}");
    Ok(())
}

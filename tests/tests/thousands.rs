//! Many units and many CafeDeployments, in a size that every run can afford; `cargo xtask bench thousands` plays the large one.

use std::time::Duration;

use anyhow::{Context as _, Result};
use cafe_tests::bed::{Bed, Options, controller};
use cafe_tests::thousands::{Play, Size, run};

/// A bed of its own with the cells of this size.
async fn bed(size: Size) -> Result<Bed> {
    let binary = tokio::task::spawn_blocking(|| controller::build(false)).await??;
    let bed = Bed::temporary()?;
    bed.up(&Options { cells: size.cells(), nodes: 1, controller: Some(binary), ..Options::default() })
        .await?;
    Ok(bed)
}

/// MiB that the controller may have needed with 1,000 pods in 256 InPlaceSets: half as much again as the 31 that it needs.
const MEMORY: f64 = 48.0;

#[tokio::test]
async fn sixty_four_units_serve_and_cost_nothing_when_nothing_happens() -> Result<()> {
    let size = Size { units: 64, deployments: 4, pods: 1_000 };
    let bed = bed(size).await?;
    let what = Play { idle: Duration::from_secs(10), patience: Duration::from_secs(300), release: false };
    let figures = run(&bed, size, what, &|line| println!("{line}")).await?;
    println!("{figures:#?}");
    assert!(figures.peak_rss_mib <= MEMORY, "{} MiB", figures.peak_rss_mib);
    Ok(())
}

/// The budget of each is checked at every version of every pod.
#[tokio::test]
async fn all_are_released_at_once_and_each_keeps_its_budget() -> Result<()> {
    let size = Size { units: 2, deployments: 6, pods: 50 };
    let bed = bed(size).await?;
    let what = Play { idle: Duration::from_secs(1), patience: Duration::from_secs(300), release: true };
    let figures = run(&bed, size, what, &|line| println!("{line}")).await?;
    let released = figures.released.context("nothing was released")?;
    println!("{released:#?}");
    assert!(released.writes_of_pods_per_pod >= 3.0, "taken out, changed and put back: {released:?}");
    assert!(released.most_out >= 1, "no pod is updated in service: {released:?}");
    Ok(())
}

#[tokio::test]
async fn a_controller_that_dies_ends_it_with_its_last_words() -> Result<()> {
    let size = Size { units: 2, deployments: 1, pods: 4 };
    let bed = bed(size).await?;
    // Dies when everything serves and nothing is left to happen, which nobody would notice otherwise.
    let kill = |line: String| {
        if line.contains("1 of 1 CafeDeployments ready, 4 of 4") {
            bed.stop("controller", Duration::ZERO).ok();
        }
    };
    let hour = Duration::from_secs(3600);
    let what = Play { idle: hour, patience: hour, release: false };
    let died = run(&bed, size, what, &kill).await.err().context("it goes on without a controller")?;
    let said = format!("{died:#}");
    assert!(said.contains("controller has ended") && said.contains(r#""msg":"applied""#), "{said}");
    Ok(())
}

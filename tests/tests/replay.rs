//! Pods that are made up while they are sent, in a size that every run can afford; `cargo xtask bench replay` plays the large one.

use std::time::Duration;

use anyhow::Result;
use cafe_tests::bed::{Bed, controller};
use cafe_tests::replay::{Size, run};

#[tokio::test]
async fn the_controller_takes_made_up_pods_for_real_ones_and_has_nothing_to_write_about_them() -> Result<()> {
    let binary = tokio::task::spawn_blocking(|| controller::build(false)).await??;
    let size = Size { deployments: 2, units: 2, pods: 600, sidecar: true };
    let bed = Bed::temporary()?;
    bed.up(&size.options(&binary)).await?;
    let (idle, patience) = (Duration::from_secs(1), Duration::from_secs(120));
    // That all of them are in service, and that nothing but statuses is written, is checked inside.
    let figures = run(&bed, &binary, size, idle, patience, &|line| println!("{line}")).await?;
    println!("{figures:#?}");
    let kib_per_pod = figures.streamed_mib * 1024.0 / 600.0;
    assert!((3.0..12.0).contains(&kib_per_pod), "{kib_per_pod} KiB are not a pod with its endpoint");
    bed.down()
}

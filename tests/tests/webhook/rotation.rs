//! A new authority from its birth to its first signature, before the real API server and under reviews.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::ground::Ground;

/// A new authority is published for a minute before it signs, and looks are half a minute apart.
const PATIENCE: Duration = Duration::from_secs(240);
const END: &str = "-----END CERTIFICATE-----\n";

/// It takes as long as the authority is to be heard of, so it has a cluster of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_authority_signs_when_it_has_been_heard_of_and_no_review_is_refused_on_the_way() -> Result<()> {
    let ground = Ground::apart().await?;
    let pair = ground.start_two().await?;
    let old = ground.certificate()?;
    ensure!(pair.are_vouched_for_by(&old).await?, "the first authority has signed what is served");
    ground.kubectl(&["delete", "secret", "cafe-webhook-certificate", "-n", "cafe-system"])?;
    let end = Instant::now() + PATIENCE;
    let (mut reviews, mut seen_beside) = (0, false);
    loop {
        ensure!(ground.answers(), "review {reviews} was refused; trusted:\n{}", ground.certificate()?);
        reviews += 1;
        let bundle = ground.certificate()?;
        if bundle != old {
            let new = bundle.split_inclusive(END).next().unwrap();
            ensure!(
                bundle == format!("{new}{old}"),
                "the new authority stands beside the old one:\n{bundle}"
            );
            if pair.are_vouched_for_by(new).await? {
                break;
            }
            // At first what the old one has signed is served on, though the new one is trusted.
            seen_beside |= pair.are_vouched_for_by(&old).await?;
        }
        ensure!(Instant::now() < end, "the new authority has not signed for both replicas in {PATIENCE:?}");
    }
    ensure!(seen_beside, "the new authority signed before it could be heard of");
    for _ in 0..6 {
        ensure!(ground.answers(), "both replicas are believed with what the new authority has signed");
    }
    ensure!(!pair.are_vouched_for_by(&old).await?, "nothing of the old authority is served");
    Ok(())
}

//! Release after release.

use anyhow::Result;
use cafe_tests::node::RealNodes;
use serde_json::json;

use super::super::play::Play;
use super::super::report::Outcome;
use super::super::telling::Telling;

/// Pods of a short run, and of one with more than [`CHAPTER`] updates.
const PODS: i32 = 8;
const MANY_PODS: i32 = 20;
/// How many more a scale-out asks for.
const MORE: i32 = 2;
/// Updates per workload: what its watches have seen is replayed in memory at the end.
const CHAPTER: usize = 200;

/// What happens in the middle of a release, in turn.
#[derive(Clone, Copy, Debug)]
enum Between {
    Nothing,
    ScaleOut,
    KillController,
    ScaleIn,
}

const TURNS: [Between; 4] = [Between::ScaleOut, Between::KillController, Between::ScaleIn, Between::Nothing];

/// Releases until so many pods were updated, and every turn has come at least once.
pub(super) async fn play(telling: &Telling, nodes: &'static RealNodes, updates: usize) -> Result<Outcome> {
    let mut all = Outcome::default();
    let pods = if updates > CHAPTER { MANY_PODS } else { PODS };
    while all.updates < updates {
        let wanted = (updates - all.updates).min(CHAPTER);
        all.absorb(chapter(telling, nodes, pods, wanted, (all.updates, updates)).await?);
    }
    Ok(all)
}

async fn chapter(
    telling: &Telling,
    nodes: &'static RealNodes,
    pods: i32,
    wanted: usize,
    (before, total): (usize, usize),
) -> Result<Outcome> {
    let play = Play::open(nodes, pods, &json!({})).await?;
    let turns = TURNS.into_iter().cycle();
    for ((number, between), tag) in (1..).zip(turns).zip(["v2", "v1"].into_iter().cycle()) {
        play.workload.release(tag).await?;
        happens(between, nodes, &play, pods).await?;
        play.workload.wait_until_settled().await?;
        if !play.is_lossless() {
            return play.close().await;
        }
        nodes.check()?;
        let updated = play.stopwatch.timings().updates;
        let (requests, lost) = play.so_far();
        let done = before + updated;
        telling.progress(&format!("{done} of {total} pods updated, {requests} requests, {lost} lost"));
        if number % TURNS.len() == 0 || number >= TURNS.len() && updated >= wanted {
            telling.line(
                "continuous",
                &format!("{done} of {total} pods updated, {requests} requests, {lost} lost"),
            );
        }
        if number >= TURNS.len() && updated >= wanted {
            break;
        }
    }
    play.close().await
}

/// Begins when the first pods are out of the traffic.
async fn happens(between: Between, nodes: &RealNodes, play: &Play, pods: i32) -> Result<()> {
    play.workload.wait_until("draining", |view| view.pods().any(|pod| pod.drain().is_some())).await?;
    match between {
        Between::Nothing => Ok(()),
        Between::ScaleOut => play.workload.scale(pods + MORE).await,
        Between::ScaleIn => play.workload.scale(pods).await,
        Between::KillController => {
            nodes.bed().kill_controller()?;
            nodes.bed().start_controller().await
        }
    }
}

//! The controller dies at every write of every reference story, before the write leaves and after it was carried out,
//! and its successor ends the story as if nothing had been.
//!
//! `CAFE_CRASH=all` plays both sides of each write, `CAFE_CRASH=release:17:before` one case, `CAFE_CRASH=release` tells the writes of one story.
#![allow(clippy::unwrap_used)]

mod case;
mod ground;
mod stories;
mod story;
mod sweep;

use anyhow::Result;
use stories::{
    bereft, create, drained, protector, recreate, release, rename, rollback, scale_in, supersede, volumes,
};
use sweep::sweep;

#[tokio::test]
async fn a_workload_is_created_once_whatever_write_the_controller_dies_at() -> Result<()> {
    sweep::<create::Create>().await
}

#[tokio::test]
async fn a_release_with_two_gates_restarts_each_container_once_whatever_write_the_controller_dies_at()
-> Result<()> {
    sweep::<release::Release>().await
}

#[tokio::test]
async fn a_rollback_inside_a_group_comes_back_whatever_write_the_controller_dies_at() -> Result<()> {
    sweep::<rollback::Rollback>().await
}

#[tokio::test]
async fn a_scale_in_takes_away_as_many_pods_as_asked_whatever_write_the_controller_dies_at() -> Result<()> {
    sweep::<scale_in::ScaleIn>().await
}

#[tokio::test]
async fn pods_are_made_anew_once_each_whatever_write_the_controller_dies_at() -> Result<()> {
    sweep::<recreate::Recreate>().await
}

#[tokio::test]
async fn a_protector_is_asked_once_per_pod_whatever_write_the_controller_dies_at() -> Result<()> {
    sweep::<protector::Protector>().await
}

#[tokio::test]
async fn a_superseding_release_ends_whatever_write_the_controller_dies_at() -> Result<()> {
    sweep::<supersede::Supersede>().await
}

#[tokio::test]
async fn what_lost_its_owner_is_adopted_and_no_pod_notices_whatever_write_the_controller_dies_at()
-> Result<()> {
    sweep::<bereft::Bereft>().await
}

#[tokio::test]
async fn a_unit_is_replaced_at_a_gate_whatever_write_the_controller_dies_at() -> Result<()> {
    sweep::<rename::Rename>().await
}

#[tokio::test]
async fn volumes_stay_with_their_places_and_go_with_those_scaled_away_whatever_write_the_controller_dies_at()
-> Result<()> {
    sweep::<volumes::Volumes>().await
}

#[tokio::test]
async fn a_unit_is_drained_before_it_is_deleted_and_made_again_whatever_write_the_controller_dies_at()
-> Result<()> {
    sweep::<drained::Drained>().await
}

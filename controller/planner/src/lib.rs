//! The decisions of Cafe: pure, total and deterministic functions of a snapshot.
//!
//! Two planners of one shape: [`deployment::plan`] turns a CafeDeployment into revisions, groups, gates and InPlaceSet
//! specs; [`set::plan`] turns an InPlaceSet into pod writes. Neither knows a client, a clock or randomness: time is a
//! field of the snapshot, and all memory lies in the API objects the snapshot was made from.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod apportion;
pub mod bonds;
pub mod container_id;
pub mod deployment;
pub mod event;
pub mod identity;
pub mod pod;
pub mod revision;
pub mod set;
pub mod template;
pub mod time;
pub mod traffic;
pub mod words;

/// Text shared between records: equal names of containers, images and units are stored once.
pub type Text = std::sync::Arc<str>;

//! The API as people and tools meet it, on a real control plane: what they may write, what they are told, what comes of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

mod apply;
mod bad;
mod definitions;
mod edit;
mod examples;
mod ground;
mod look;
mod objects;
mod overlaps;
mod ownership;
mod pods;
mod refusals;
mod removal;
mod rights;
mod scale;

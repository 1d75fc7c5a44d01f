//! The planner as shipped, searched exhaustively.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a model: an index out of range or an action it does not know must end the search at once"
)]

mod api;
pub mod cases;
mod controller;
pub mod converge;
pub mod look;
pub mod object;
mod promises;
pub mod search;
pub mod setup;
pub mod state;
pub mod world;

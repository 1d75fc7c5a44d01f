//! At least one trace per invariant that breaks it, beside one that is close to it and does not.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod budget;
mod images;
mod objects;
mod release;
mod story;
mod traffic;
mod writes;

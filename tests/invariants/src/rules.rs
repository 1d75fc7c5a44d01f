//! The rules themselves: pure functions of a few figures, without state, allocation or time of their own.
//!
//! The streaming [`Checker`](crate::Checker) gathers the figures from a stream; a model or a simulation that knows its
//! state asks directly. `out` and the like are counts of pods.

mod budget;
mod pods;
mod release;
mod traffic;
mod writes;

pub use budget::{s1, s2, s2_journal, s2_touch, s20, s21};
pub use pods::{
    Move, Range, s7_order, s7_revision, s8, s9, s11, s12, s13, s14, s14_address, s14_forced, s18_count,
    s18_observed, s19_pod, s19_set,
};
pub use release::{Progress, s4, s4_group, s4_membership, s5, s5_acknowledged, s6, s6_complete};
pub use traffic::{Stop, s3, s3_after};
pub use writes::{s10, s12_write, s15, s16, s17_empty, s17_goal, s22};

//! The API of `cafe.dev/v1alpha1`: its types, the words that appear in labels, conditions and events, the rules that
//! every object obeys, and the generator of the CustomResourceDefinitions.
//!
//! The crate knows nothing of a cluster: it compiles without a client and is shared by the planner, the controller, the
//! webhook and the command line.

pub mod authors;
pub mod claims;
pub mod condition;
pub mod deployment;
pub mod generate;
pub mod inplaceset;
pub mod intstr;
pub mod names;
pub mod reason;
pub mod release;
pub mod selector;
pub mod time;
pub mod traffic;
pub mod validate;

mod opaque;

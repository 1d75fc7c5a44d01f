//! Real nodes: kubelets, containerd, runc and kube-proxy on this machine, shut off from it.
//!
//! A [`Place`] is the outside: made by one process, it runs another inside. [`RealNodes`] is the inside.

pub mod app;
pub mod images;
mod machine;
mod network;
mod nodes;
mod place;
mod requirements;

pub use nodes::{BED, CELLS, RealNodes};
pub use place::Place;
pub use requirements::check;

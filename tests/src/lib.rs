//! The beds: a real Kubernetes on this machine for `cargo xtask` and for the tests.
//!
//! A [`bed::Bed`] is one control plane (etcd, kube-apiserver with RBAC and an audit log, controller-manager, scheduler)
//! with simulated kubelets, in a folder of its own. Several of them run side by side. [`node::RealNodes`] is one with real
//! kubelets and containers, through which [`traffic`] flows.

pub mod bed;
pub mod child;
pub mod conformance;
pub mod crash;
pub mod node;
pub mod oci;
mod relay;
pub mod replay;
pub mod reviews;
pub mod scenario;
pub mod slim_pod;
pub mod thousands;
pub mod traffic;

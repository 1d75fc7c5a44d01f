//! What a bed should look like.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

/// Limits that nobody runs into: what is tested or measured is not how slowly Kubernetes asks.
pub const LIFTED: (u16, u16) = (500, 1000);

/// What [`super::Bed::up`] brings up. The default is a control plane with three nodes in each of `CellA` and `CellB`,
/// without the controller.
#[derive(Debug, Clone)]
pub struct Options {
    /// The cells, in order; each is also the zone of its nodes.
    pub cells: Vec<String>,
    /// Nodes per cell; 0 leaves the simulated kubelets out as well, for a bed whose nodes are real.
    pub nodes: usize,
    /// The controller's binary; `None` leaves the controller out (one that runs is left alone).
    pub controller: Option<PathBuf>,
    /// Keeps the node lifecycle controller on and lets the simulated kubelets renew their leases. Off by default: it
    /// costs writes, and only tests of node loss need it.
    pub node_lifecycle: bool,
    /// Writes the audit log, which scenarios judge by. It costs the API server time: off where time is measured.
    pub audit: bool,
    /// etcd waits for the disk with every write, as in a cluster that matters. Off by default: a bed is thrown away.
    pub durable: bool,
    /// Requests per second and burst of the controller-manager's clients, of each controller. Kubernetes ships 20 and 30.
    pub manager_limits: (u16, u16),
    /// Where pods reach the API server, behind the Service `kubernetes`: an address of a node. `None` for simulated pods, which
    /// ask nothing.
    pub address: Option<Ipv4Addr>,
    /// Leaves out the definitions, the namespace and the account of the controller: a chart brings them.
    pub bare: bool,
    /// How long any one component may take until it answers.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cells: vec!["CellA".into(), "CellB".into()],
            nodes: 3,
            controller: None,
            node_lifecycle: false,
            audit: true,
            durable: false,
            manager_limits: LIFTED,
            address: None,
            bare: false,
            timeout: Duration::from_secs(60),
        }
    }
}

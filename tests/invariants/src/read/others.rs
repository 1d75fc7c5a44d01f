//! EndpointSlices, nodes and leases.

use serde_json::Value;

use super::json::{flag, identity, is_true, labels, list, number, shared, text};
use crate::record::{Endpoint, Lease, Node, Slice, Uid};

/// The taint by which a person declares that nothing runs on a node any more.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

pub(super) fn slice(value: &Value) -> Slice {
    // Absent `serving` means `ready`, absent `ready` means true.
    let endpoint = |endpoint: &Value| {
        let pod = text(endpoint, "/targetRef/uid");
        let is = |condition: &str| flag(endpoint, &format!("/conditions/{condition}"));
        let serves = is("serving").or_else(|| is("ready")).unwrap_or(true);
        (!pod.is_empty()).then(|| Endpoint { pod: Uid::of(pod), serves })
    };
    Slice { identity: identity(value), endpoints: list(value, "/endpoints").filter_map(endpoint).collect() }
}

pub(super) fn node(value: &Value) -> Node {
    Node {
        identity: identity(value),
        labels: labels(value),
        ready: is_true(value, "Ready"),
        architecture: shared(text(value, "/status/nodeInfo/architecture")),
        dead: list(value, "/spec/taints").any(|taint| text(taint, "/key") == OUT_OF_SERVICE),
    }
}

pub(super) fn lease(value: &Value) -> Lease {
    let holder = text(value, "/spec/holderIdentity");
    Lease {
        identity: identity(value),
        holder: (!holder.is_empty()).then(|| shared(holder)),
        duration: number(value, "/spec/leaseDurationSeconds").unwrap_or(0) * 1000,
    }
}

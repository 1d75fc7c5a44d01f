//! The checks, in the order of the state table in docs/protectors.md.

mod admission;
mod chaos;
mod deletion;
mod drain;
mod neighbours;
mod traffic;

use super::Check;

pub(super) static CHECKS: [Check; 17] = [
    Check {
        name: "registers",
        claim: "a pod that may serve is locked and registered; its condition says True only with the finalizer",
        fix: "want = gate True, ContainersReady True, not deleting, has an IP; do not wait for Ready",
        needs_front: false,
        run: |stage| Box::pin(admission::registers(stage)),
    },
    Check {
        name: "locks-first",
        claim: "a pod whose lock is refused is not registered",
        fix: "add the finalizer, look at the answer, and register only then",
        needs_front: false,
        run: |stage| Box::pin(admission::locks_first(stage)),
    },
    Check {
        name: "leaves-alone",
        claim: "pods that do not want to serve are left alone",
        fix: "no gate, gate False, containers not ready, no IP, other labels or deleting: write nothing",
        needs_front: false,
        run: |stage| Box::pin(admission::leaves_alone(stage)),
    },
    Check {
        name: "drains",
        claim: "a drain is answered with its own reason, after the pod has left the table",
        fix: "deregister, wait until nothing is left, then condition False with the gate's reason (or the finalizer off)",
        needs_front: false,
        run: |stage| Box::pin(drain::answers(stage)),
    },
    Check {
        name: "drains-anew",
        claim: "a second drain is answered anew, and so is a pod taken offline",
        fix: "compare the reason of your condition with the gate's, not only its status",
        needs_front: false,
        run: |stage| Box::pin(drain::answers_anew(stage)),
    },
    Check {
        name: "returns",
        claim: "a pod that returns is registered again, also when its drain is called off half-way",
        fix: "decide from the pod as it is now; nothing may be remembered of the drain",
        needs_front: false,
        run: |stage| Box::pin(drain::returns(stage)),
    },
    Check {
        name: "waits-for-requests",
        claim: "a request that is being answered holds the answer to the drain, and ends well",
        fix: "stop new requests first, then wait until the balancer itself says that none is left",
        needs_front: true,
        run: |stage| Box::pin(traffic::waits_for_requests(stage)),
    },
    Check {
        name: "containers-fail",
        claim: "a pod whose containers are not ready leaves the table, and comes back when they are",
        fix: "want depends on ContainersReady too",
        needs_front: false,
        run: |stage| Box::pin(drain::containers_fail(stage)),
    },
    Check {
        name: "deleted",
        claim: "a deleted pod is let go in every state",
        fix: "deletionTimestamp set: deregister and take the finalizer off, whatever else the pod says",
        needs_front: false,
        run: |stage| Box::pin(deletion::in_every_state(stage)),
    },
    Check {
        name: "deleted-while-dead",
        claim: "what was deleted, drained or wanted while the protector was dead is dealt with after its start",
        fix: "after a start look at every pod and at every entry of the balancer's table, not only at what changes",
        needs_front: false,
        run: |stage| Box::pin(deletion::while_dead(stage)),
    },
    Check {
        name: "neighbours",
        claim: "finalizers, conditions, labels and annotations of others survive everything it does",
        fix: "strategic merge patches with your own entry only; never a whole list",
        needs_front: false,
        run: |stage| Box::pin(neighbours::are_untouched(stage)),
    },
    Check {
        name: "conflicts",
        claim: "it gets there although somebody else writes to the pod all the time",
        fix: "a conflict (409) means: wait for the next version, decide again",
        needs_front: false,
        run: |stage| Box::pin(neighbours::conflicts(stage)),
    },
    Check {
        name: "gate-flips",
        claim: "a gate that flips while it works is answered as it stands at last",
        fix: "one worker per pod, which always decides on the newest version",
        needs_front: false,
        run: |stage| Box::pin(chaos::gate_flips(stage)),
    },
    Check {
        name: "late-lock",
        claim: "a lock that comes too late does not land",
        fix: "send the finalizer with the resourceVersion of the pod that wanted it",
        needs_front: false,
        run: |stage| Box::pin(chaos::late_lock(stage)),
    },
    Check {
        name: "killed",
        claim: "killed at any moment it leaves a lock, never a hole, and goes on after its start",
        fix: "lock before you register, deregister before you answer or unlock; keep nothing in memory or in files",
        needs_front: false,
        run: |stage| Box::pin(chaos::killed(stage)),
    },
    Check {
        name: "loses-nothing",
        claim: "no request is lost while pods are updated in turn and the protector is killed now and then",
        fix: "see the checks above; the balancer itself may also send a request to a server that it is taking out",
        needs_front: true,
        run: |stage| Box::pin(traffic::loses_nothing(stage)),
    },
    Check {
        name: "quiet",
        claim: "it asks and writes nothing while nothing changes",
        fix: "watch instead of polling; write only what is not there yet",
        needs_front: false,
        run: |stage| Box::pin(neighbours::quiet(stage)),
    },
];

//! What scenarios read of a pod, whatever else is in it.

use cafe_crds::names::{
    ANNOTATION_OLDER_REVISIONS, ANNOTATION_OUTCOME, DRAIN_REASON_PREFIX, GATE, LABEL_REVISION, LABEL_UNIT,
    PROTECTOR_PREFIX,
};
use serde_json::Value;

/// The text at a JSON pointer, empty when there is none.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The number at a JSON pointer, 0 when there is none.
pub(super) fn number(value: &Value, pointer: &str) -> i64 {
    value.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

/// The entries of the list at a JSON pointer.
pub(super) fn list<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// The condition of this type, if there is one.
pub(crate) fn condition<'a>(value: &'a Value, kind: &str) -> Option<&'a Value> {
    list(value, "/status/conditions").find(|condition| text(condition, "/type") == kind)
}

/// The serving gate of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Never set.
    Missing,
    /// Takes traffic.
    True,
    /// Out of traffic, with the reason (`Drain_<op>`).
    False(String),
}

/// A long-running container of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// The image that its pod asks for.
    pub wants: String,
    /// The image that it was started from.
    pub runs: String,
    /// Its id.
    pub id: String,
    /// How often it was started again.
    pub restarts: i64,
    /// Why it waits; empty when it does not.
    pub waiting: String,
}

/// A ControllerRevision as the API server has it.
#[derive(Clone, Copy, Debug)]
pub struct Revision<'a>(pub &'a Value);

impl<'a> Revision<'a> {
    /// Its number.
    #[must_use]
    pub fn number(self) -> i64 {
        number(self.0, "/revision")
    }

    /// The numbers that it had before its template returned.
    #[must_use]
    pub fn older(self) -> Vec<i64> {
        self.annotation(ANNOTATION_OLDER_REVISIONS).split(',').filter_map(|n| n.parse().ok()).collect()
    }

    /// How its last release ended; empty when it has not.
    #[must_use]
    pub fn outcome(self) -> &'a str {
        self.annotation(ANNOTATION_OUTCOME)
    }

    fn annotation(self, key: &str) -> &'a str {
        let annotations = self.0.pointer("/metadata/annotations");
        annotations.and_then(|all| all.get(key)).and_then(Value::as_str).unwrap_or_default()
    }
}

/// A pod as the API server has it.
#[derive(Clone, Copy, Debug)]
pub struct Pod<'a>(pub &'a Value);

impl<'a> Pod<'a> {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'a str {
        text(self.0, "/metadata/name")
    }

    /// Its uid.
    #[must_use]
    pub fn uid(self) -> &'a str {
        text(self.0, "/metadata/uid")
    }

    /// Its address, empty before it has one.
    #[must_use]
    pub fn ip(self) -> &'a str {
        text(self.0, "/status/podIP")
    }

    /// A label, empty when it has none.
    #[must_use]
    pub fn label(self, key: &str) -> &'a str {
        let labels = self.0.pointer("/metadata/labels");
        labels.and_then(|labels| labels.get(key)).and_then(Value::as_str).unwrap_or_default()
    }

    /// The unit on its label.
    #[must_use]
    pub fn unit(self) -> &'a str {
        self.label(LABEL_UNIT)
    }

    /// The revision hash on its label.
    #[must_use]
    pub fn revision(self) -> &'a str {
        self.label(LABEL_REVISION)
    }

    /// Whether it is being deleted.
    #[must_use]
    pub fn is_terminating(self) -> bool {
        !text(self.0, "/metadata/deletionTimestamp").is_empty()
    }

    /// Its serving gate.
    #[must_use]
    pub fn gate(self) -> Gate {
        match condition(self.0, GATE) {
            None => Gate::Missing,
            Some(gate) if text(gate, "/status") == "True" => Gate::True,
            Some(gate) => Gate::False(text(gate, "/reason").to_owned()),
        }
    }

    /// The reason of the drain it is in.
    #[must_use]
    pub fn drain(self) -> Option<String> {
        match self.gate() {
            Gate::False(reason) if reason.starts_with(DRAIN_REASON_PREFIX) => Some(reason),
            _ => None,
        }
    }

    /// Whether its condition Ready is True.
    #[must_use]
    pub fn is_ready(self) -> bool {
        self.has("Ready")
    }

    /// Whether its condition of this type is True.
    #[must_use]
    pub fn has(self, kind: &str) -> bool {
        condition(self.0, kind).is_some_and(|condition| text(condition, "/status") == "True")
    }

    /// Whether it takes traffic as far as the pod itself says.
    #[must_use]
    pub fn in_service(self) -> bool {
        self.gate() == Gate::True
            && self.is_ready()
            && !self.is_terminating()
            && text(self.0, "/status/phase") == "Running"
    }

    /// Its containers and native sidecars.
    #[must_use]
    pub fn containers(self) -> Vec<Container> {
        let sidecars = list(self.0, "/spec/initContainers").filter(|c| text(c, "/restartPolicy") == "Always");
        let statuses: Vec<&Value> = list(self.0, "/status/initContainerStatuses")
            .chain(list(self.0, "/status/containerStatuses"))
            .collect();
        let container = |spec: &Value| {
            let name = text(spec, "/name");
            let status = statuses.iter().find(|status| text(status, "/name") == name);
            let of = |pointer| status.map(|s| text(s, pointer)).unwrap_or_default().to_owned();
            Container {
                name: name.to_owned(),
                wants: text(spec, "/image").to_owned(),
                runs: of("/image"),
                id: of("/containerID"),
                restarts: status.map(|s| number(s, "/restartCount")).unwrap_or_default(),
                waiting: of("/state/waiting/reason"),
            }
        };
        sidecars.chain(list(self.0, "/spec/containers")).map(container).collect()
    }

    /// Starts of containers after the first, over all of them.
    #[must_use]
    pub fn restarts(self) -> i64 {
        self.containers().iter().map(|c| c.restarts).sum()
    }

    /// The protectors that hold a finalizer and have not answered the drain `reason`.
    #[must_use]
    pub fn unanswered(self, reason: &str) -> Vec<&'a str> {
        let finalizers = list(self.0, "/metadata/finalizers").filter_map(Value::as_str);
        let answered = |name: &&str| {
            condition(self.0, name)
                .is_some_and(|c| text(c, "/status") == "False" && text(c, "/reason") == reason)
        };
        finalizers.filter(|name| name.starts_with(PROTECTOR_PREFIX)).filter(|name| !answered(name)).collect()
    }

    /// One line for people.
    #[must_use]
    pub fn line(self) -> String {
        let containers: Vec<String> = self
            .containers()
            .iter()
            .map(|c| format!("{}: wants {} runs {} x{} {}", c.name, c.wants, c.runs, c.restarts, c.waiting))
            .collect();
        format!(
            "{} {} {} {} gate {:?} ready {} terminating {} {}",
            self.name(),
            self.uid(),
            self.unit(),
            self.revision(),
            self.gate(),
            self.is_ready(),
            self.is_terminating(),
            containers.join("; ")
        )
    }
}

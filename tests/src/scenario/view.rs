//! One moment of a workload.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use serde_json::Value;

use super::object::{Pod, Revision, condition, list, number, text};

/// The objects of a workload as they are at one moment.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The CafeDeployment; null when there is none.
    pub deployment: Arc<Value>,
    /// The InPlaceSets.
    pub sets: Vec<Arc<Value>>,
    /// Its ControllerRevisions.
    pub revisions: Vec<Arc<Value>>,
    /// Its pods, those that are going included.
    pub pods: Vec<Arc<Value>>,
    /// The EndpointSlices of its Service.
    pub slices: Vec<Arc<Value>>,
}

impl View {
    /// The pods.
    pub fn pods(&self) -> impl Iterator<Item = Pod<'_>> {
        self.pods.iter().map(|pod| Pod(pod))
    }

    /// The revisions that are kept, oldest first.
    #[must_use]
    pub fn kept(&self) -> Vec<Revision<'_>> {
        let mut kept: Vec<Revision<'_>> = self.revisions.iter().map(|revision| Revision(revision)).collect();
        kept.sort_by_key(|revision| revision.number());
        kept
    }

    /// The numbers of the revisions that are kept, in order.
    #[must_use]
    pub fn numbers(&self) -> Vec<i64> {
        self.kept().into_iter().map(Revision::number).collect()
    }

    /// Whether a pod is being drained.
    #[must_use]
    pub fn is_at_work(&self) -> bool {
        self.pods().any(|pod| pod.drain().is_some())
    }

    /// The pod of this name.
    #[must_use]
    pub fn pod(&self, name: &str) -> Option<Pod<'_>> {
        self.pods().find(|pod| pod.name() == name)
    }

    /// The InPlaceSet of this name.
    #[must_use]
    pub fn set(&self, name: &str) -> Option<&Value> {
        self.sets.iter().map(|set| &**set).find(|set| text(set, "/metadata/name") == name)
    }

    /// The CafeDeployment, or the InPlaceSets when they stand alone.
    fn roots(&self) -> impl Iterator<Item = &Value> {
        let alone = self.deployment.is_null();
        let deployment = (!alone).then_some(&*self.deployment);
        deployment.into_iter().chain(self.sets.iter().filter(move |_| alone).map(|set| &**set))
    }

    /// Whether the status speaks of the spec as it is now.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        let observed = |root: &Value| {
            let generation = number(root, "/metadata/generation");
            generation > 0 && number(root, "/status/observedGeneration") == generation
        };
        self.roots().next().is_some() && self.roots().all(observed)
    }

    /// `status.release.state`.
    #[must_use]
    pub fn state(&self) -> &str {
        text(&self.deployment, "/status/release/state")
    }

    /// `status.release.revision`.
    #[must_use]
    pub fn revision(&self) -> i64 {
        number(&self.deployment, "/status/release/revision")
    }

    /// `status.release.group`.
    #[must_use]
    pub fn group(&self) -> i64 {
        number(&self.deployment, "/status/release/group")
    }

    /// `status.release.confirmToken`, empty when no gate waits.
    #[must_use]
    pub fn token(&self) -> &str {
        text(&self.deployment, "/status/release/confirmToken")
    }

    /// `status.message`.
    #[must_use]
    pub fn message(&self) -> &str {
        text(&self.deployment, "/status/message")
    }

    /// Whether the release waits at exactly this gate.
    #[must_use]
    pub fn waits_at(&self, token: &str) -> bool {
        self.is_observed() && self.state() == "WaitingForConfirmation" && self.token() == token
    }

    /// Whether nothing is left to do for the spec as it is now: the status says so, and has not been overtaken by a pod that is gone since.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let completed = self.deployment.is_null() || self.state() == "Completed";
        let replicas = |root: &Value| root.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
        let wanted: u64 = self.roots().map(replicas).sum();
        let serve = self.pods().filter(|pod| pod.in_service()).count() as u64 >= wanted;
        self.is_observed() && completed && self.has("Ready", "True") && serve
    }

    /// Whether a condition of the CafeDeployment, or of every InPlaceSet that stands alone, has this status.
    #[must_use]
    pub fn has(&self, kind: &str, status: &str) -> bool {
        self.roots().all(|root| condition(root, kind).is_some_and(|c| text(c, "/status") == status))
    }

    /// The reason of a condition of the CafeDeployment, empty when it has none of this type.
    #[must_use]
    pub fn reason(&self, kind: &str) -> &str {
        condition(&self.deployment, kind).map(|c| text(c, "/reason")).unwrap_or_default()
    }

    /// An annotation of the InPlaceSet of this name, empty when it has none.
    #[must_use]
    pub fn set_annotation(&self, set: &str, key: &str) -> &str {
        let annotations = self.set(set).and_then(|set| set.pointer("/metadata/annotations"));
        annotations.and_then(|all| all.get(key)).and_then(Value::as_str).unwrap_or_default()
    }

    /// Pods in service whose containers all run an image with this tag, by unit.
    #[must_use]
    pub fn serving(&self, tag: &str) -> BTreeMap<&str, usize> {
        let mut units = BTreeMap::new();
        let ending = format!(":{tag}");
        let runs =
            |pod: &Pod<'_>| pod.containers().iter().all(|c| c.runs.ends_with(&ending) && c.wants == c.runs);
        for pod in self.pods().filter(|pod| pod.in_service() && runs(pod)) {
            *units.entry(pod.unit()).or_default() += 1;
        }
        units
    }

    /// As [`View::serving`], over all units.
    #[must_use]
    pub fn serving_in_all(&self, tag: &str) -> usize {
        self.serving(tag).values().sum()
    }

    /// The plan: of each group its state and the pods of each unit.
    #[must_use]
    pub fn groups(&self) -> Vec<(String, Vec<i64>)> {
        let units = |group: &Value| {
            let units = group.get("units").and_then(Value::as_object);
            units.into_iter().flatten().filter_map(|(_, n)| n.as_i64()).collect()
        };
        list(&self.deployment, "/status/release/groups")
            .map(|group| (text(group, "/state").to_owned(), units(group)))
            .collect()
    }

    /// uid and address of every pod that stays, by name.
    #[must_use]
    pub fn identities(&self) -> BTreeMap<String, (String, String)> {
        let identity = |pod: Pod<'_>| (pod.name().to_owned(), (pod.uid().to_owned(), pod.ip().to_owned()));
        self.pods().filter(|pod| !pod.is_terminating()).map(identity).collect()
    }

    /// Reservations in the journals of all InPlaceSets.
    #[must_use]
    pub fn reserved(&self) -> usize {
        self.sets.iter().map(|set| list(set, "/status/inFlight").count()).sum()
    }

    /// uids of pods that an endpoint still serves.
    #[must_use]
    pub fn endpoints(&self) -> Vec<&str> {
        self.slices.iter().flat_map(|slice| serving(slice)).collect()
    }

    /// Everything worth reading when a test fails.
    #[must_use]
    pub fn dump(&self) -> String {
        let mut out = String::new();
        let release = self.deployment.pointer("/status/release").unwrap_or(&Value::Null);
        let _ = writeln!(
            out,
            "generation {} observed {}\nspec.release {}\nmessage: {}\nrelease: {release:#}",
            number(&self.deployment, "/metadata/generation"),
            number(&self.deployment, "/status/observedGeneration"),
            self.deployment.pointer("/spec/release").unwrap_or(&Value::Null),
            self.message(),
        );
        for c in list(&self.deployment, "/status/conditions") {
            let _ = writeln!(out, "{} {} {}", text(c, "/type"), text(c, "/status"), text(c, "/reason"));
        }
        for set in &self.sets {
            let strategy = set.pointer("/spec/updateStrategy").unwrap_or(&Value::Null);
            let flight = set.pointer("/status/inFlight").unwrap_or(&Value::Null);
            let _ = writeln!(
                out,
                "{} generation {} observed {} replicas {} {strategy} inFlight {flight}",
                text(set, "/metadata/name"),
                number(set, "/metadata/generation"),
                number(set, "/status/observedGeneration"),
                number(set, "/spec/replicas"),
            );
        }
        for pod in self.pods() {
            let _ = writeln!(out, "{}", pod.line());
        }
        let _ = writeln!(out, "endpoints that serve: {:?}", self.endpoints());
        out
    }
}

/// uids of pods that an EndpointSlice says serve: absent `serving` means `ready`, absent `ready` means true.
pub(crate) fn serving(slice: &Value) -> impl Iterator<Item = &str> {
    let serves = |endpoint: &&Value| {
        let is = |pointer| endpoint.pointer(pointer).and_then(Value::as_bool);
        is("/conditions/serving").or_else(|| is("/conditions/ready")).unwrap_or(true)
    };
    list(slice, "/endpoints").filter(serves).map(|endpoint| text(endpoint, "/targetRef/uid"))
}

//! An InPlaceSet, its pods and their endpoints, as the controller is told of them; what it writes is taken in as an API server would.

use cafe_controller::workbench::Workbench;
use cafe_crds::time::Seconds;
use cafe_planner::{
    identity::{RevisionHash, Uid},
    set::Action,
    time::{Millis, Now},
};
use serde_json::{Value, json};

use crate::lines;

/// Three quarters of an hour after the pods were made.
pub(crate) const NOW: Now = Now { wall: Seconds(1_795_165_200), mono: Millis(2_700_000) };
/// The controller, and what it has written.
pub(crate) struct Cluster {
    pub(crate) workbench: Workbench,
    form: &'static str,
    set: Value,
    rv: u64,
    /// The hashes of the revisions, the oldest first.
    pub(crate) revisions: Vec<RevisionHash>,
    /// The last write of the journal.
    pub(crate) journal: Option<Action>,
}

impl Cluster {
    /// So many pods that serve, at most so many of them in one slice, and nothing that is left to do.
    pub(crate) fn at_rest(form: &'static str, pods: usize, slice: usize) -> Self {
        let set = lines::set(pods);
        let mut cluster = Self {
            workbench: Workbench::default(),
            form,
            set,
            rv: 100,
            revisions: Vec::new(),
            journal: None,
        };
        cluster.tell_set();
        // The revision first, whose hash the pods carry.
        let asked = cluster.workbench.plan(NOW);
        asked.into_iter().flat_map(|(_, actions)| actions).for_each(|action| cluster.carry_out(&action));
        for serial in 0..pods {
            let line = cluster.pod(serial, &lines::open());
            cluster.workbench.pod(&line).unwrap();
        }
        for first in (0..pods).step_by(slice) {
            let listed = first..pods.min(first + slice);
            cluster.workbench.slice(&lines::slice(listed, &(0..0))).unwrap();
        }
        let asked = cluster.play();
        assert!(asked.is_empty(), "at rest nothing is asked for: {asked:?}");
        cluster
    }

    /// The line of a pod at the first revision.
    pub(crate) fn pod(&self, serial: usize, gate: &Value) -> String {
        let revision = self.revisions.first().unwrap().to_string();
        lines::pod(self.form, serial, &revision, gate)
    }

    /// The template gets another image. Returns what is asked of the pods of the first wave.
    pub(crate) fn release(&mut self) -> Vec<Action> {
        *self.set.pointer_mut("/spec/template/spec/containers/0/image").unwrap() =
            json!("registry.example.com/shop/web:2026.11.4");
        *self.set.pointer_mut("/metadata/generation").unwrap() = json!(2);
        self.tell_set();
        self.play()
    }

    /// The body of the write that carries out an action.
    pub(crate) fn body(&self, action: Action) -> Vec<u8> {
        self.workbench.body(set(), action, NOW).unwrap()
    }

    /// Plans until nothing more is asked of the set itself, and returns what is asked of its pods.
    fn play(&mut self) -> Vec<Action> {
        loop {
            let asked: Vec<Action> =
                self.workbench.plan(NOW).into_iter().flat_map(|(_, actions)| actions).collect();
            let is_of_pods = |action: &Action| {
                !matches!(action, Action::CreateRevision { .. } | Action::WriteStatus { .. })
            };
            if asked.iter().all(is_of_pods) {
                return asked;
            }
            asked.iter().for_each(|action| self.carry_out(action));
        }
    }

    /// Takes in a write to the set or one of its revisions.
    fn carry_out(&mut self, action: &Action) {
        let hash = match action {
            Action::CreateRevision { hash, .. } => Some(*hash),
            Action::WriteStatus { .. } => None,
            _ => return,
        };
        let mut written: Value = serde_json::from_slice(&self.body(action.clone())).unwrap();
        self.rv += 1;
        let Some(hash) = hash else {
            // A JSON patch, whose last step has the whole status.
            let status = written.pointer_mut("/2/value").unwrap().take();
            self.set.as_object_mut().unwrap().insert("status".to_owned(), status);
            self.journal = Some(action.clone());
            self.tell_set();
            self.workbench.wrote_status(set(), NOW);
            return;
        };
        let metadata = written.pointer_mut("/metadata").and_then(Value::as_object_mut).unwrap();
        metadata.insert("uid".to_owned(), lines::uid(1_000_000 + self.revisions.len()).into());
        metadata.insert("resourceVersion".to_owned(), self.rv.to_string().into());
        self.revisions.push(hash);
        self.workbench.revision(&lines::modified(&written)).unwrap();
    }

    fn tell_set(&mut self) {
        *self.set.pointer_mut("/metadata/resourceVersion").unwrap() = self.rv.to_string().into();
        self.workbench.set(&lines::modified(&self.set)).unwrap();
    }
}

/// The uid of the set.
pub(crate) fn set() -> Uid {
    lines::SET.parse().unwrap()
}

//! The judge of a stream.

mod deployment;
mod pod;
mod set;
mod stop;
mod unit;
mod world;
mod write;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use crate::record::{Identity, Revision, Slice, Text, Uid};
use crate::{Breach, Event, Kind, Rule, Verdict};

use world::{Claim, World};

/// What a source can be trusted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Milliseconds by which a decision may lag behind the stream without its being to blame: writes carry the version of the
    /// object they change, not of all that they were decided on. 0 where the stream knows the order of decisions.
    pub lag: i64,
    /// The stream shows every object from its first version on, and every change of it that a rule looks at. Without, rules that
    /// count pods are left out: an unseen change would make them speak falsely.
    pub complete: bool,
    /// The stream shows every version of every object.
    pub chained: bool,
    /// The stream shows every write of ours, with the version it made.
    pub attributed: bool,
    /// Containers start again only after a change of their image: no application crashes by itself.
    pub steady: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { lag: 0, complete: true, chained: true, attributed: false, steady: false }
    }
}

/// A rule that was broken, where and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub id: Rule,
    /// The revision at which it was seen.
    pub revision: u64,
    /// The object that it was seen on.
    pub object: Identity,
    /// What was seen.
    pub what: Breach,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at version {}, {}: {}", self.id, self.revision, self.object, self.what)
    }
}

/// Evaluates all rules on a stream of versions and writes.
///
/// A rule looks at the write it is about, on the version that the write was decided on, as far as the stream tells it.
#[derive(Debug, Default)]
pub struct Checker {
    limits: Limits,
    revision: u64,
    /// Milliseconds of the source's clock; none when it has none.
    now: Option<i64>,
    /// When excuses that are over were looked for last.
    forgotten: i64,
    world: World,
    /// Until when each client may write.
    claims: HashMap<Text, Claim>,
    /// Who asked for the deletion of a pod or set: whether it was us.
    deletions: HashMap<Uid, bool>,
    /// Pods whose creation was seen, and namespaces that have had a workload.
    births: HashSet<Uid>,
    namespaces: HashSet<Text>,
    /// The image that pods of a revision run, by owner, revision, container and architecture.
    images: HashMap<(Uid, Revision, Text, Text), Text>,
    /// Objects whose status somebody else may take away.
    losable: HashSet<Uid>,
    /// The last version of an object that is a write of ours.
    ours: HashMap<(Kind, Uid), u64>,
    asked: BTreeMap<Rule, u64>,
    found: Vec<Violation>,
}

impl Checker {
    /// A judge of a source with these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Sets the source's clock, in milliseconds: how long something took is judged only once there is one.
    pub fn set_time(&mut self, millis: i64) {
        let now = self.now.map_or(millis, |now| now.max(millis));
        self.now = Some(now);
        // Not at every event: looking through all units costs more than an excuse that lasts a little longer.
        if now - self.forgotten >= self.limits.lag / 10 {
            self.forgotten = now;
            self.world.forget(now, self.limits.lag);
        }
    }

    /// Tells what happened at `revision` and returns the rules that it broke. Revisions must not go back.
    pub fn observe(&mut self, revision: u64, event: Event) -> Vec<Violation> {
        self.revision = revision;
        match event {
            Event::Deployment(it) => self.deployment(&it),
            Event::Set(it) => self.set(&it),
            Event::Pod(it) => self.pod(*it),
            Event::Slice(it) => self.slice(it),
            Event::Node(it) => {
                self.world.nodes.insert(it.identity.name.clone(), it);
            }
            Event::Gone(kind, identity) => self.gone(kind, &identity),
            Event::Write(it) => self.write(&it),
        }
        std::mem::take(&mut self.found)
    }

    /// Says that somebody else deletes this object: not ours to answer for.
    pub fn excuse_deletion(&mut self, uid: Uid) {
        self.deletions.insert(uid, false);
    }

    /// Says that somebody else takes the status of this object away, as a restore from a backup does.
    pub fn excuse_lost_status(&mut self, uid: Uid) {
        self.losable.insert(uid);
    }

    /// What the object said it had observed, unless that has been taken away by somebody else.
    fn said(&self, uid: Uid, before: Option<i64>, now: Option<i64>) -> Option<i64> {
        before.filter(|_| now.is_some() || !self.losable.contains(&uid))
    }

    /// How often each rule was evaluated. One that is missing has found nothing to look at.
    #[must_use]
    pub fn asked(&self) -> &BTreeMap<Rule, u64> {
        &self.asked
    }

    /// The rules of the state that nothing is expected to change any more: every status says what is there.
    pub fn at_rest(&mut self) -> Vec<Violation> {
        let sets: Vec<Uid> = self.world.units.keys().copied().collect();
        for unit in self.world.units.values_mut() {
            unit.figures.forget_all_but_last();
        }
        sets.into_iter().for_each(|uid| self.count_set(uid));
        let deployments: Vec<Uid> = self.world.deployments.keys().copied().collect();
        deployments.into_iter().for_each(|uid| self.count_deployment(uid));
        std::mem::take(&mut self.found)
    }

    fn judge(&mut self, rule: Rule, verdict: Verdict, object: &Identity) {
        *self.asked.entry(rule).or_default() += 1;
        if let Err(what) = verdict {
            debug_assert_eq!(rule, what.rule(), "a rule speaks for itself");
            self.found.push(Violation { id: rule, revision: self.revision, object: object.clone(), what });
        }
    }

    /// Judges what can be said only when nothing is missing from the stream.
    fn judge_whole(&mut self, rule: Rule, verdict: Verdict, object: &Identity) {
        if self.limits.complete {
            self.judge(rule, verdict, object);
        }
    }

    /// Whether something that happened at `then` may not have been known to what was decided lately.
    fn is_recent(&self, then: Option<i64>) -> bool {
        match (self.now, then) {
            (Some(now), Some(then)) => now - then < self.limits.lag,
            _ => false,
        }
    }

    /// Whether the version of an object is a write of ours; none when the stream does not tell.
    fn is_ours(&self, kind: Kind, identity: &Identity) -> Option<bool> {
        let ours = self.ours.get(&(kind, identity.uid)) == Some(&identity.version);
        (ours || self.limits.attributed).then_some(ours)
    }

    fn slice(&mut self, slice: Slice) {
        let touched = self.world.keep_slice(slice);
        self.endpoints_changed(touched);
    }

    fn endpoints_changed(&mut self, pods: Vec<Uid>) {
        for uid in pods {
            let endpoints = self.world.endpoints(uid);
            let now = self.now;
            let Some((set, tracked)) = self.world.tracked_mut(uid) else { continue };
            let unselect = set.is_some_and(|set| set.unselect);
            tracked.note_drained(endpoints.in_the_way(unselect), now);
            let (stopped, identity) = (tracked.stopped, tracked.pod.identity.clone());
            if stopped {
                self.judge_whole(Rule::S3, crate::rules::s3_after(true, endpoints.serving > 0), &identity);
            }
        }
    }

    fn gone(&mut self, kind: Kind, identity: &Identity) {
        match kind {
            Kind::Deployment => {
                self.world.deployments.remove(&identity.uid);
            }
            Kind::Set => self.set_gone(identity),
            Kind::Pod => self.pod_gone(identity),
            Kind::Slice => {
                let touched = self.world.drop_slice(identity.uid);
                self.endpoints_changed(touched);
            }
            Kind::Node => {
                self.world.nodes.remove(&identity.name);
            }
            _ => {}
        }
    }
}

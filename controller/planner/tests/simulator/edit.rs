//! What people do to the cluster.

use std::collections::BTreeMap;

use cafe_crds::{
    deployment::{ReleaseControls, RollbackTo, Strategy, Topology, UnitType},
    intstr::IntOrPercent::{self, Int},
    selector::Selector,
    time::Seconds,
    traffic::Traffic,
};
use cafe_planner::{
    deployment::{Deployment, DeploymentSpec, snapshot::unit_of},
    identity::{Digest, Uid, mix},
    pod::Phase,
    set::Ceiling,
    template::{ContainerImage, Facts},
    time::{Millis, Now},
};

use super::{Cluster, EPOCH, Memory, Protector};

/// How a set is deleted that somebody's finalizer keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Its pods live on until it is gone.
    Background,
    /// The same, with the finalizer `cafe.dev/drain`.
    Drained,
    /// Its pods are deleted at once.
    Foreground,
}

/// A pod template in three words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Template {
    pub image: u32,
    pub label: u32,
    pub rest: u32,
}

impl Template {
    /// A template that differs from others in its image.
    pub fn image(image: u32) -> Self {
        Self { image, label: 0, rest: 0 }
    }

    pub fn facts(self) -> Facts {
        Facts {
            rest: digest(u64::from(self.rest)),
            containers: vec![ContainerImage {
                name: "app".into(),
                image: format!("app:{}", self.image).into(),
                sidecar: false,
            }],
            labels: [("app".into(), "shop".into()), ("version".into(), self.label.to_string().into())].into(),
            annotations: BTreeMap::new(),
            claims: Vec::new(),
        }
    }

    pub fn digest(self) -> Digest {
        let low = u64::from(self.image) | (u64::from(self.label) << 20) | (u64::from(self.rest) << 40);
        digest(low.wrapping_add(1 << 60))
    }
}

fn digest(seed: u64) -> Digest {
    let (a, b) = (mix(seed), mix(seed ^ 0x5555_5555));
    Digest((u128::from(a) << 64) | u128::from(b))
}

/// `CellA`, `CellB`, ... or the one unit without a topology.
pub fn cells(count: usize) -> Topology {
    if count == 0 {
        return Topology::default();
    }
    let values = (0..count).map(|i| format!("Cell{}", char::from(b'A' + u8::try_from(i).unwrap()))).collect();
    Topology { unit_type: UnitType::Cell, values, ..Topology::default() }
}

impl Cluster {
    /// A cluster with a CafeDeployment of `replicas` over `units` cells that nothing has been done to yet.
    pub fn new(replicas: i32, units: usize, strategy: Strategy) -> Self {
        let template = Template::image(1);
        let deployment = Deployment {
            name: "shop".into(),
            namespace: "prod".into(),
            uid: Uid(1),
            rv: 1,
            generation: 1,
            deleting: false,
            spec: DeploymentSpec {
                replicas,
                selector: Selector {
                    match_labels: BTreeMap::from([("app".into(), "shop".into())]),
                    ..Selector::default()
                },
                digest: template.digest(),
                claim_retention: Default::default(),
                min_ready_seconds: 0,
                history_limit: 20,
                strategy,
                topology: cells(units),
                traffic: Traffic::default(),
                release: None,
                restart_at: None,
            },
            status: Default::default(),
            authors: Default::default(),
            bonds: Default::default(),
        };
        Self {
            now: Now { wall: Seconds(EPOCH), mono: Millis(0) },
            rv: 1,
            serial: 1,
            deployment,
            revisions: Vec::new(),
            sets: Vec::new(),
            chronicles: Vec::new(),
            no_chronicles_until: None,
            overlaps: None,
            pods: BTreeMap::new(),
            claim_templates: Vec::new(),
            claims: BTreeMap::new(),
            templates: [(template.digest(), template.facts())].into(),
            memory: Memory::default(),
            protectors: BTreeMap::new(),
            bad_images: BTreeMap::new(),
            full_units: Default::default(),
            rooms: Default::default(),
            nodes: Default::default(),
            blind: false,
            unproven: false,
            settled: Default::default(),
            events: Vec::new(),
            once: Default::default(),
            trace: Vec::new(),
            actions: 0,
            turns: 0,
            writes: BTreeMap::new(),
            quiet: false,
            dies_after: None,
            wake: Default::default(),
            flying: Vec::new(),
            landing_orphan: false,
            orphans: false,
            landing_late: false,
            lagging_budget: 0,
            decided_at: None,
            decided: None,
        }
    }

    /// The same, installed and at rest.
    pub fn installed(replicas: i32, units: usize, strategy: Strategy) -> Self {
        let mut cluster = Self::new(replicas, units, strategy);
        cluster.settle().assert_converged();
        cluster
    }

    /// Any edit of the spec.
    pub fn edit(&mut self, change: impl FnOnce(&mut DeploymentSpec)) -> &mut Self {
        let before = self.deployment.spec.clone();
        if !self.flying.is_empty() {
            self.lagging_budget = self.lagging_budget.max(self.budget());
        }
        change(&mut self.deployment.spec);
        if self.deployment.spec != before {
            self.deployment.generation += 1;
            self.deployment.rv = self.next_rv();
        }
        self
    }

    pub fn apply_template(&mut self, template: Template) -> &mut Self {
        self.log(format!("-- template {template:?}"));
        self.templates.insert(template.digest(), template.facts());
        self.edit(|spec| spec.digest = template.digest())
    }

    pub fn apply_image(&mut self, image: u32) -> &mut Self {
        self.apply_template(Template::image(image))
    }

    /// Gives its only set so many pods, each a copy of the one that serves, of which so many may be out.
    pub fn crowd(&mut self, pods: usize, max_unavailable: usize) -> Uid {
        let pod = self.pods.values().next().unwrap().clone();
        for serial in 1..pods {
            let mut copy = pod.clone();
            copy.pod.uid = Uid(copy.pod.uid.0 ^ (u128::from(mix(serial as u64)) << 64));
            copy.pod.name = format!("{}{serial}", copy.pod.name).into();
            self.pods.insert(copy.pod.uid, copy);
        }
        let set = self.sets.first_mut().unwrap();
        set.spec.replicas = i32::try_from(pods).unwrap();
        set.spec.update_strategy.max_unavailable = Int(i32::try_from(max_unavailable).unwrap());
        set.uid
    }

    /// Gives its only set a new image, which all of its pods are to have.
    pub fn let_all_move(&mut self) {
        self.apply_image(2);
        let told = self.deployment.spec.digest;
        self.run_until("the set is told", |c| c.sets.iter().all(|set| set.spec.digest == told));
        self.sets.first_mut().unwrap().spec.update_strategy.partition = Int(0);
    }

    pub fn confirm(&mut self, token: &str) -> &mut Self {
        self.log(format!("-- confirm {token}"));
        let confirm = Some(token.to_owned());
        self.edit(|spec| spec.release = Some(ReleaseControls { confirm, ..ReleaseControls::default() }))
    }

    /// Orders something of the release in hand.
    pub fn order(&mut self, change: impl FnOnce(&mut ReleaseControls)) -> &mut Self {
        self.edit(|spec| change(spec.release.get_or_insert_default()));
        let orders = format!("-- orders {:?}", self.deployment.spec.release);
        self.log(orders);
        self
    }

    pub fn abort(&mut self, revision: i64) -> &mut Self {
        self.order(|orders| orders.abort = Some(revision.to_string()))
    }

    pub fn retry(&mut self, revision: i64) -> &mut Self {
        self.order(|orders| orders.retry = Some(revision.to_string()))
    }

    pub fn roll_back(&mut self, abandon: i64, to: i64) -> &mut Self {
        self.order(|orders| orders.rollback = Some(RollbackTo { abandon, to }))
    }

    /// Confirms the gate that waits.
    pub fn confirm_next(&mut self) -> &mut Self {
        let token = self.token().unwrap_or_else(|| panic!("no gate waits\n{}", self.story()));
        self.confirm(&token)
    }

    /// Confirms all gates of the release of the present template, as soon as it has a number.
    pub fn confirm_all(&mut self) -> &mut Self {
        let digest = self.deployment.spec.digest;
        self.run_until("the release has begun", |c| {
            let release = c.deployment.status.release.as_ref();
            let of = release.and_then(|r| c.revisions.iter().find(|v| v.number == r.revision));
            of.is_some_and(|r| r.digest == digest)
        });
        let token = format!("{}/all", self.release().revision);
        self.confirm(&token)
    }

    /// Somebody writes the ceiling of a unit, or takes it off.
    pub fn write_ceiling(&mut self, unit: &str, pods: Option<i32>) {
        self.log(format!("-- ceiling of {unit} {pods:?}"));
        let rv = self.next_rv();
        if let Some(set) = self.sets.iter_mut().find(|s| unit_of(s) == unit) {
            (set.ceiling, set.rv) = (pods.map(|pods| Ceiling { pods, topology: None }), rv);
        }
    }

    pub fn scale(&mut self, replicas: i32) -> &mut Self {
        self.log(format!("-- scale to {replicas}"));
        self.edit(|spec| spec.replicas = replicas)
    }

    pub fn pause(&mut self, pause: bool) -> &mut Self {
        self.log(format!("-- pause {pause}"));
        self.edit(|spec| spec.strategy.pause = pause.then_some(true))
    }

    pub fn budget_of(&mut self, max: IntOrPercent) -> &mut Self {
        self.edit(|spec| spec.strategy.max_unavailable = max)
    }

    /// Containers of this image never start.
    pub fn break_image(&mut self, image: u32, reason: &'static str) -> &mut Self {
        self.bad_images.insert(format!("app:{image}"), reason);
        self
    }

    /// A load balancer with a controller of its own.
    pub fn protect(&mut self, name: &str) -> &mut Self {
        self.protectors.insert(name.into(), Protector::Prompt);
        self.edit(|spec| spec.traffic.protectors = vec![name.to_owned()])
    }

    pub fn set_protector(&mut self, name: &str, how: Protector) -> &mut Self {
        self.protectors.insert(name.into(), how);
        self
    }

    /// The pod vanishes, as with its node.
    pub fn lose(&mut self, uid: Uid) -> &mut Self {
        self.log(format!("-- lose {}", uid.0 % 10000));
        self.pods.remove(&uid);
        self.memory.fenced.remove(&uid);
        self.memory.proofs.remove(&uid);
        self
    }

    /// Somebody edits a pod.
    pub fn edit_pod(&mut self, uid: Uid, change: impl FnOnce(&mut cafe_planner::pod::Pod)) -> &mut Self {
        let rv = self.next_rv();
        let pod = &mut self.pods.get_mut(&uid).unwrap().pod;
        change(pod);
        pod.rv = rv;
        let line =
            format!("-- edit pod {}: offline {} force {:?}", uid.0 % 10000, pod.offline, pod.force_drain);
        self.log(line);
        self
    }

    /// The pod fails for good.
    pub fn fail(&mut self, uid: Uid) -> &mut Self {
        self.log(format!("-- fail {}", uid.0 % 10000));
        let rv = self.next_rv();
        if let Some(p) = self.pods.get_mut(&uid) {
            p.pod.phase = Phase::Finished;
            p.pod.ready_since = None;
            p.pod.containers_ready = false;
            p.pod.gate_noticed = true;
            p.serving = false;
            p.pod.rv = rv;
        }
        self
    }

    /// The status of everything is lost, as when objects are restored from a backup.
    pub fn lose_status(&mut self) -> &mut Self {
        self.log("-- lose every status");
        self.restart();
        self.deployment.status = Default::default();
        self.deployment.rv = self.next_rv();
        for i in 0..self.sets.len() {
            let rv = self.next_rv();
            let set = &mut self.sets[i];
            (set.status, set.rv) = (Default::default(), rv);
            set.journal.clear();
        }
        self
    }

    /// Someone deletes the InPlaceSet of a unit, and its pods go with it.
    pub fn delete_set(&mut self, unit: &str) -> &mut Self {
        self.log(format!("-- delete the set of {unit}"));
        let uid = self.unit(unit).uid;
        self.sets.retain(|s| s.uid != uid);
        self.pods.retain(|_, p| p.set != uid);
        self.claims_lose_set(uid);
        self.memory.fenced.remove(&uid);
        self.memory.censuses.remove(&uid);
        self
    }

    /// Someone deletes the InPlaceSet of a unit, and somebody's finalizer keeps it until [`Cluster::delete_set`].
    pub fn linger(&mut self, unit: &str, how: Removal) -> &mut Self {
        self.log(format!("-- delete the set of {unit}, which stays: {how:?}"));
        let rv = self.next_rv();
        let set = self.sets.iter_mut().find(|s| unit_of(s) == unit).unwrap();
        if set.deleting {
            return self;
        }
        (set.deleting, set.generation, set.rv) = (true, set.generation + 1, rv);
        set.bonds.drain = (how == Removal::Drained).then_some(0);
        set.bonds.foreground = how == Removal::Foreground;
        let uid = set.uid;
        if how == Removal::Foreground {
            let pods: Vec<Uid> = self.pods_of(uid).map(|p| p.pod.uid).collect();
            for pod in pods {
                self.evict(pod);
            }
        }
        self
    }

    /// The pod's containers stop being ready, until it is well again.
    pub fn sicken(&mut self, uid: Uid, sick: bool) -> &mut Self {
        self.log(format!("-- sick {} {sick}", uid.0 % 10000));
        if let Some(p) = self.pods.get_mut(&uid) {
            p.sick = sick;
        }
        self
    }

    /// Someone deletes the pod.
    pub fn evict(&mut self, uid: Uid) -> &mut Self {
        self.log(format!("-- evict {}", uid.0 % 10000));
        let rv = self.next_rv();
        if let Some(p) = self.pods.get_mut(&uid) {
            p.pod.terminating = true;
            p.pod.rv = rv;
        }
        self
    }

    pub fn pods_in(&self, unit: &str) -> Vec<Uid> {
        let set = self.sets.iter().find(|s| unit_of(s) == unit).unwrap().uid;
        self.pods_of(set).map(|p| p.pod.uid).collect()
    }
}

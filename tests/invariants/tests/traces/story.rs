//! A small application to tell traces with.

use std::collections::BTreeMap;

use cafe_invariants::record::{
    Container, Deployment, Endpoint, Entry, Gate, Identity, Lease, Node, Pod, Quota, Release, Revision, Set,
    Slice, Text, Uid,
};
use cafe_invariants::{Body, Checker, Event, Kind, Limits, Rule, Verb, Violation, Write};

/// The CafeDeployment `web`: units `a` and `b` with pods a1, a2, b1 and b2, all serving revision v1; budget 2, grants 1.
pub struct Story {
    checker: Checker,
    revision: u64,
    now: i64,
    pub deployment: Deployment,
    pub sets: BTreeMap<&'static str, Set>,
    pub pods: BTreeMap<String, Pod>,
    found: Vec<Violation>,
}

pub const UNITS: [&str; 2] = ["a", "b"];

fn identity(name: &str) -> Identity {
    Identity { namespace: "shop".into(), name: name.into(), uid: Uid::of(name), version: 0 }
}

fn pod(name: &str, unit: &str, revision: &str) -> Pod {
    let container = Container {
        name: "app".into(),
        wants: revision.into(),
        runs: revision.into(),
        id: "1".into(),
        waits: false,
    };
    Pod {
        identity: identity(name),
        owner: Some(Uid::of(&format!("web-{unit}"))),
        of_set: true,
        controllers: 1,
        unit: unit.into(),
        revision: Revision::of(revision),
        running: true,
        node: format!("node-{unit}").into(),
        address: format!("10.0.0.{name}").into(),
        gate: Gate::True,
        ready: true,
        containers: vec![container],
        ..Pod::default()
    }
}

fn set(unit: &str) -> Set {
    Set {
        identity: identity(&format!("web-{unit}")),
        owner: Some(Uid::of("web")),
        generation: 1,
        observed: Some(1),
        unit: unit.into(),
        replicas: 2,
        grant: 1,
        target: Revision::of("v1"),
        base: Revision::of("v1"),
        grace: 3000,
        images: vec!["v1".into()],
        place: Some(("cell".into(), unit.into())),
        ..Set::default()
    }
}

fn deployment() -> Deployment {
    Deployment {
        identity: identity("web"),
        generation: 1,
        observed: Some(1),
        replicas: 4,
        budget: 2,
        needs_confirm: true,
        deadline: 600,
        target: Revision::of("v1"),
        base: Revision::of("v1"),
        release: Some(Release { revision: 1, completed: true, group: 1, total: 1, ..Release::default() }),
        ..Deployment::default()
    }
}

impl Story {
    /// The application at rest, watched by a judge that trusts the order of what it is told.
    pub fn new() -> Self {
        Self::with(Limits { steady: true, ..Limits::default() })
    }

    /// As [`Story::new`], in which every write of ours is told as well.
    pub fn attributed() -> Self {
        Self::with(Limits { steady: true, attributed: true, ..Limits::default() })
    }

    /// As [`Story::new`], from watches and decisions that may be five seconds behind.
    pub fn lagging() -> Self {
        Self::with(Limits { steady: true, lag: 5000, ..Limits::default() })
    }

    fn with(limits: Limits) -> Self {
        let sets = UNITS.map(|unit| (unit, set(unit))).into();
        let mut story = Self {
            checker: Checker::new(limits),
            revision: 0,
            now: 0,
            deployment: deployment(),
            sets,
            pods: BTreeMap::new(),
            found: Vec::new(),
        };
        story.wait(0).deployment(|_| {});
        for unit in UNITS {
            story.set(unit, |_| {});
            for number in 1..=2 {
                let name = format!("{unit}{number}");
                story.born(&name, unit, "v1").slice(&name, Some(true));
            }
        }
        assert_eq!(story.found(), []);
        story
    }

    /// Release 2, from v1 to v2: the beta group lets one pod of each unit in.
    pub fn releasing() -> Self {
        let mut story = Self::new();
        story.release();
        story
    }

    pub fn release(&mut self) -> &mut Self {
        self.deployment(|d| {
            let quota = |unit: &str| Quota { unit: unit.into(), replicas: 2, updated: 1 };
            d.target = Revision::of("v2");
            d.says_ready = false;
            d.release = Some(Release {
                revision: 2,
                has_base: true,
                group: 1,
                total: 2,
                quota: UNITS.map(quota).to_vec(),
                ..Release::default()
            });
        });
        for unit in UNITS {
            self.set(unit, |s| {
                s.generation += 1;
                s.partition = 1;
                (s.target, s.images) = (Revision::of("v2"), vec!["v2".into()]);
            });
        }
        self
    }

    fn tell(&mut self, event: Event) -> &mut Self {
        let found = self.checker.observe(self.revision, event);
        self.found.extend(found);
        self
    }

    /// The revision that the next version will have.
    pub fn next(&self) -> u64 {
        self.revision + 1
    }

    pub fn wait(&mut self, millis: i64) -> &mut Self {
        self.now += millis;
        self.checker.set_time(self.now);
        self
    }

    pub fn deployment(&mut self, change: impl FnOnce(&mut Deployment)) -> &mut Self {
        self.revision += 1;
        change(&mut self.deployment);
        self.deployment.identity.version = self.revision;
        self.tell(Event::Deployment(Box::new(self.deployment.clone())))
    }

    /// Somebody takes the status of the CafeDeployment away, and the judge knows of it.
    pub fn lose_status(&mut self) -> &mut Self {
        self.checker.excuse_lost_status(self.deployment.identity.uid);
        self.deployment(|d| (d.observed, d.release) = (None, None))
    }

    /// Somebody takes the status of a set away, and the judge knows of it.
    pub fn lose_status_of(&mut self, unit: &'static str) -> &mut Self {
        self.revision += 1;
        let set = self.sets.get_mut(unit).unwrap();
        self.checker.excuse_lost_status(set.identity.uid);
        (set.observed, set.journal) = (None, Vec::new());
        set.identity.version = self.revision;
        let set = set.clone();
        self.tell(Event::Set(Box::new(set)))
    }

    /// A change of a set, which it acknowledges at once.
    pub fn set(&mut self, unit: &'static str, change: impl FnOnce(&mut Set)) -> &mut Self {
        self.revision += 1;
        let set = self.sets.get_mut(unit).unwrap();
        change(set);
        set.identity.version = self.revision;
        set.observed = set.observed.max(Some(set.generation));
        let set = set.clone();
        self.tell(Event::Set(Box::new(set)))
    }

    /// A change of a set's spec that it has not acknowledged.
    pub fn set_unheard(&mut self, unit: &'static str, change: impl FnOnce(&mut Set)) -> &mut Self {
        self.revision += 1;
        let set = self.sets.get_mut(unit).unwrap();
        change(set);
        (set.identity.version, set.generation) = (self.revision, set.generation + 1);
        let set = set.clone();
        self.tell(Event::Set(Box::new(set)))
    }

    pub fn pod(&mut self, name: &str, change: impl FnOnce(&mut Pod)) -> &mut Self {
        self.revision += 1;
        let pod = self.pods.get_mut(name).unwrap();
        change(pod);
        pod.identity.version = self.revision;
        let pod = pod.clone();
        self.tell(Event::Pod(Box::new(pod)))
    }

    pub fn born(&mut self, name: &str, unit: &str, revision: &str) -> &mut Self {
        self.pods.insert(name.to_owned(), pod(name, unit, revision));
        self.pod(name, |_| {})
    }

    pub fn gone(&mut self, name: &str) -> &mut Self {
        self.revision += 1;
        let pod = self.pods.remove(name).unwrap();
        self.tell(Event::Gone(Kind::Pod, pod.identity))
    }

    /// The slice of one pod: whether its endpoint serves; none without an endpoint.
    pub fn slice(&mut self, name: &str, serves: Option<bool>) -> &mut Self {
        self.revision += 1;
        let pod = Uid::of(name);
        let endpoints = serves.map(|serves| Endpoint { pod, serves }).into_iter().collect();
        self.tell(Event::Slice(Slice { identity: identity(&format!("slice-{name}")), endpoints }))
    }

    pub fn node(&mut self, name: &str, cell: &str, ready: bool) -> &mut Self {
        self.revision += 1;
        let labels = vec![("cell".into(), cell.into())];
        self.tell(Event::Node(Node { identity: identity(name), labels, ready, ..Node::default() }))
    }

    pub fn reserve(&mut self, unit: &'static str, pods: &[&str], to: &str) -> &mut Self {
        let entries: Vec<Entry> =
            pods.iter().map(|pod| Entry { pod: Uid::of(pod), to: Revision::of(to) }).collect();
        self.set(unit, |s| {
            s.journal.extend(entries);
            s.journal.sort_unstable();
        })
    }

    pub fn let_go(&mut self, unit: &'static str, pod: &str) -> &mut Self {
        self.set(unit, |s| s.journal.retain(|e| e.pod != Uid::of(pod)))
    }

    /// W1.
    pub fn take_out(&mut self, name: &str) -> &mut Self {
        self.pod(name, |p| (p.gate, p.ready) = (Gate::Draining("Drain_1".into()), false))
    }

    /// W1, and what follows until the pod may be stopped.
    pub fn drain(&mut self, name: &str) -> &mut Self {
        self.take_out(name).slice(name, Some(false)).wait(3000)
    }

    /// W2 of the beta group.
    pub fn update(&mut self, name: &str, to: &str) -> &mut Self {
        self.pod(name, |p| {
            p.revision = Revision::of(to);
            p.group = Some((2, 1));
            p.containers[0].wants = to.into();
        })
    }

    /// The new container, W3 and the kubelet's Ready.
    pub fn put_back(&mut self, name: &str) -> &mut Self {
        self.pod(name, |p| {
            let container = &mut p.containers[0];
            (container.runs, container.id) = (container.wants.clone(), "2".into());
        });
        self.pod(name, |p| p.gate = Gate::True).pod(name, |p| p.ready = true).slice(name, Some(true))
    }

    /// A whole update in place.
    pub fn move_pod(&mut self, unit: &'static str, name: &str) -> &mut Self {
        self.reserve(unit, &[name], "v2").drain(name).update(name, "v2").put_back(name).let_go(unit, name)
    }

    /// A write of ours as it should be, with what is different about it.
    pub fn write(
        &mut self,
        kind: Kind,
        verb: Verb,
        name: &str,
        change: impl FnOnce(&mut Write),
    ) -> &mut Self {
        let uid = Uid::of(name);
        let version = match kind {
            Kind::Pod => self.pods.get(name).map(|p| p.identity.version),
            Kind::Deployment => Some(self.deployment.identity.version),
            _ => self.sets.values().map(|s| &s.identity).find(|i| i.uid == uid).map(|i| i.version),
        };
        let mut write = Write {
            received: self.now,
            client: "replica-1".into(),
            ours: true,
            verb,
            kind,
            object: Identity { version: self.next(), ..identity(name) },
            body: Some(Body { uid: Some(uid), version, ..Body::default() }),
            accepted: true,
            ..Write::default()
        };
        change(&mut write);
        self.tell(Event::Write(Box::new(write)))
    }

    pub fn renew(&mut self, client: &str, holder: &str) -> &mut Self {
        let lease = Lease { identity: identity("cafe"), holder: Some(Text::from(holder)), duration: 15_000 };
        self.write(Kind::Lease, Verb::Change, "cafe", |w| {
            w.client = client.into();
            w.lease = Some(lease);
        })
    }

    pub fn at_rest(&mut self) -> &mut Self {
        let found = self.checker.at_rest();
        self.found.extend(found);
        self
    }

    pub fn found(&self) -> Vec<Rule> {
        self.found.iter().map(|v| v.id).collect()
    }

    /// Nothing was found although the rule was asked.
    pub fn holds(&self, rule: Rule) {
        let lines: Vec<String> = self.found.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "{lines:#?}");
        assert!(self.checker.asked().get(&rule).is_some_and(|n| *n > 0), "{rule} was never asked");
    }

    /// Exactly this was found.
    pub fn breaks(&self, rule: Rule, what: &str) {
        let lines: Vec<String> = self.found.iter().map(ToString::to_string).collect();
        assert!(lines.len() == 1 && self.found[0].id == rule, "expected only {rule}: {what}\n{lines:#?}");
        assert_eq!(self.found[0].what.to_string(), what);
    }
}

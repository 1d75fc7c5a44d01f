//! One moment of the cluster and of the controller, packed into few bytes: there are millions of them.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use crate::object::{Pod, Set};

/// Most pods a model may have.
pub const MOST_PODS: usize = 5;

/// The InPlaceSet among the objects, which are numbered: pods first.
pub const SET: usize = MOST_PODS;

/// One bit per object.
pub type Mask = u8;

/// The bit of an object.
#[must_use]
pub const fn bit(object: usize) -> Mask {
    1 << object
}

/// What one write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    /// W1: gate False.
    TakeOut,
    /// W2: the image of this revision.
    Update(u8),
    /// W3: gate True.
    PutBack,
    /// Nothing but a new resource version.
    Touch,
    /// The status with the journal; `costly` are the reserved pods that were in service when it was decided.
    Journal {
        /// The set with its new status.
        set: Set,
        /// Pods that were seen in service and are reserved anew.
        costly: Mask,
    },
}

/// A write on its way.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Write {
    /// Its object.
    pub object: u8,
    /// What it does.
    pub deed: Deed,
    /// The pod it was decided on; kept only where writes are guarded by values.
    pub on: Pod,
}

/// Promises broken so far. A state that breaks one is not explored further.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Broken {
    /// A pod in service was reserved beyond the budget.
    pub s2: bool,
    /// A container was stopped while an EndpointSlice sent requests to it.
    pub s3: bool,
    /// A pod was reserved for the target beyond the partition.
    pub s4: bool,
    /// A pod was reserved during an acknowledged pause.
    pub s5: bool,
}

/// What may still happen to the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// The controller dies and another takes over.
    pub crashes: u8,
    /// The answer to a write is lost.
    pub lost: u8,
    /// The spec asks for another revision.
    pub changes: u8,
    /// The set is paused.
    pub pauses: u8,
    /// A container dies by itself.
    pub deaths: u8,
    /// The release is aborted.
    pub aborts: u8,
    /// The release is rolled back by an order.
    pub rollbacks: u8,
}

/// What the watches of one process have brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cache {
    /// The pods.
    pub pods: [Pod; MOST_PODS],
    /// The set.
    pub set: Set,
    /// Pods that the EndpointSlice sends requests to.
    pub serving: Mask,
    /// Objects that are newer than here.
    pub newer: Mask,
    /// Objects that a write has met something newer of, which has not been brought yet: not decided about.
    pub behind: Mask,
}

impl Cache {
    /// An object is brought as it is.
    pub fn see(&mut self, object: usize, pods: &[Pod], set: Set) {
        match pods.get(object) {
            Some(pod) => self.pods[object] = *pod,
            None => self.set = set,
        }
        self.newer &= !bit(object);
        self.behind &= !bit(object);
    }
}

impl Faults {
    /// Nothing more: caches still lag.
    pub const NONE: Self =
        Self { crashes: 0, lost: 0, changes: 0, pauses: 0, deaths: 0, aborts: 0, rollbacks: 0 };
}

/// One moment.
#[derive(Clone, PartialEq, Eq)]
pub struct State {
    /// The pods.
    pub pods: [Pod; MOST_PODS],
    /// The set.
    pub set: Set,
    /// Pods that the EndpointSlice sends requests to.
    pub serving: Mask,
    /// Pods that the EndpointSlice controller believes ready.
    pub believed: Mask,
    /// What the controller has been brought.
    pub cache: Cache,
    /// What the replica that stands by has been brought; empty where none is modelled.
    pub standby: Cache,
    /// Pods that this process has had a write to acknowledged.
    pub fenced: Mask,
    /// Pods whose present drain a live read has proved.
    pub proven: Mask,
    /// Of these, pods whose grace is over.
    pub settled: Mask,
    /// The write in flight.
    pub live: Option<Write>,
    /// A write nobody waits for any more.
    pub zombie: Option<Write>,
    /// Pods that were in service when they were taken out, and are not back.
    pub taken: Mask,
    /// What may still happen.
    pub left: Faults,
    /// What has been broken.
    pub broken: Broken,
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.deed {
            Deed::Journal { set, .. } => write!(f, "write {set:?}"),
            deed => write!(f, "{deed:?} pod{}", self.object),
        }
    }
}

impl Write {
    fn bits(self) -> u64 {
        let (deed, data) = match self.deed {
            Deed::TakeOut => (1, 0),
            Deed::Update(to) => (2, u64::from(to)),
            Deed::PutBack => (3, 0),
            Deed::Touch => (4, 0),
            Deed::Journal { set, costly } => (5, u64::from(set.bits()) << 8 | u64::from(costly)),
        };
        deed | u64::from(self.object) << 3 | u64::from(self.on.bits()) << 6 | data << 16
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let pods = |pods: &[Pod]| pods.iter().fold(0, |all, pod| all << 9 | u64::from(pod.bits()));
        let bytes = |masks: &[u8]| masks.iter().fold(0, |all, mask| all << 8 | u64::from(*mask));
        let (left, broken) = (self.left, self.broken);
        let counts =
            [left.crashes, left.lost, left.changes, left.pauses, left.deaths, left.aborts, left.rollbacks];
        let broken = u8::from(broken.s2)
            | u8::from(broken.s3) << 1
            | u8::from(broken.s5) << 2
            | u8::from(broken.s4) << 3;
        hasher.write_u64(pods(&self.pods) | bytes(&[self.serving, self.believed]) << 48);
        hasher.write_u64(u64::from(self.set.bits()) | bytes(&[self.taken, broken]) << 32);
        for cache in [&self.cache, &self.standby] {
            hasher.write_u64(pods(&cache.pods) | bytes(&[cache.serving, cache.newer]) << 48);
            hasher.write_u64(u64::from(cache.set.bits()) | u64::from(cache.behind) << 32);
        }
        hasher.write_u64(bytes(&[self.fenced, self.proven, self.settled]));
        hasher.write_u64(bytes(&counts));
        hasher.write_u64(self.live.map_or(0, Write::bits));
        hasher.write_u64(self.zombie.map_or(0, Write::bits));
    }
}

impl State {
    /// A number that spreads states over shards.
    #[must_use]
    pub fn shard(&self) -> usize {
        let pods = self.pods.iter().fold(0, |sum: usize, pod| sum.wrapping_mul(31) + usize::from(pod.bits()));
        pods.wrapping_add(self.set.bits() as usize)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cache = &self.cache;
        let newer = if cache.newer & bit(SET) == 0 { "" } else { ", newer" };
        writeln!(f, "set {:?}; cached {:?}{newer}", self.set, cache.set)?;
        let exists = |(pod, cached): &(&Pod, &Pod)| **pod != Pod::default() || **cached != Pod::default();
        for (i, (pod, cached)) in self.pods.iter().zip(&cache.pods).filter(exists).enumerate() {
            let names = [
                (self.serving, "serving"),
                (cache.serving, "cached-serving"),
                (self.believed, "believed"),
                (self.fenced, "fenced"),
                (self.proven, "proven"),
                (self.settled, "settled"),
                (self.taken, "taken"),
                (cache.newer, "newer"),
                (cache.behind, "behind"),
            ];
            let marks: Vec<&str> = names.iter().filter(|(m, _)| m & bit(i) != 0).map(|(_, n)| *n).collect();
            writeln!(f, "    pod{i} {pod:?}; cached {cached:?}; {}", marks.join(" "))?;
        }
        write!(f, "    in flight {:?}; abandoned {:?}", self.live, self.zombie)
    }
}

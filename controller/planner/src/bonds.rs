//! What ties an object of ours to others: who owns it, who holds it back from going, who has written into it.

use crate::{Text, identity::Uid};

/// The ties of a CafeDeployment or InPlaceSet, as its metadata has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bonds {
    /// Where the finalizer `cafe.dev/drain` stands in the list, if it does.
    pub drain: Option<usize>,
    /// Its dependents are to live on when it goes: the finalizer `orphan`.
    pub orphans: bool,
    /// Its dependents are to go before it, and are deleted by the garbage collector: the finalizer `foregroundDeletion`.
    pub foreground: bool,
    /// It has an owner reference, whoever that is.
    pub owned: bool,
    /// Who else than the controller has written something that stands in the spec, as that client calls itself.
    pub edited_by: Option<Text>,
}

impl Bonds {
    /// Whether pods are to be drained before the object goes.
    #[must_use]
    pub fn drains(&self) -> bool {
        self.drain.is_some() && !self.orphans
    }
}

/// Something that nobody owns, seen at this version.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Orphan {
    /// What it is.
    pub kind: Kin,
    /// Name.
    pub name: Text,
    /// Uid.
    pub uid: Uid,
    /// Resource version.
    pub rv: u64,
}

/// What may be adopted besides InPlaceSets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kin {
    /// A ControllerRevision.
    Revision,
    /// A CafeRelease.
    Release,
    /// A pod.
    Pod,
}

/// What is around an owner that is not its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Others<'a> {
    /// What nobody owns and this one may adopt, sorted.
    pub orphans: &'a [Orphan],
    /// InPlaceSets without any owner that have the names of its children.
    pub sets: &'a [&'a crate::set::Set],
    /// A live read of the owner, begun after all of these were seen, has shown it alive: what was orphaned by its own deletion
    /// cannot be among them.
    pub confirmed: bool,
    /// That read is on its way.
    pub confirming: bool,
    /// An older object, as `Kind name`, whose pods this one selects or which selects those of this one.
    pub overlaps: Option<&'a Text>,
}

//! Revisions: one pod template each, kept as ControllerRevisions.

use crate::{
    Text,
    identity::{Digest, RevisionHash, Uid},
    template::Facts,
};

/// How a revision's last release ended, as its annotation `cafe.dev/outcome` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Every pod reached it and became available.
    Completed,
    /// Superseded or rolled back before (or after) it completed.
    Abandoned,
    /// Stopped where it was.
    Aborted,
}

impl Outcome {
    /// The annotation's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "Completed",
            Self::Abandoned => "Abandoned",
            Self::Aborted => "Aborted",
        }
    }

    /// Reads the annotation; anything unknown is as good as none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Completed, Self::Abandoned, Self::Aborted].into_iter().find(|o| o.as_str() == text)
    }
}

/// One ControllerRevision.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Revision {
    /// Name of the ControllerRevision.
    pub name: Text,
    /// Its uid.
    pub uid: Uid,
    /// The resource version it was seen at.
    pub rv: u64,
    /// Its present number.
    pub number: i64,
    /// Numbers it held before its template returned.
    pub older: Vec<i64>,
    /// Its short name, as on pods.
    pub hash: RevisionHash,
    /// Digest of its content.
    pub digest: Digest,
    /// How its last release ended.
    pub outcome: Option<Outcome>,
    /// A write to it is on its way.
    pub busy: bool,
    /// What its template asks of a pod.
    pub facts: Facts,
}

impl Revision {
    /// How often its hash had to be moved aside, for `status.collisionCount`; none if it never was.
    #[must_use]
    pub fn collisions(&self) -> Option<i32> {
        (1..100).find(|c| RevisionHash::of(self.digest, *c) == self.hash).and_then(|c| i32::try_from(c).ok())
    }

    /// Whether `number` is this revision's, now or in an earlier life.
    #[must_use]
    pub fn answers_to(&self, number: i64) -> bool {
        self.number == number || self.older.contains(&number)
    }
}

/// What is to be done so that the content `digest` has a revision with the highest number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// The revision at this index is the newest and has the content.
    Found(usize),
    /// Content seen for the first time: create a revision with this number and hash.
    Create {
        /// Number of the new revision.
        number: i64,
        /// Short name of the new revision.
        hash: RevisionHash,
    },
    /// Content of an earlier revision (at this index): it gets a new number.
    Renumber {
        /// Index of the revision.
        index: usize,
        /// Its next number.
        number: i64,
    },
}

/// Finds the revision of `digest`, or says how to get one. Numbers start above `floor` (the highest number that any
/// token names), so that a token of an older life can never match. `held` are hashes whose names somebody else holds.
#[must_use]
pub fn resolve(digest: Digest, revisions: &[&Revision], held: &[RevisionHash], floor: i64) -> Resolution {
    let highest = revisions.iter().map(|r| r.number).max().unwrap_or(0);
    let next = highest.max(floor).saturating_add(1);
    match revisions.iter().position(|r| r.digest == digest) {
        Some(index) if revisions.get(index).is_some_and(|r| r.number == highest) => Resolution::Found(index),
        Some(index) => Resolution::Renumber { index, number: next },
        None => {
            let is_free =
                |hash: &RevisionHash| !held.contains(hash) && revisions.iter().all(|r| r.hash != *hash);
            let hash = (0..).map(|c| RevisionHash::of(digest, c)).find(is_free);
            Resolution::Create { number: next, hash: hash.unwrap_or_default() }
        }
    }
}

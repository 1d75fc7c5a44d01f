//! The record of a release, a CafeRelease: what the status says of it is folded in before the status forgets it. The record
//! decides nothing, and nothing waits for it but the start of the next release.

mod changes;
mod course;
mod incidents;
mod words;

use cafe_crds::{
    deployment::ReleaseStatus,
    release::{CafeReleaseSpec, CafeReleaseStatus},
};

use crate::{
    Text,
    deployment::{Action, Plan, Snapshot},
    identity::Uid,
};

/// A CafeRelease as last seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Chronicle {
    /// Name.
    pub name: Text,
    /// Uid.
    pub uid: Uid,
    /// Resource version this was made from.
    pub rv: u64,
    /// A write to it is on its way.
    pub busy: bool,
    /// What is released.
    pub spec: CafeReleaseSpec,
    /// How it goes.
    pub status: CafeReleaseStatus,
}

/// Brings the records up to what the status says. Whether they are: then a new release may take the place of the one in the
/// status. Records that the API server refuses hold nobody up.
pub fn keep(s: &Snapshot<'_>, plan: &mut Plan) -> bool {
    let Some((release, about)) = s.stored().and_then(|release| Some((release, about(release)?))) else {
        return true;
    };
    // Pods that are added while an earlier revision serves belong to no release.
    if release.rollback && release.scale_out {
        return true;
    }
    if let Some(until) = s.no_chronicles_until.filter(|until| *until > s.now.mono) {
        plan.wake.at(until);
        return true;
    }
    let overtaken = s.chronicles.iter().filter(|c| c.spec.revision < about);
    for chronicle in overtaken.filter(|c| course::is_open(&c.status)) {
        write(chronicle, course::overtaken(&chronicle.status, release, chronicle.spec.revision), plan);
    }
    match s.chronicles.iter().find(|c| c.spec.revision == about) {
        Some(chronicle) if course::is_told(&chronicle.status, release) => !chronicle.busy,
        Some(chronicle) => write(chronicle, course::told(s, &chronicle.status, release, about), plan),
        None => {
            create(s, release, about, plan);
            false
        }
    }
}

/// Deletes the oldest records beyond `historyLimit`. Only between releases.
pub fn prune(s: &Snapshot<'_>, plan: &mut Plan) {
    let about = s.stored().and_then(about);
    let mut ended: Vec<&Chronicle> = s
        .chronicles
        .iter()
        .copied()
        .filter(|c| !course::is_open(&c.status) && Some(c.spec.revision) != about)
        .collect();
    ended.sort_by_key(|c| c.spec.revision);
    let keep = usize::try_from(s.deployment.spec.history_limit).unwrap_or(0);
    let surplus = ended.len().saturating_sub(keep);
    for c in ended.into_iter().take(surplus).filter(|c| !c.busy) {
        plan.act(Action::DeleteChronicle { name: c.name.clone(), uid: c.uid, rv: c.rv });
    }
}

/// Whose record it is that tells of this release: a way back belongs to the release that it leaves.
fn about(release: &ReleaseStatus) -> Option<i64> {
    if release.rollback { release.from_revision } else { Some(release.revision) }
}

fn create(s: &Snapshot<'_>, release: &ReleaseStatus, about: i64, plan: &mut Plan) {
    if s.chronicling {
        return;
    }
    let spec = changes::spec(s, release, about);
    let status = course::told(s, &CafeReleaseStatus::default(), release, about);
    let name = format!("{}-{about}", s.deployment.name).into();
    plan.act(Action::CreateChronicle { name, spec: Box::new(spec), status: Box::new(status) });
}

/// Whether there was nothing to write.
fn write(chronicle: &Chronicle, after: CafeReleaseStatus, plan: &mut Plan) -> bool {
    if chronicle.busy {
        return false;
    }
    if chronicle.status == after {
        return true;
    }
    plan.act(Action::WriteChronicle {
        name: chronicle.name.clone(),
        uid: chronicle.uid,
        rv: chronicle.rv,
        before: Box::new(chronicle.status.clone()),
        after: Box::new(after),
    });
    false
}

//! The InPlaceSet planner: which pods to create, take out, update, put back and delete.
//!
//! [`plan`] reads as the steps of one look at a set: who shall go where ([`intent`], [`scale_in`]), who may start now ([`journal`]),
//! the next step of each pod ([`steps`]), the pods that are missing ([`create`]) and what the status says ([`census`]).

pub mod action;
pub mod census;
pub mod claims;
pub mod conditions;
pub mod create;
pub mod departure;
pub mod drain;
pub mod intent;
pub mod journal;
pub mod ownership;
pub mod scale_in;
pub mod snapshot;
pub mod standalone;
pub mod steps;

pub use action::{Action, Plan};
pub use census::Census;
use claims::Places;
pub use snapshot::{Ceiling, Set, SetSpec, Snapshot};

use crate::revision::Revision;

/// Decides everything that can be decided about one InPlaceSet now.
#[must_use]
pub fn plan(s: &Snapshot<'_>) -> Plan {
    debug_assert!(
        s.pods.iter().all(|view| view.entry == s.set.entry(view.pod.uid)),
        "reservations of its journal"
    );
    if s.set.deleting {
        return departure::plan(s);
    }
    if s.target.is_none() && s.set.spec.replicas == 0 && s.set.owner.is_some() {
        return departure::empty(s);
    }
    if s.others.overlaps.is_some() && !ownership::has_served(s) {
        let mut plan = departure::without_revision(s);
        ownership::tell_overlap(s, &mut plan);
        return plan;
    }
    let mut plan = Plan { census: census::take(s), ..Plan::default() };
    ownership::tell_overlap(s, &mut plan);
    ownership::adopt(s, &mut plan);
    let Some(target) = s.target else {
        // Its revision is not in the cache yet; the frame that brings it plans again.
        standalone::create_revision(s, &mut plan);
        return plan;
    };
    ownership::tell(s, &mut plan);
    work(s, target, &mut plan);
    standalone::prune(s, target, &mut plan);
    plan
}

/// What is done for the pods.
fn work(s: &Snapshot<'_>, target: &Revision, plan: &mut Plan) {
    plan.wake = plan.census.wake;
    drain::survey(s, plan);
    let intents = intent::assign(s, target);
    plan.census.blocked = intent::blocked(s, target, &intents);
    let journal = journal::plan(s, &intents, plan.census.held.is_some());
    steps::plan(s, &intents, &journal, plan);
    let places = Places::of(s);
    let wanted = create::plan(s, &intents, &places, plan);
    claims::plan(s, &intents, &places, &wanted, plan);
    journal::write(s, &journal, plan);
    fence(s, plan);
}

/// Before a pod is taken out, the journal that names it must be known to be in force: this process may have taken over with a
/// cache that lags. Any acknowledged write to the set shows it.
fn fence(s: &Snapshot<'_>, plan: &mut Plan) {
    let writes = plan.actions.iter().any(|action| matches!(action, Action::WriteStatus { .. }));
    if plan.needs_fence && !writes {
        plan.actions.push(Action::TouchSet { rv: s.set.rv });
    }
}

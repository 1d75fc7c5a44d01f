//! The InPlaceSet planner: which pods to create, take out, update, put back and delete.
//!
//! [`plan`] reads as the steps of one look at a set: who shall go where ([`intent`], [`scale_in`]), who may start now ([`journal`]),
//! the next step of each pod ([`steps`]), the pods that are missing ([`create`]) and what the status says ([`census`]).

pub mod action;
pub mod census;
pub mod conditions;
pub mod create;
pub mod drain;
pub mod intent;
pub mod journal;
pub mod scale_in;
pub mod snapshot;
pub mod standalone;
pub mod steps;

pub use action::{Action, Plan};
pub use census::Census;
pub use snapshot::{Set, SetSpec, Snapshot};

/// Decides everything that can be decided about one InPlaceSet now.
#[must_use]
pub fn plan(s: &Snapshot<'_>) -> Plan {
    let mut plan = Plan { census: census::take(s), ..Plan::default() };
    let Some(target) = s.target else {
        // Its revision is not in the cache yet; the frame that brings it plans again.
        standalone::create_revision(s, &mut plan);
        return plan;
    };
    if s.set.deleting {
        return plan;
    }
    plan.wake = plan.census.wake;
    drain::survey(s, &mut plan);
    let intents = intent::assign(s, target);
    plan.census.blocked = intent::blocked(s, target, &intents);
    let journal = journal::plan(s, &intents, plan.census.held.is_some());
    steps::plan(s, &intents, &journal, &mut plan);
    create::plan(s, &intents, &mut plan);
    journal::write(s, &journal, &mut plan);
    fence(s, &mut plan);
    standalone::prune(s, target, &mut plan);
    plan
}

/// Before a pod is taken out, the journal that names it must be known to be in force: this process may have taken over with a
/// cache that lags. Any acknowledged write to the set shows it.
fn fence(s: &Snapshot<'_>, plan: &mut Plan) {
    let writes = plan.actions.iter().any(|action| matches!(action, Action::WriteStatus { .. }));
    if plan.needs_fence && !writes {
        plan.actions.push(Action::TouchSet { rv: s.set.rv });
    }
}

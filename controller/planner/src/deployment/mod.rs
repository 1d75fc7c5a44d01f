//! The CafeDeployment planner: revisions, units, groups, gates and the budget, as InPlaceSet specs.
//!
//! What is being deleted is let go ([`departure`]), what fights with something older is refused ([`overlap`]), what nobody owns is adopted
//! ([`adoption`]). Then [`plan`] reads as the story of a release: which revision the template is ([`target`]) and
//! whether people want another one ([`orders`]), how many pods each unit has
//! ([`allocation`]), which groups there are ([`groups`]), how a release starts ([`start`]), which group is in hand ([`release`]) and whether its gate
//! may open ([`gate`]) or how it stops ([`stop`]), which orders have to wait ([`waits`]), which pods wait for their group to be created
//! ([`scaleout`]), what each InPlaceSet is to do ([`children`], [`grants`]), which unit gives places to others because its pods find no node
//! there ([`reschedule`], [`ceiling`], [`unit_health`]), what the status says ([`status`]), and what stays on record of
//! it all ([`chronicle`]).

pub mod action;
pub mod adoption;
pub mod allocation;
pub mod ceiling;
pub mod children;
pub mod chronicle;
pub mod conditions;
pub mod departure;
pub mod gate;
pub mod grants;
pub mod groups;
pub mod history;
pub mod message;
pub mod orders;
pub mod overlap;
pub mod rebuild;
pub mod release;
pub mod reschedule;
pub mod scaleout;
pub mod snapshot;
pub mod start;
pub mod status;
pub mod step;
pub mod stop;
pub mod target;
pub mod unit_health;
pub mod waits;

pub use crate::event::Event;
pub use action::{Action, Plan};
pub use chronicle::Chronicle;
pub use snapshot::{Authors, Deployment, DeploymentSpec, Snapshot, UnitNodes, UnitView};

/// Decides everything that can be decided about one CafeDeployment now.
#[must_use]
pub fn plan(s: &Snapshot<'_>) -> Plan {
    let mut plan = Plan::default();
    if s.deployment.deleting {
        departure::plan(s, &mut plan);
        return plan;
    }
    if overlap::refuse(s, &mut plan) || adoption::plan(s, &mut plan) {
        return plan;
    }
    let is_on_record = chronicle::keep(s, &mut plan);
    let allocation = allocation::allocate(s);
    let Some(template) = target::find(s, &mut plan) else {
        return plan;
    };
    waits::tell_idle_retry(s, template, &mut plan);
    let goal = orders::goal(s, template, &mut plan);
    let Some(step) = release::advance(s, goal, is_on_record, &allocation, &mut plan) else {
        return plan;
    };
    // A decision is latched in the status before a pod is touched: the InPlaceSets follow what is written, not what
    // is about to be.
    if step.is_latched(s) {
        let sizes = step.sizes(&allocation);
        children::plan(s, &step, &sizes, &mut plan);
        reschedule::plan(s, &sizes, &mut plan);
    }
    // A restart that lies ahead needs no write before its moment.
    if let Some(at) = s.deployment.spec.restart_at.filter(|at| *at > s.now.wall) {
        plan.wake.at_wall(s.now, at);
    }
    status::write(s, &step, &allocation, &mut plan);
    history::prune(s, &step, &mut plan);
    if step.is_complete() {
        chronicle::prune(s, &mut plan);
    }
    plan
}

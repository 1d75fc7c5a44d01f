//! The budget of the CafeDeployment, handed out over its InPlaceSets: the sum never exceeds `maxUnavailable`, not even
//! while it moves (shrink, wait until acknowledged, then grow). Before one grows, every other is fenced: a write of a former
//! process, still on its way, would land on top.

use cafe_crds::intstr::IntOrPercent;

use crate::apportion::{Level, pour};
use crate::deployment::{Snapshot, UnitView, allocation::Allocation, snapshot::unit_of, step::Step};
use crate::set::Set;

/// A unit as the dealer sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hand {
    /// The grant it has now; none if it does not exist yet.
    pub current: Option<i32>,
    /// Pods out of service or reserved.
    pub out: i32,
    /// Reservations in its journal.
    pub in_flight: i32,
    /// Pods it has yet to move and has not reserved.
    pub demand: i32,
    /// It is being deleted: nothing is dealt to it.
    pub goes: bool,
    /// It has seen and acknowledged its grant.
    pub acknowledged: bool,
}

/// What the dealer decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deal {
    /// The grant of each unit of the allocation, as it may be written now.
    pub grants: Vec<i32>,
    /// One of them is to grow, and waits only for InPlaceSets that are not fenced.
    pub needs_fence: bool,
}

/// Deals the budget.
#[must_use]
pub fn deal(s: &Snapshot<'_>, step: &Step<'_>, allocation: &Allocation) -> Deal {
    let hands: Vec<Hand> =
        allocation.units.iter().map(|(unit, replicas)| hand(s, step, unit, *replicas)).collect();
    // Units on their way out are dealt nothing more, but what they have counts until it is taken back, and what they have
    // reserved until it is given back. Both are of one version: what is reserved after that knows of a grant that is taken back.
    let leaves = |u: &&UnitView<'_>| u.set.deleting || allocation.of(unit_of(u.set)).is_none();
    let leaving = s.units.iter().filter(leaves);
    let held: i32 = leaving.map(|u| grant_of(u.set).max(reserved(u))).sum();
    // Pods that have not been let in yet are no reason to take more of the others out.
    let budget = (s.budget_of(allocation.total()) - held).max(0);
    let wanted = wanted(budget, &hands);
    let grown = within(budget, &wanted, &hands);
    let shrunk = shrink(&wanted, &hands);
    let needs_fence = grown != shrunk && s.units.iter().any(|u| !u.fenced);
    Deal { grants: if needs_fence { shrunk } else { grown }, needs_fence }
}

/// What a set is granted, as its spec says.
pub(super) fn grant_of(set: &Set) -> i32 {
    match set.spec.update_strategy.max_unavailable {
        IntOrPercent::Int(n) => n,
        IntOrPercent::Percent(_) => 0,
    }
}

fn reserved(view: &UnitView<'_>) -> i32 {
    i32::try_from(view.set.journal.len()).unwrap_or(i32::MAX)
}

fn hand(s: &Snapshot<'_>, step: &Step<'_>, unit: &str, replicas: i32) -> Hand {
    let Some(view) = s.unit(unit) else {
        // Its creation may be on its way, with a grant that nobody else may have until it is seen.
        return Hand { acknowledged: !s.busy, ..Hand::default() };
    };
    let c = view.census;
    if view.set.deleting {
        // What it was granted counts until it is taken back, but not as a share of what is dealt: it takes nothing more out.
        return Hand { current: Some(0), out: c.broken, goes: true, acknowledged: true, ..Hand::default() };
    }
    // By the revision that the release goes to, and not by the one that the unit has been told: what it takes out as soon as
    // it hears of the release is demand already.
    let at_target = c.at(step.target.hash);
    let to_move = if step.is_complete() {
        // A pod that was on its way out as the release ended, and is wanted again since, has missed it.
        let missed = (c.replicas - at_target.replicas).min(replicas - at_target.replicas);
        to_restart(s, view).max(missed)
    } else {
        step.quota(s, unit, replicas) - at_target.available
    };
    Hand {
        current: Some(grant_of(view.set)),
        out: c.broken.saturating_add(c.in_flight),
        in_flight: c.in_flight,
        demand: to_move.saturating_sub(c.in_flight).max(0),
        goes: false,
        acknowledged: !view.busy && view.set.status.observed_generation == Some(view.set.generation),
    }
}

/// Pods to be replaced for `restartAt`; all of them, as long as the unit has not been told of it.
fn to_restart(s: &Snapshot<'_>, view: &UnitView<'_>) -> i32 {
    let c = view.census;
    match s.deployment.spec.restart_at.filter(|at| *at <= s.now.wall) {
        Some(at) if view.set.spec.restart_at != Some(at) && c.oldest.is_some_and(|oldest| oldest < at) => {
            c.replicas
        }
        _ => c.to_restart,
    }
}

/// What each unit should have: today's grants as long as they serve, else a new deal.
fn wanted(budget: i32, hands: &[Hand]) -> Vec<i32> {
    if hands.iter().map(|h| h.in_flight).sum::<i32>() > budget {
        // The budget was cut below what is out: a pod that gets back into service must not let the next one go.
        return vec![0; hands.len()];
    }
    if serves(budget, hands) {
        return hands.iter().map(|h| h.current.unwrap_or(0)).collect();
    }
    let mut left = budget;
    // What is out already is spent, whoever took it out.
    let spent: Vec<i32> = hands.iter().map(|h| take(&mut left, h.out)).collect();
    let asked: Vec<Level> = hands.iter().map(|h| Level { least: 0, most: h.demand }).collect();
    let given = pour(left, &asked);
    left -= given.iter().sum::<i32>();
    let grants = spent.iter().zip(given).map(|(spent, given)| spent + given);
    // What nobody asks for now is dealt evenly, so that the next group seldom needs a new deal.
    let most = |least, hand: &Hand| if hand.goes { least } else { i32::MAX };
    let open = grants.zip(hands).map(|(least, hand)| Level { least, most: most(least, hand) });
    pour(left, &open.collect::<Vec<_>>())
}

fn take(left: &mut i32, most: i32) -> i32 {
    let taken = most.clamp(0, (*left).max(0));
    *left -= taken;
    taken
}

/// Whether today's grants may stay: all dealt, within the budget, and nobody starves who could be helped.
fn serves(budget: i32, hands: &[Hand]) -> bool {
    if hands.iter().any(|h| h.current.is_none()) {
        return false;
    }
    let current = |h: &Hand| h.current.unwrap_or(0);
    let sum: i32 = hands.iter().map(current).sum();
    if sum > budget {
        return false;
    }
    let effective: i32 = hands.iter().map(|h| current(h).max(h.out)).sum();
    let can_take = |h: &Hand| h.demand > 0 && current(h) > h.out;
    if effective > budget {
        // Somewhere more is out than granted: nobody may take more.
        return !hands.iter().any(can_take);
    }
    let starves = |h: &Hand| h.demand > 0 && current(h) <= h.out;
    // Also beside a pod that it has out: one that is stuck there must not keep the rest of the grant from the others.
    let idle = |h: &Hand| h.demand == 0 && current(h) > h.out;
    !hands.iter().any(starves) || (effective == budget && !hands.iter().any(idle))
}

fn shrink(wanted: &[i32], hands: &[Hand]) -> Vec<i32> {
    hands.iter().zip(wanted).map(|(h, w)| h.current.map_or(0, |c| c.min(*w))).collect()
}

/// Moves towards `wanted` without the sum ever exceeding the budget: shrink first; grow only when every unit has
/// acknowledged what it has.
fn within(budget: i32, wanted: &[i32], hands: &[Hand]) -> Vec<i32> {
    let shrunk = shrink(wanted, hands);
    let shrinking = hands.iter().zip(&shrunk).any(|(h, g)| h.current.is_some_and(|c| c > *g));
    let settled = !shrinking && hands.iter().all(|h| h.acknowledged);
    if !settled {
        return shrunk;
    }
    let used: i32 = hands.iter().zip(&shrunk).map(|(h, g)| (*g).max(h.in_flight)).sum();
    let mut room = (budget - used).max(0);
    shrunk.iter().zip(wanted).map(|(g, w)| g + take(&mut room, w - g)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(current: i32, out: i32, demand: i32) -> Hand {
        Hand { current: Some(current), out, in_flight: out, demand, acknowledged: true, goes: false }
    }

    fn dealt(budget: i32, hands: &[Hand]) -> Vec<i32> {
        within(budget, &wanted(budget, hands), hands)
    }

    #[test]
    fn two_new_units_share_the_budget() {
        let new = Hand { acknowledged: true, ..Hand::default() };
        assert_eq!(dealt(2, &[new, new]), [1, 1]);
        assert_eq!(dealt(1, &[new, new]), [1, 0]);
    }

    #[test]
    fn grants_that_serve_stay_where_they_are() {
        assert_eq!(dealt(2, &[unit(1, 1, 1), unit(1, 1, 1)]), [1, 1]);
        assert_eq!(dealt(5, &[unit(3, 0, 0), unit(2, 0, 0)]), [3, 2]);
    }

    #[test]
    fn an_idle_unit_gives_its_grant_up_first_and_only_then_the_other_grows() {
        let before = [unit(1, 0, 0), unit(0, 0, 2)];
        assert_eq!(dealt(1, &before), [0, 0]);
        let unacknowledged = [Hand { acknowledged: false, ..unit(0, 0, 0) }, unit(0, 0, 2)];
        assert_eq!(dealt(1, &unacknowledged), [0, 0]);
        assert_eq!(dealt(1, &[unit(0, 0, 0), unit(0, 0, 2)]), [0, 1]);
    }

    #[test]
    fn a_unit_whose_pod_is_stuck_gives_up_what_it_does_not_need() {
        assert_eq!(dealt(2, &[unit(2, 1, 0), unit(0, 0, 1)]), [1, 0]);
        assert_eq!(dealt(2, &[unit(1, 1, 0), unit(0, 0, 1)]), [1, 1]);
    }

    #[test]
    fn a_budget_cut_below_what_is_out_lets_nobody_take_more_until_it_fits() {
        assert_eq!(dealt(1, &[unit(2, 2, 3), unit(2, 2, 3)]), [0, 0]);
        assert_eq!(dealt(1, &[unit(0, 0, 3), unit(0, 0, 3)]), [1, 0]);
    }

    #[test]
    fn a_unit_that_lost_pods_by_itself_stops_the_others() {
        let broken = Hand { in_flight: 0, ..unit(1, 3, 0) };
        let grants = dealt(2, &[unit(1, 0, 2), broken]);
        assert_eq!(grants.first(), Some(&0), "the healthy unit takes nothing more: {grants:?}");
    }
}

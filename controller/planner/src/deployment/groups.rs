//! Planning groups: pods that are moved together, spread over the units in proportion to what each has left.

use std::collections::BTreeMap;

use cafe_crds::deployment::{GroupKind, GroupState, GroupStatus, Strategy, UnitQuota, UpgradeType};

use crate::apportion::{kept_share, largest_remainder};

/// Groups not started yet that the status shows.
pub const SHOWN_AHEAD: usize = 20;
/// Groups done that the status keeps showing.
pub const SHOWN_DONE: usize = 10;

/// Pods each unit has left to move or to create until it has as many at the target as are `wanted` of it.
#[must_use]
pub fn left(quota: &[UnitQuota], wanted: &[i32]) -> Vec<i32> {
    quota.iter().zip(wanted).map(|(q, wanted)| (wanted - q.updated).max(0)).collect()
}

/// The kind of the group with this number.
#[must_use]
pub fn kind(strategy: &Strategy, number: i32) -> GroupKind {
    if number <= 1 && strategy.upgrade_type == UpgradeType::Beta { GroupKind::Beta } else { GroupKind::Batch }
}

/// Pods of each unit in group `number`, when `left` are left: one per unit in the beta group, else `batchSize` over all.
#[must_use]
pub fn members(strategy: &Strategy, replicas: i32, number: i32, left: &[i32]) -> Vec<i32> {
    match kind(strategy, number) {
        GroupKind::Beta => left.iter().map(|l| (*l).min(1)).collect(),
        GroupKind::Batch => largest_remainder(batch(strategy, replicas, left), left),
    }
}

fn batch(strategy: &Strategy, replicas: i32, left: &[i32]) -> i32 {
    let all: i32 = left.iter().sum();
    strategy.batch_size.map_or(all, |size| size.rounded_up(replicas).max(1)).min(all)
}

/// Lets group `number` in: adds its members to the quota and returns them by unit.
pub fn open(
    strategy: &Strategy,
    replicas: i32,
    number: i32,
    quota: &mut [UnitQuota],
    wanted: &[i32],
) -> BTreeMap<String, i32> {
    let members = members(strategy, replicas, number, &left(quota, wanted));
    for (q, n) in quota.iter_mut().zip(&members) {
        q.updated += n;
    }
    by_unit(quota, &members)
}

fn by_unit(quota: &[UnitQuota], members: &[i32]) -> BTreeMap<String, i32> {
    quota.iter().zip(members).filter(|(_, n)| **n > 0).map(|(q, n)| (q.name.clone(), *n)).collect()
}

/// The groups after number `current`: the next ones as the status shows them, and the number of the last.
#[must_use]
pub fn ahead(
    strategy: &Strategy,
    replicas: i32,
    current: i32,
    quota: &[UnitQuota],
    wanted: &[i32],
) -> (Vec<GroupStatus>, i32) {
    let mut left = left(quota, wanted);
    let mut shown = Vec::new();
    let mut number = current;
    while left.iter().sum::<i32>() > 0 && shown.len() < SHOWN_AHEAD {
        number += 1;
        let members = members(strategy, replicas, number, &left);
        left.iter_mut().zip(&members).for_each(|(l, n)| *l -= n);
        let units = by_unit(quota, &members);
        shown.push(GroupStatus {
            number,
            kind: kind(strategy, number),
            units,
            state: GroupState::Pending,
            ..GroupStatus::default()
        });
    }
    let rest: i32 = left.iter().sum();
    let size = batch(strategy, replicas, &left).max(1);
    (shown, number.saturating_add(rest.div_euclid(size)).saturating_add(i32::from(rest % size > 0)))
}

/// Follows a change of the units' sizes in the middle of a release: from now on they have `sizes`, and are to have what is
/// `wanted` in the end. New pods are born at the base, so a unit that grows keeps its quota; a unit that shrinks keeps the share of
/// its updated pods, so that shrinking never passes a gate.
#[must_use]
pub fn rescale(quota: &[UnitQuota], sizes: &[(String, i32)], wanted: &[(String, i32)]) -> Vec<UnitQuota> {
    let rescaled = |((name, replicas), (_, most)): (&(String, i32), &(String, i32))| {
        let old = quota.iter().find(|q| q.name == *name);
        let updated = old.map_or(0, |q| kept_share(q.updated, q.replicas, *replicas)).min(*most);
        UnitQuota { name: name.clone(), replicas: *replicas, updated }
    };
    sizes.iter().zip(wanted).map(rescaled).collect()
}

#[cfg(test)]
mod tests {
    use cafe_crds::intstr::IntOrPercent;

    use super::*;

    fn quota(sizes: &[i32]) -> Vec<UnitQuota> {
        let unit = |(i, n): (usize, &i32)| UnitQuota { name: format!("Cell{i}"), replicas: *n, updated: 0 };
        sizes.iter().enumerate().map(unit).collect()
    }

    fn sizes(groups: &[GroupStatus]) -> Vec<Vec<i32>> {
        groups.iter().map(|g| g.units.values().copied().collect()).collect()
    }

    #[test]
    fn ten_pods_over_two_cells_go_one_and_one_then_two_and_two_twice() {
        let strategy = Strategy { batch_size: Some(IntOrPercent::Int(4)), ..Strategy::default() };
        let (groups, total) = ahead(&strategy, 10, 0, &quota(&[5, 5]), &[5, 5]);
        assert_eq!(sizes(&groups), [[1, 1], [2, 2], [2, 2]]);
        assert_eq!(total, 3);
    }

    #[test]
    fn without_a_batch_size_the_rest_is_one_group() {
        let (groups, total) = ahead(&Strategy::default(), 7, 0, &quota(&[4, 3]), &[4, 3]);
        assert_eq!(sizes(&groups), [[1, 1], [3, 2]]);
        assert_eq!(total, 2);
    }

    #[test]
    fn pods_that_do_not_exist_yet_come_after_those_of_their_unit_that_are_to_move() {
        let strategy = Strategy { batch_size: Some(IntOrPercent::Int(4)), ..Strategy::default() };
        let (groups, total) = ahead(&strategy, 14, 0, &quota(&[5, 5]), &[7, 7]);
        assert_eq!(sizes(&groups), [[1, 1], [2, 2], [2, 2], [2, 2]]);
        assert_eq!(total, 4);
    }

    #[test]
    fn long_plans_are_counted_but_not_spelled_out() {
        let strategy = Strategy { batch_size: Some(IntOrPercent::Int(1)), ..Strategy::default() };
        let (groups, total) = ahead(&strategy, 1000, 0, &quota(&[500, 500]), &[500, 500]);
        assert_eq!((groups.len(), total), (SHOWN_AHEAD, 999));
    }

    #[test]
    fn shrinking_keeps_the_share_of_updated_pods() {
        let mut before = quota(&[10]);
        before[0].updated = 4;
        let after = |n| {
            let size = [("Cell0".into(), n)];
            rescale(&before, &size, &size)[0].updated
        };
        assert_eq!((after(5), after(2), after(1), after(0), after(20)), (2, 1, 1, 0, 4));
    }
}

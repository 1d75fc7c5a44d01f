//! How many pods each unit has: pinned or even, up to its ceiling, the sum exact, the fewest moves.

use std::collections::BTreeMap;

use cafe_crds::intstr::IntOrPercent;

use crate::{
    apportion::{evenly, largest_remainder_near},
    deployment::{DeploymentSpec, Snapshot, UnitView, ceiling, snapshot::unit_of, unit_health},
};

/// The replicas of each unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Allocation {
    /// Unit and its replicas, in order of the topology.
    pub units: Vec<(String, i32)>,
    /// The pins asked for more or fewer pods than `spec.replicas`, which wins.
    pub pins_fit: bool,
}

impl Allocation {
    /// The replicas of a unit, if it is one of the topology's.
    #[must_use]
    pub fn of(&self, unit: &str) -> Option<i32> {
        self.units.iter().find(|(name, _)| name == unit).map(|(_, n)| *n)
    }

    /// The replicas of all units together.
    #[must_use]
    pub fn total(&self) -> i32 {
        self.units.iter().map(|(_, n)| n).sum()
    }

    /// Whether every unit has as many pods as it is to have, and units on their way out have none.
    #[must_use]
    pub fn is_met(&self, s: &Snapshot<'_>) -> bool {
        let has = |unit: &str| s.unit(unit).map_or(0, |u| u.census.replicas);
        let is_empty = |u: &UnitView<'_>| self.of(unit_of(u.set)).is_some() || u.census.replicas == 0;
        self.units.iter().all(|(unit, n)| has(unit) == *n) && s.units.iter().all(is_empty)
    }
}

/// Allocates `spec.replicas` over the units of the topology.
#[must_use]
pub fn allocate(s: &Snapshot<'_>) -> Allocation {
    Survey::of(s).allocate()
}

/// What the allocator knows of the units, looked up once for as many allocations as are made of it.
#[derive(Clone, Debug)]
pub struct Survey<'a> {
    spec: &'a DeploymentSpec,
    names: Vec<&'a str>,
    limits: Vec<Limit>,
}

impl<'a> Survey<'a> {
    /// Looks every unit up.
    #[must_use]
    pub fn of(s: &Snapshot<'a>) -> Self {
        let names = s.unit_names();
        let limit = |unit: &&str| Limit {
            today: s.unit(unit).map_or(0, |u| u.set.spec.replicas),
            ceiling: ceiling::of(s, unit),
            last: unit_health::is_short(s, unit),
        };
        let limits = names.iter().map(limit).collect();
        Self { spec: &s.deployment.spec, names, limits }
    }

    /// Allocates `spec.replicas` over the units.
    #[must_use]
    pub fn allocate(&self) -> Allocation {
        self.within(&self.limits)
    }

    /// Allocates as if a unit had this ceiling.
    #[must_use]
    pub fn allocate_if(&self, unit: &str, most: i32) -> Allocation {
        let mut limits = self.limits.clone();
        let of_unit = self.names.iter().zip(&mut limits).filter(|(name, _)| **name == unit);
        of_unit.for_each(|(_, limit)| limit.ceiling = Some(most));
        self.within(&limits)
    }

    fn within(&self, limits: &[Limit]) -> Allocation {
        let pins = &self.spec.topology.unit_replicas;
        let (replicas, pins_fit) = split_within(self.spec.replicas, &self.names, pins, limits);
        let names = self.names.iter().map(|name| (*name).to_owned());
        Allocation { units: names.zip(replicas).collect(), pins_fit }
    }
}

/// What the allocator knows of a unit besides its pin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// The pods that it has been told to have.
    pub today: i32,
    /// The most that it is given, unless there is no room elsewhere.
    pub ceiling: Option<i32>,
    /// It is short of nodes: what does not divide evenly goes to others first.
    pub last: bool,
}

/// The split itself, without ceilings.
#[must_use]
pub fn split(
    total: i32,
    names: &[&str],
    pins: &BTreeMap<String, IntOrPercent>,
    today: &[i32],
) -> (Vec<i32>, bool) {
    let limits: Vec<Limit> = today.iter().map(|today| Limit { today: *today, ..Limit::default() }).collect();
    split_within(total, names, pins, &limits)
}

/// The split itself: pins first, the rest evenly over the other units up to their ceilings, each as near as can be to what it has
/// today. Pinned units have no ceiling.
#[must_use]
pub fn split_within(
    total: i32,
    names: &[&str],
    pins: &BTreeMap<String, IntOrPercent>,
    limits: &[Limit],
) -> (Vec<i32>, bool) {
    let today: Vec<i32> = limits.iter().map(|limit| limit.today).collect();
    let pinned = pinned(total, names, pins, &today);
    let sum: i32 = pinned.iter().flatten().sum();
    let free: Vec<usize> = (0..names.len()).filter(|i| pinned.get(*i).is_some_and(Option::is_none)).collect();
    if sum > total || (free.is_empty() && sum < total) {
        return (largest_remainder_near(total, &weights(total, names, pins), &today), false);
    }
    let mut parts: Vec<i32> = pinned.iter().map(|p| p.unwrap_or(0)).collect();
    let limit = |i: &usize| limits.get(*i).copied().unwrap_or_default();
    let mut open = free;
    open.sort_by_key(|i| limit(i).last);
    let of_open: Vec<Limit> = open.iter().map(limit).collect();
    for (i, even) in open.iter().zip(below(total - sum, &of_open)) {
        if let Some(part) = parts.get_mut(*i) {
            *part = even;
        }
    }
    (parts, true)
}

/// What pins that do not fit are worth: too many shrink in proportion, too few are filled up evenly. In fractions of a pod, so
/// that it is rounded only once.
fn weights(total: i32, names: &[&str], pins: &BTreeMap<String, IntOrPercent>) -> Vec<i32> {
    let hundredths = |name: &&str| match pins.get(*name) {
        Some(IntOrPercent::Int(n)) => n.saturating_mul(100),
        Some(IntOrPercent::Percent(p)) => p.saturating_mul(total),
        None => 0,
    };
    let asked: Vec<i32> = names.iter().map(hundredths).collect();
    let count = i32::try_from(names.len()).unwrap_or(i32::MAX);
    let lacking = total.saturating_mul(100).saturating_sub(asked.iter().sum());
    if lacking <= 0 || names.iter().any(|name| !pins.contains_key(*name)) {
        return asked;
    }
    asked.iter().map(|asked| asked.saturating_mul(count).saturating_add(lacking)).collect()
}

fn even(total: i32, limits: &[Limit]) -> Vec<i32> {
    evenly(total, &limits.iter().map(|limit| limit.today).collect::<Vec<_>>())
}

/// Fills units evenly up to their ceilings; what fits below none of them goes on top, evenly.
fn below(total: i32, limits: &[Limit]) -> Vec<i32> {
    let mut parts = vec![None; limits.len()];
    let mut left = total;
    loop {
        let open: Vec<usize> = (0..limits.len()).filter(|i| parts.get(*i) == Some(&None)).collect();
        let of_open: Vec<Limit> = open.iter().filter_map(|i| limits.get(*i).copied()).collect();
        let small = left / i32::try_from(open.len().max(1)).unwrap_or(i32::MAX);
        // By the smaller of the two shares, which today's pods have no part in: a split that is half carried out comes out the same.
        let is_full = |limit: &Limit| limit.ceiling.is_some_and(|ceiling| ceiling <= small);
        if !of_open.iter().any(is_full) {
            for (i, part) in open.iter().zip(even(left, &of_open)) {
                parts.get_mut(*i).into_iter().for_each(|p| *p = Some(part));
            }
            break;
        }
        for (i, limit) in open.iter().zip(&of_open).filter(|(_, limit)| is_full(limit)) {
            let part = limit.ceiling.unwrap_or(0).max(0);
            left -= part;
            parts.get_mut(*i).into_iter().for_each(|p| *p = Some(part));
        }
    }
    let parts: Vec<i32> = parts.into_iter().map(Option::unwrap_or_default).collect();
    let above = |(limit, part): (&Limit, &i32)| Limit { today: (limit.today - part).max(0), ..*limit };
    let over = total - parts.iter().sum::<i32>();
    let rest: Vec<Limit> = limits.iter().zip(&parts).map(above).collect();
    parts.iter().zip(even(over, &rest)).map(|(part, on_top)| part + on_top).collect()
}

/// The pods each pinned unit asks for; percentages are apportioned together, so that 50% and 50% of 7 make 7.
fn pinned(
    total: i32,
    names: &[&str],
    pins: &BTreeMap<String, IntOrPercent>,
    today: &[i32],
) -> Vec<Option<i32>> {
    let percent = |name: &&str| match pins.get(*name) {
        Some(IntOrPercent::Percent(p)) => *p,
        _ => 0,
    };
    let percents: Vec<i32> = names.iter().map(percent).collect();
    let share = IntOrPercent::Percent(percents.iter().sum()).rounded_down(total);
    let shares = largest_remainder_near(share, &percents, today);
    let pin = |(name, share): (&&str, i32)| {
        pins.get(*name).map(|pin| match pin {
            IntOrPercent::Int(n) => *n,
            IntOrPercent::Percent(_) => share,
        })
    };
    names.iter().zip(shares).map(pin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pins(list: &[(&str, IntOrPercent)]) -> BTreeMap<String, IntOrPercent> {
        list.iter().map(|(n, p)| ((*n).to_owned(), *p)).collect()
    }

    #[test]
    fn pins_are_exact_and_the_rest_is_even() {
        let p = pins(&[("A", IntOrPercent::Int(4))]);
        assert_eq!(split(11, &["A", "B", "C"], &p, &[0, 0, 0]), (vec![4, 4, 3], true));
    }

    #[test]
    fn percentages_that_make_a_whole_leave_no_pod_out() {
        let p = pins(&[("A", IntOrPercent::Percent(50)), ("B", IntOrPercent::Percent(50))]);
        assert_eq!(split(7, &["A", "B"], &p, &[0, 0]), (vec![4, 3], true));
    }

    #[test]
    fn replicas_win_over_pins_that_do_not_fit() {
        let p = pins(&[("A", IntOrPercent::Int(8)), ("B", IntOrPercent::Int(4))]);
        assert_eq!(split(6, &["A", "B"], &p, &[0, 0]), (vec![4, 2], false));
        assert_eq!(split(15, &["A", "B"], &p, &[0, 0]), (vec![10, 5], false));
    }

    #[test]
    fn a_pod_too_few_stays_missing_where_it_is_missing_and_one_too_many_where_it_is() {
        let p = pins(&[("A", IntOrPercent::Int(4)), ("B", IntOrPercent::Int(4))]);
        assert_eq!(split(7, &["A", "B"], &p, &[3, 4]), (vec![3, 4], false));
        assert_eq!(split(9, &["A", "B"], &p, &[4, 5]), (vec![4, 5], false));
        let p = pins(&[("A", IntOrPercent::Percent(50)), ("B", IntOrPercent::Percent(50))]);
        assert_eq!(split(7, &["A", "B"], &p, &[3, 4]), (vec![3, 4], true));
    }
}

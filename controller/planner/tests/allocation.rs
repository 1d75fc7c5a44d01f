//! How pods are split over units, against every other way to split them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use cafe_crds::intstr::IntOrPercent::{self, Int, Percent};
use cafe_planner::deployment::allocation::split;
use proptest::{prelude::*, sample::Index, test_runner::FileFailurePersistence};

/// What is asked of one unit, and what it has.
type Unit = (Option<IntOrPercent>, i32);

fn config() -> ProptestConfig {
    const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proptest-regressions/allocation.txt");
    ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(SEEDS))),
        ..ProptestConfig::default()
    }
}

fn pin(most: i32) -> impl Strategy<Value = Option<IntOrPercent>> {
    let percent = prop_oneof![0..=100i32, prop::sample::select(vec![25, 30, 33, 50])];
    prop_oneof![
        2 => Just(None),
        2 => (0..=most).prop_map(|n| Some(Int(n))),
        2 => percent.prop_map(|p| Some(Percent(p))),
    ]
}

/// Percentages that alone exceed the whole are refused at admission: those that would are taken for free units.
fn units(count: usize, most: i32) -> impl Strategy<Value = Vec<Unit>> {
    prop::collection::vec((pin(most), 0..=most), 1..=count).prop_map(|mut units| {
        let mut left = 100;
        for (pin, _) in &mut units {
            match pin {
                Some(Percent(p)) if *p > left => *pin = None,
                Some(Percent(p)) => left -= *p,
                _ => {}
            }
        }
        units
    })
}

/// Splits over units that are called by where they stand in `order`, and returns the parts in the order of `units`.
fn split_in(order: &[usize], total: i32, units: &[Unit], today: &[i32]) -> (Vec<i32>, bool) {
    let names: Vec<String> = order.iter().map(|i| format!("Cell{i}")).collect();
    let refs: Vec<&str> = names.iter().map(String::as_str).collect();
    let pins: BTreeMap<String, IntOrPercent> =
        order.iter().filter_map(|i| units[*i].0.map(|pin| (format!("Cell{i}"), pin))).collect();
    let held: Vec<i32> = order.iter().map(|i| today[*i]).collect();
    let (parts, fits) = split(total, &refs, &pins, &held);
    let mut back = vec![0; units.len()];
    order.iter().zip(parts).for_each(|(i, part)| back[*i] = part);
    (back, fits)
}

fn split_of(total: i32, units: &[Unit]) -> (Vec<i32>, bool) {
    let order: Vec<usize> = (0..units.len()).collect();
    split_in(&order, total, units, &held(units))
}

fn held(units: &[Unit]) -> Vec<i32> {
    units.iter().map(|(_, today)| *today).collect()
}

fn moves(held: &[i32], parts: &[i32]) -> i32 {
    held.iter().zip(parts).map(|(held, part)| (held - part).max(0)).sum()
}

/// What a unit is to have, in hundredths of a pod times the number of units, when pins do not fit.
fn quotas(total: i32, units: &[Unit]) -> Vec<i64> {
    let exact = |(pin, _): &Unit| match pin {
        Some(Int(n)) => i64::from(*n) * 100,
        Some(Percent(p)) => i64::from(*p) * i64::from(total),
        None => 0,
    };
    units.iter().map(exact).collect()
}

/// Whether `parts` is some way to round the quotas `w / sum * total` by the largest remainder.
fn is_largest_remainder(total: i32, weights: &[i64], parts: &[i32]) -> bool {
    let sum: i64 = weights.iter().sum();
    if sum == 0 {
        return parts.iter().all(|p| *p == 0);
    }
    let floor = |i: usize| i64::from(total) * weights[i] / sum;
    let rest = |i: usize| i64::from(total) * weights[i] % sum;
    let all = 0..weights.len();
    let up = |i: usize| i64::from(parts[i]) == floor(i) + 1;
    all.clone().all(|i| up(i) || i64::from(parts[i]) == floor(i))
        && all.clone().filter(|i| up(*i)).all(|i| all.clone().filter(|j| !up(*j)).all(|j| rest(i) >= rest(j)))
}

/// Whether the contract allows `parts`; and whether the pins fit.
fn is_allowed(total: i32, units: &[Unit], parts: &[i32]) -> (bool, bool) {
    let of = |which: fn(&Option<IntOrPercent>) -> bool| -> Vec<usize> {
        (0..units.len()).filter(|i| which(&units[*i].0)).collect()
    };
    let (free, percents) = (of(Option::is_none), of(|p| matches!(p, Some(Percent(_)))));
    let counts = of(|p| matches!(p, Some(Int(_))));
    let weights = quotas(total, units);
    let share = percents.iter().map(|i| weights[*i]).sum::<i64>() / 100;
    let pinned = counts.iter().map(|i| weights[*i] / 100).sum::<i64>() + share;
    let fits = pinned == i64::from(total) || (pinned < i64::from(total) && !free.is_empty());
    if !fits {
        let lacking = i64::from(total) * 100 - weights.iter().sum::<i64>();
        let count = i64::try_from(units.len()).unwrap();
        let filled: Vec<i64> = weights.iter().map(|w| w * count + lacking).collect();
        let weights = if pinned > i64::from(total) { weights } else { filled };
        return (is_largest_remainder(total, &weights, parts), false);
    }
    let part = |list: &[usize]| -> Vec<i32> { list.iter().map(|i| parts[*i]).collect() };
    let exact = counts.iter().all(|i| units[*i].0 == Some(Int(parts[*i])));
    let shares: Vec<i64> = percents.iter().map(|i| weights[*i]).collect();
    let together = i64::from(part(&percents).iter().sum::<i32>()) == share
        && is_largest_remainder(i32::try_from(share).unwrap(), &shares, &part(&percents));
    let open = part(&free);
    let even = open.iter().max().zip(open.iter().min()).is_none_or(|(most, least)| most - least <= 1);
    (exact && together && even && parts.iter().sum::<i32>() == total, true)
}

/// Every way to split `total` over `count` units.
fn every_split(total: i32, count: usize) -> Vec<Vec<i32>> {
    if count == 1 {
        return vec![vec![total]];
    }
    let with = |first: i32| {
        every_split(total - first, count - 1).into_iter().map(move |rest| [vec![first], rest].concat())
    };
    (0..=total).flat_map(with).collect()
}

fn shuffled(count: usize, picks: &[Index]) -> Vec<usize> {
    let mut left: Vec<usize> = (0..count).collect();
    (0..count).map(|i| left.remove(picks[i].index(left.len()))).collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn of_all_allowed_splits_it_is_one_that_moves_the_fewest_pods(total in 0..=8i32, units in units(4, 8)) {
        let (parts, fits) = split_of(total, &units);
        let (allowed, may_fit) = is_allowed(total, &units, &parts);
        prop_assert!(allowed, "{parts:?}");
        prop_assert_eq!(fits, may_fit);
        prop_assert_eq!(parts.iter().sum::<i32>(), total);
        let held = held(&units);
        let all = every_split(total, units.len());
        let best = all.iter().filter(|parts| is_allowed(total, &units, parts).0).map(|p| moves(&held, p)).min();
        prop_assert_eq!(Some(moves(&held, &parts)), best, "{:?}", parts);
    }

    #[test]
    fn another_order_of_the_units_moves_no_pod(
        total in 0..200i32,
        units in units(8, 60),
        picks in prop::collection::vec(any::<Index>(), 8),
    ) {
        let (parts, _) = split_of(total, &units);
        let order = shuffled(units.len(), &picks);
        prop_assert_eq!(split_in(&order, total, &units, &parts).0, parts);
    }

    #[test]
    fn the_order_of_the_units_decides_ties_and_nothing_else(
        total in 0..200i32,
        units in units(8, 60),
        picks in prop::collection::vec(any::<Index>(), 8),
    ) {
        let (parts, fits) = split_of(total, &units);
        let (other, other_fits) = split_in(&shuffled(units.len(), &picks), total, &units, &held(&units));
        prop_assert_eq!(fits, other_fits);
        prop_assert_eq!(moves(&held(&units), &parts), moves(&held(&units), &other));
        for (part, other) in parts.iter().zip(&other) {
            prop_assert!((part - other).abs() <= 1, "{:?} and {:?}", parts, other);
        }
        // Units that are asked for the same and have the same get the same, whoever of them comes first.
        for (pin, today) in &units {
            let alike = |parts: &[i32]| {
                let mut alike: Vec<i32> = (0..units.len()).filter(|i| units[*i] == (*pin, *today)).map(|i| parts[i]).collect();
                alike.sort_unstable();
                alike
            };
            let (a, b) = (alike(&parts), alike(&other));
            prop_assert!(a.last().unwrap() - a[0] <= 1 && b.last().unwrap() - b[0] <= 1);
        }
    }

    #[test]
    fn a_split_that_is_carried_out_in_any_order_stays_the_same_throughout(
        total in 0..200i32,
        units in units(8, 60),
        done in prop::collection::vec(any::<bool>(), 8),
    ) {
        let (parts, _) = split_of(total, &units);
        let midway: Vec<Unit> = units
            .iter()
            .zip(&parts)
            .zip(done)
            .map(|(((pin, today), part), done)| (*pin, if done { *part } else { *today }))
            .collect();
        prop_assert_eq!(split_of(total, &midway).0, parts);
    }
}

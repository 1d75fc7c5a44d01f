//! Groups and quotas over their whole range.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use cafe_crds::{
    deployment::{Strategy as Release, UnitQuota, UpgradeType},
    intstr::IntOrPercent,
};
use cafe_planner::{
    apportion::{evenly, largest_remainder},
    deployment::{
        allocation::{Limit, split, split_within},
        groups,
    },
};
use proptest::{prelude::*, test_runner::FileFailurePersistence};

fn config() -> ProptestConfig {
    const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proptest-regressions/arithmetic.txt");
    ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(SEEDS))),
        ..ProptestConfig::default()
    }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("Cell{i}")).collect()
}

fn quota(sizes: &[i32]) -> Vec<UnitQuota> {
    let unit = |(name, n): (String, &i32)| UnitQuota { name, replicas: *n, updated: 0 };
    names(sizes.len()).into_iter().zip(sizes).map(unit).collect()
}

fn batch_size() -> impl Strategy<Value = Option<IntOrPercent>> {
    prop::option::of(prop_oneof![
        (1..50i32).prop_map(IntOrPercent::Int),
        (1..=100i32).prop_map(IntOrPercent::Percent)
    ])
}

fn release() -> impl Strategy<Value = Release> {
    (batch_size(), any::<bool>()).prop_map(|(batch_size, beta)| Release {
        batch_size,
        upgrade_type: if beta { UpgradeType::Beta } else { UpgradeType::Batch },
        ..Release::default()
    })
}

/// The members of every group by unit, as they are opened one after the other.
fn play(strategy: &Release, sizes: &[i32]) -> Vec<Vec<i32>> {
    let replicas = sizes.iter().sum();
    let mut quota = quota(sizes);
    let mut played = Vec::new();
    while groups::left(&quota, sizes).iter().sum::<i32>() > 0 {
        let number = i32::try_from(played.len()).unwrap() + 1;
        let units = groups::open(strategy, replicas, number, &mut quota, sizes);
        played.push(quota.iter().map(|q| units.get(&q.name).copied().unwrap_or(0)).collect());
        assert!(played.len() <= 2000, "{played:?}");
    }
    played
}

/// The fewest pods that leave a unit, over every split that keeps the pins and is even elsewhere.
fn fewest_moves(total: i32, free: usize, today: &[i32]) -> i32 {
    let count = i32::try_from(free).unwrap();
    let (low, extra) = (total / count, usize::try_from(total % count).unwrap());
    (0..1u32 << free)
        .filter(|mask| mask.count_ones() as usize == extra)
        .map(|mask| {
            let part = |i: usize| low + i32::from(mask & (1 << i) != 0);
            (0..free).map(|i| (today[i] - part(i)).max(0)).sum()
        })
        .min()
        .unwrap()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_groups_move_every_pod_once_and_equal_units_alike(
        sizes in prop::collection::vec(0..60i32, 1..7),
        equal in prop::option::of(0..60i32),
        strategy in release(),
    ) {
        let sizes: Vec<i32> = sizes.iter().map(|n| equal.unwrap_or(*n)).collect();
        let played = play(&strategy, &sizes);
        let mut done = vec![0; sizes.len()];
        for members in &played {
            done.iter_mut().zip(members).for_each(|(d, m)| *d += m);
            prop_assert!(members.iter().sum::<i32>() > 0);
            for (i, j) in (0..sizes.len()).flat_map(|i| (0..i).map(move |j| (i, j))) {
                if sizes[i] == sizes[j] {
                    prop_assert!((members[i] - members[j]).abs() <= 1, "{played:?}");
                    prop_assert!((done[i] - done[j]).abs() <= 1, "{played:?}");
                }
            }
        }
        prop_assert_eq!(done, sizes);
    }

    #[test]
    fn the_plan_that_is_shown_is_the_one_that_is_played(
        sizes in prop::collection::vec(0..60i32, 1..7),
        strategy in release(),
    ) {
        let played = play(&strategy, &sizes);
        let (shown, total) = groups::ahead(&strategy, sizes.iter().sum(), 0, &quota(&sizes), &sizes);
        prop_assert_eq!(usize::try_from(total).unwrap(), played.len());
        for (group, members) in shown.iter().zip(&played) {
            let names = names(sizes.len());
            let shown: Vec<i32> = names.iter().map(|n| group.units.get(n).copied().unwrap_or(0)).collect();
            prop_assert_eq!(&shown, members);
        }
    }

    #[test]
    fn scaling_never_lets_more_pods_through(
        sizes in prop::collection::vec((0..60i32, 0..60i32, 0..60i32), 1..7),
    ) {
        let from: Vec<UnitQuota> = quota(&sizes.iter().map(|s| s.0).collect::<Vec<_>>())
            .into_iter()
            .zip(&sizes)
            .map(|(q, s)| UnitQuota { updated: s.1.min(q.replicas), ..q })
            .collect();
        let to: Vec<(String, i32)> = names(sizes.len()).into_iter().zip(sizes.iter().map(|s| s.2)).collect();
        for (before, after) in from.iter().zip(groups::rescale(&from, &to, &to)) {
            prop_assert!(after.updated <= before.updated && after.updated <= after.replicas);
            let share = f64::from(before.updated) / f64::from(before.replicas.max(1));
            prop_assert!(f64::from(after.updated) <= (share * f64::from(after.replicas)).max(1.0) + 1e-9);
            prop_assert!(before.updated == 0 || after.replicas == 0 || after.updated > 0);
        }
    }

    #[test]
    fn parts_make_the_whole(total in 0..200i32, weights in prop::collection::vec(0..200i32, 1..7)) {
        let parts = largest_remainder(total, &weights);
        let sum: i32 = weights.iter().sum();
        prop_assert_eq!(parts.iter().sum::<i32>(), if sum == 0 { 0 } else { total });
        for (part, weight) in parts.iter().zip(&weights) {
            let exact = f64::from(total) * f64::from(*weight) / f64::from(sum.max(1));
            prop_assert!((f64::from(*part) - exact).abs() < 1.0);
        }
        let even = evenly(total, &weights);
        prop_assert_eq!(even.iter().sum::<i32>(), total);
        prop_assert!(even.iter().max().unwrap() - even.iter().min().unwrap() <= 1);
    }

    #[test]
    fn pins_are_exact_the_rest_is_even_and_replicas_win(
        total in 0..200i32,
        pins in prop::collection::vec(prop::option::of((0..40i32, any::<bool>())), 1..7),
        today in prop::collection::vec(0..60i32, 7),
    ) {
        let names = names(pins.len());
        let refs: Vec<&str> = names.iter().map(String::as_str).collect();
        // Percentages that exceed the whole are refused at admission.
        let mut left = 100;
        let mut wanted = BTreeMap::new();
        for (name, pin) in names.iter().zip(&pins) {
            match pin {
                Some((n, false)) => drop(wanted.insert(name.clone(), IntOrPercent::Int(*n))),
                Some((n, true)) if *n <= left => {
                    left -= n;
                    wanted.insert(name.clone(), IntOrPercent::Percent(*n));
                }
                _ => {}
            }
        }
        let (parts, fit) = split(total, &refs, &wanted, &today[..pins.len()]);
        prop_assert_eq!(parts.iter().sum::<i32>(), total);
        prop_assert!(parts.iter().all(|p| *p >= 0));
        if !fit {
            return Ok(());
        }
        let free: Vec<usize> = (0..names.len()).filter(|i| !wanted.contains_key(&names[*i])).collect();
        for (name, part) in names.iter().zip(&parts) {
            match wanted.get(name) {
                Some(IntOrPercent::Int(n)) => prop_assert_eq!(part, n),
                Some(IntOrPercent::Percent(p)) => {
                    let exact = f64::from(total) * f64::from(*p) / 100.0;
                    prop_assert!((f64::from(*part) - exact).abs() < 2.0, "{} of {}", part, exact);
                }
                None => {}
            }
        }
        let open: Vec<i32> = free.iter().map(|i| parts[*i]).collect();
        if let (Some(most), Some(least)) = (open.iter().max(), open.iter().min()) {
            prop_assert!(most - least <= 1);
            let held: Vec<i32> = free.iter().map(|i| today[*i]).collect();
            let moves: i32 = held.iter().zip(&open).map(|(h, o)| (h - o).max(0)).sum();
            prop_assert_eq!(moves, fewest_moves(open.iter().sum(), free.len(), &held));
        }
    }
}

#[test]
fn a_split_that_has_been_made_is_made_again() {
    for total in 0..60 {
        for units in 1..7 {
            let names = names(units);
            let refs: Vec<&str> = names.iter().map(String::as_str).collect();
            let (first, _) = split(total, &refs, &BTreeMap::new(), &vec![0; units]);
            let (again, _) = split(total, &refs, &BTreeMap::new(), &first);
            assert_eq!(first, again);
        }
    }
}

fn limit() -> impl Strategy<Value = Limit> {
    (0..60i32, prop::option::of(0..60i32), any::<bool>()).prop_map(|(today, ceiling, last)| Limit {
        today,
        ceiling,
        last,
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn ceilings_hold_as_long_as_there_is_room_and_the_sum_always_does(
        total in 0..200i32,
        limits in prop::collection::vec(limit(), 1..7),
        pin in prop::option::of(0..40i32),
        done in any::<u8>(),
    ) {
        let names = names(limits.len());
        let refs: Vec<&str> = names.iter().map(String::as_str).collect();
        let pins: BTreeMap<_, _> = pin.iter().map(|n| (names[0].clone(), IntOrPercent::Int(*n))).collect();
        let (parts, fit) = split_within(total, &refs, &pins, &limits);
        prop_assert_eq!(parts.iter().sum::<i32>(), total);
        prop_assert!(parts.iter().all(|p| *p >= 0));
        // What is half carried out comes out the same.
        let now = |(i, l): (usize, &Limit)| Limit { today: if done >> i & 1 == 1 { parts[i] } else { l.today }, ..*l };
        let now: Vec<Limit> = limits.iter().enumerate().map(now).collect();
        prop_assert_eq!(&split_within(total, &refs, &pins, &now).0, &parts);
        if !fit {
            return Ok(());
        }
        prop_assert!(pin.is_none_or(|n| parts[0] == n), "a pinned unit has no ceiling");
        let free: Vec<usize> = (usize::from(pin.is_some())..limits.len()).collect();
        let wanted = total - pin.unwrap_or(0);
        let ceiling = |i: &usize| limits[*i].ceiling.unwrap_or(i32::MAX);
        let room = free.iter().fold(0, |sum: i32, i| sum.saturating_add(ceiling(i)));
        for i in &free {
            if room >= wanted {
                prop_assert!(parts[*i] <= ceiling(i), "{parts:?} {limits:?}");
            } else {
                prop_assert!(parts[*i] >= ceiling(i), "{parts:?} {limits:?}");
            }
            // One that is below its ceiling has no less than any other, but for what does not divide.
            for k in &free {
                if parts[*i] < ceiling(i) && room >= wanted {
                    prop_assert!(parts[*k] <= parts[*i] + 1, "{parts:?} {limits:?}");
                }
            }
        }
    }

    #[test]
    fn a_ceiling_that_nothing_reaches_changes_nothing(
        total in 0..100i32,
        today in prop::collection::vec(0..60i32, 1..7),
    ) {
        let names = names(today.len());
        let refs: Vec<&str> = names.iter().map(String::as_str).collect();
        let (plain, _) = split(total, &refs, &BTreeMap::new(), &today);
        let limits: Vec<Limit> =
            today.iter().map(|today| Limit { today: *today, ceiling: Some(total), last: false }).collect();
        prop_assert_eq!(split_within(total, &refs, &BTreeMap::new(), &limits).0, plain);
    }
}

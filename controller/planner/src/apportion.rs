//! Splitting whole pods over units: the largest-remainder method (Hamilton's), exact and deterministic.

/// Splits `total` over `weights` in proportion: each part is the exact quota rounded down or up, the parts sum to
/// `total`, and what is left after rounding down goes to the largest fractions, then to the earlier entries.
///
/// All zero weights (or a total of zero or less) give all zeros. When `total` is at most the sum of the weights, no
/// part exceeds its weight.
#[must_use]
pub fn largest_remainder(total: i32, weights: &[i32]) -> Vec<i32> {
    largest_remainder_near(total, weights, &[])
}

/// As [`largest_remainder`]; of equal fractions, those who hold more than their part rounded down already come first
/// (`today` is what each holds), so that the fewest pods move and another order of the entries moves none.
///
/// A split that has been carried out for some of the parts only comes out the same again.
#[must_use]
pub fn largest_remainder_near(total: i32, weights: &[i32], today: &[i32]) -> Vec<i32> {
    let sum: i64 = weights.iter().map(|w| i64::from((*w).max(0))).sum();
    if sum == 0 || total <= 0 {
        return vec![0; weights.len()];
    }
    let exact = |weight: i32| i64::from(total) * i64::from(weight.max(0));
    let mut parts: Vec<i32> =
        weights.iter().map(|w| i32::try_from(exact(*w) / sum).unwrap_or(i32::MAX)).collect();
    let mut left = i64::from(total) - parts.iter().map(|p| i64::from(*p)).sum::<i64>();
    let mut by_fraction: Vec<usize> = (0..weights.len()).collect();
    let fraction = |i: &usize| weights.get(*i).map_or(0, |w| exact(*w) % sum);
    let holds_more = |i: &usize| today.get(*i).zip(parts.get(*i)).is_some_and(|(today, part)| today > part);
    by_fraction.sort_by_key(|i| std::cmp::Reverse((fraction(i), holds_more(i))));
    for i in by_fraction {
        if left == 0 {
            break;
        }
        if let Some(part) = parts.get_mut(i) {
            *part += 1;
            left -= 1;
        }
    }
    parts
}

/// Splits `total` evenly over as many parts as `prefer` has entries: any two parts differ by at most one, and the
/// larger parts go first to who holds as many already (`prefer` is what each holds today), so that the fewest pods move,
/// then to the earlier entries.
///
/// A split that has been carried out for some of the parts only comes out the same again.
#[must_use]
pub fn evenly(total: i32, prefer: &[i32]) -> Vec<i32> {
    let count = i32::try_from(prefer.len()).unwrap_or(i32::MAX);
    if count == 0 || total <= 0 {
        return vec![0; prefer.len()];
    }
    let small = total / count;
    let mut parts = vec![small; prefer.len()];
    let mut order: Vec<usize> = (0..prefer.len()).collect();
    order.sort_by_key(|i| prefer.get(*i).is_none_or(|today| *today <= small));
    for i in order.into_iter().take(usize::try_from(total % count).unwrap_or(0)) {
        if let Some(part) = parts.get_mut(i) {
            *part += 1;
        }
    }
    parts
}

/// What a part has already, and the most it may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// What it has.
    pub least: i32,
    /// What it may have in the end.
    pub most: i32,
}

/// Raises parts by `total` together, the lowest first, so that they end as level as can be; of equally low ones the earlier come
/// first. What no part may get is left over.
#[must_use]
pub fn pour(total: i32, parts: &[Level]) -> Vec<i32> {
    let at = |level: i64, part: &Level| level.clamp(part.least.into(), part.most.max(part.least).into());
    let takes = |level: i64| parts.iter().map(|p| at(level, p) - i64::from(p.least)).sum::<i64>();
    let total = i64::from(total.max(0));
    // The highest level for which there is enough.
    let (mut low, mut high) = (i64::from(i32::MIN), i64::from(i32::MAX));
    while low < high {
        let level = high - (high - low) / 2;
        if takes(level) <= total { low = level } else { high = level - 1 }
    }
    let mut left = total - takes(low);
    let top_up = |part: &Level| {
        let level = at(low, part);
        let more = i64::from(left > 0 && level == low && level < part.most.into());
        left -= more;
        i32::try_from(level + more).unwrap_or(part.most)
    };
    parts.iter().map(top_up).collect()
}

/// What stays of the `updated` pods of a unit that shrinks from `from` pods to `to`: their share, rounded down, but at
/// least one, so that shrinking never passes a gate and never undoes a group.
#[must_use]
pub fn kept_share(updated: i32, from: i32, to: i32) -> i32 {
    if to >= from || updated <= 0 {
        return updated;
    }
    let share = i64::from(updated) * i64::from(to) / i64::from(from.max(1));
    i32::try_from(share).unwrap_or(to).max(1).min(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_fractions_the_one_that_holds_the_pod_keeps_it() {
        assert_eq!(largest_remainder_near(7, &[4, 4], &[3, 4]), [3, 4]);
        assert_eq!(largest_remainder_near(7, &[4, 4], &[4, 3]), [4, 3]);
        assert_eq!(largest_remainder_near(7, &[4, 4], &[0, 0]), [4, 3]);
        // A larger fraction comes before what anybody holds.
        assert_eq!(largest_remainder_near(4, &[2, 3], &[2, 2]), [2, 2]);
        assert_eq!(largest_remainder_near(2, &[2, 5], &[2, 0]), [1, 1]);
    }

    #[test]
    fn fractions_decide_and_then_order() {
        assert_eq!(largest_remainder(4, &[3, 2]), [2, 2]);
        assert_eq!(largest_remainder(4, &[4, 3, 3]), [2, 1, 1]);
        assert_eq!(largest_remainder(1, &[5, 5]), [1, 0]);
        assert_eq!(largest_remainder(3, &[0, 0]), [0, 0]);
    }

    #[test]
    fn the_odd_pod_stays_where_it_is() {
        assert_eq!(evenly(7, &[0, 0]), [4, 3]);
        assert_eq!(evenly(7, &[3, 4]), [3, 4]);
        assert_eq!(evenly(0, &[3, 4]), [0, 0]);
    }

    #[test]
    fn a_split_that_is_half_carried_out_comes_out_the_same() {
        for total in 0..12 {
            for today in (0..216).map(|n| [n % 6, n / 6 % 6, n / 36]) {
                let parts = evenly(total, &today);
                for done in 0..8_u8 {
                    let now: Vec<i32> =
                        (0..3).map(|i| if done >> i & 1 == 1 { parts[i] } else { today[i] }).collect();
                    assert_eq!(evenly(total, &now), parts, "{total} over {today:?}, now {now:?}");
                }
            }
        }
    }

    /// As [`pour`], one by one.
    fn dripped(total: i32, parts: &[Level]) -> Vec<i32> {
        let mut levels: Vec<i32> = parts.iter().map(|p| p.least).collect();
        for _ in 0..total {
            let open = levels.iter_mut().zip(parts).filter(|(level, part)| **level < part.most);
            let Some((level, _)) = open.min_by_key(|(level, _)| **level) else { break };
            *level += 1;
        }
        levels
    }

    #[test]
    fn what_is_poured_ends_as_if_it_were_dealt_one_by_one_to_the_lowest() {
        let level = |n: i32| Level { least: n % 4, most: [n % 4, 2, 5, i32::MAX][n as usize / 4 % 4] };
        for a in 0..16 {
            for b in 0..16 {
                for c in 0..16 {
                    let parts = [level(a), level(b), level(c)];
                    for total in 0..14 {
                        assert_eq!(pour(total, &parts), dripped(total, &parts), "{total} {parts:?}");
                    }
                }
            }
        }
        assert_eq!(pour(7, &[]), [0; 0]);
        assert_eq!(pour(i32::MAX, &[Level { least: 0, most: i32::MAX }]), [i32::MAX]);
    }
}

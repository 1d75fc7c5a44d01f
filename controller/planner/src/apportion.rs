//! Splitting whole pods over units: the largest-remainder method (Hamilton's), exact and deterministic.

/// Splits `total` over `weights` in proportion: each part is the exact quota rounded down or up, the parts sum to
/// `total`, and what is left after rounding down goes to the largest fractions, then to the earlier entries.
///
/// All zero weights (or a total of zero or less) give all zeros. When `total` is at most the sum of the weights, no
/// part exceeds its weight.
#[must_use]
pub fn largest_remainder(total: i32, weights: &[i32]) -> Vec<i32> {
    let sum: i64 = weights.iter().map(|w| i64::from((*w).max(0))).sum();
    if sum == 0 || total <= 0 {
        return vec![0; weights.len()];
    }
    let exact = |weight: i32| i64::from(total) * i64::from(weight.max(0));
    let mut parts: Vec<i32> =
        weights.iter().map(|w| i32::try_from(exact(*w) / sum).unwrap_or(i32::MAX)).collect();
    let mut left = i64::from(total) - parts.iter().map(|p| i64::from(*p)).sum::<i64>();
    let mut by_fraction: Vec<usize> = (0..weights.len()).collect();
    by_fraction.sort_by_key(|i| std::cmp::Reverse(weights.get(*i).map_or(0, |w| exact(*w) % sum)));
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
/// larger parts go where `prefer` (what each holds today) is larger, so that the fewest pods move.
#[must_use]
pub fn evenly(total: i32, prefer: &[i32]) -> Vec<i32> {
    let count = i32::try_from(prefer.len()).unwrap_or(i32::MAX);
    if count == 0 || total <= 0 {
        return vec![0; prefer.len()];
    }
    let mut parts = vec![total / count; prefer.len()];
    let mut order: Vec<usize> = (0..prefer.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(prefer.get(*i).copied().unwrap_or(0)));
    for i in order.into_iter().take(usize::try_from(total % count).unwrap_or(0)) {
        if let Some(part) = parts.get_mut(i) {
            *part += 1;
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

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
}

//! The decision of the election, pure: no client and no clock.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

/// Assumed of a record that does not say how long it holds.
const DURATION_DEFAULT: i32 = 15;

/// What a replica does about the record it saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The record names this replica: renew. Also after a restart, so that nobody waits for the lease to run out.
    Renew,
    /// Nobody holds it any more: take it.
    Acquire,
    /// Somebody else holds it, for at least this long unless it is given back.
    Wait(Duration),
}

/// `unchanged_for` is how long we saw the record as it is, by our own monotonic clock.
pub(super) fn decide(record: &LeaseSpec, me: &str, unchanged_for: Duration) -> Next {
    let valid_for = duration_of(record);
    match record.holder_identity.as_deref() {
        None | Some("") => Next::Acquire,
        Some(holder) if holder == me => Next::Renew,
        Some(_) if unchanged_for > valid_for => Next::Acquire,
        Some(_) => Next::Wait(valid_for.saturating_sub(unchanged_for)),
    }
}

fn duration_of(record: &LeaseSpec) -> Duration {
    let seconds = record.lease_duration_seconds.unwrap_or(DURATION_DEFAULT).max(1);
    Duration::from_secs(seconds.unsigned_abs().into())
}

/// The record with `me` as its holder. The timestamps are for people and tools: nothing here is decided from them.
pub(super) fn held_by(me: &str, old: &LeaseSpec, duration: Duration, now: Timestamp) -> LeaseSpec {
    let same = old.holder_identity.as_deref() == Some(me);
    let transitions = old.lease_transitions.unwrap_or(0);
    LeaseSpec {
        holder_identity: Some(me.to_owned()),
        lease_duration_seconds: i32::try_from(duration.as_secs()).ok(),
        acquire_time: old.acquire_time.clone().filter(|_| same).or(Some(MicroTime(now))),
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(if same { transitions } else { transitions.saturating_add(1) }),
        ..old.clone()
    }
}

/// The record given back: the next replica that looks takes it.
pub(super) fn given_back(old: &LeaseSpec, now: Timestamp) -> LeaseSpec {
    LeaseSpec { holder_identity: None, renew_time: Some(MicroTime(now)), ..old.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(holder: Option<&str>, seconds: Option<i32>) -> LeaseSpec {
        LeaseSpec {
            holder_identity: holder.map(str::to_owned),
            lease_duration_seconds: seconds,
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn a_lease_is_taken_only_when_nobody_holds_it_any_more() {
        let s = Duration::from_secs;
        let ms = Duration::from_millis;
        let table = [
            (None, Some(15), s(0), Next::Acquire),
            (Some(""), Some(15), s(0), Next::Acquire),
            (Some("a"), Some(15), s(0), Next::Renew),
            (Some("a"), Some(15), s(3600), Next::Renew),
            (Some("b"), Some(15), s(0), Next::Wait(s(15))),
            (Some("b"), Some(15), s(10), Next::Wait(s(5))),
            (Some("b"), Some(15), s(15), Next::Wait(s(0))),
            (Some("b"), Some(15), ms(15_001), Next::Acquire),
            (Some("b"), None, s(10), Next::Wait(s(5))),
            (Some("b"), Some(0), s(0), Next::Wait(s(1))),
            (Some("b"), Some(-7), ms(1001), Next::Acquire),
            (Some("b"), Some(i32::MAX), s(3600), Next::Wait(s(2_147_483_647 - 3600))),
        ];
        for (holder, seconds, unchanged_for, next) in table {
            let got = decide(&record(holder, seconds), "a", unchanged_for);
            assert_eq!(got, next, "{holder:?} {seconds:?} {unchanged_for:?}");
        }
    }

    #[test]
    fn whatever_the_clocks_of_others_say_changes_no_decision() {
        let at = |second| Some(MicroTime(Timestamp::from_second(second).unwrap()));
        for unchanged_for in [0, 14_999, 15_000, 15_001].map(Duration::from_millis) {
            let plain = decide(&record(Some("b"), Some(15)), "a", unchanged_for);
            for second in [-86_400, 0, 1_700_000_000, 1_700_000_300, 4_000_000_000] {
                let skewed = LeaseSpec {
                    acquire_time: at(second),
                    renew_time: at(second + 300),
                    ..record(Some("b"), Some(15))
                };
                assert_eq!(decide(&skewed, "a", unchanged_for), plain, "{second} {unchanged_for:?}");
            }
        }
    }

    #[test]
    fn a_renewal_keeps_when_it_was_acquired_and_a_change_of_holder_is_counted() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let first = held_by("a", &LeaseSpec::default(), Duration::from_secs(15), at(1));
        let renewed = held_by("a", &first, Duration::from_secs(15), at(6));
        assert_eq!((renewed.acquire_time, renewed.lease_transitions), (Some(MicroTime(at(1))), Some(1)));
        assert_eq!(renewed.renew_time, Some(MicroTime(at(6))));
        let taken = held_by("b", &given_back(&first, at(7)), Duration::from_secs(15), at(8));
        assert_eq!((taken.acquire_time, taken.lease_transitions), (Some(MicroTime(at(8))), Some(2)));
    }
}

//! When to look at an owner again although nothing happens.

use std::collections::{BTreeSet, HashMap};

use cafe_planner::time::Millis;

use crate::world::Owner;

/// One wake-up per owner.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    by_time: BTreeSet<(Millis, Owner)>,
    by_owner: HashMap<Owner, Millis>,
}

impl Wakes {
    /// The owner's next plan is due at `at`, or only when something happens.
    pub(super) fn replace(&mut self, owner: Owner, at: Option<Millis>) {
        if let Some(before) = self.by_owner.remove(&owner) {
            self.by_time.remove(&(before, owner));
        }
        if let Some(at) = at {
            self.by_owner.insert(owner, at);
            self.by_time.insert((at, owner));
        }
    }

    /// The owner is looked at again at `at` or earlier.
    pub(super) fn set(&mut self, owner: Owner, at: Millis) {
        if self.by_owner.get(&owner).is_none_or(|before| *before > at) {
            self.replace(owner, Some(at));
        }
    }

    /// The next moment something is due.
    pub(super) fn next(&self) -> Option<Millis> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// The owners that are due, taken out.
    pub(super) fn due(&mut self, now: Millis) -> Vec<Owner> {
        let mut due = Vec::new();
        while let Some((at, owner)) = self.by_time.first().copied().filter(|(at, _)| *at <= now) {
            self.by_time.remove(&(at, owner));
            self.by_owner.remove(&owner);
            due.push(owner);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use cafe_planner::identity::Uid;

    use super::*;

    const A: Owner = Owner::Set(Uid(1));
    const B: Owner = Owner::Set(Uid(2));

    #[test]
    fn the_earliest_comes_first_and_each_once() {
        let mut wakes = Wakes::default();
        wakes.replace(A, Some(Millis(20)));
        wakes.replace(B, Some(Millis(10)));
        assert_eq!(wakes.next(), Some(Millis(10)));
        assert_eq!(wakes.due(Millis(10)), [B]);
        assert_eq!(wakes.due(Millis(19)), []);
        assert_eq!(wakes.due(Millis(30)), [A]);
        assert_eq!(wakes.next(), None);
    }

    #[test]
    fn a_later_wish_does_not_push_an_earlier_one_away_unless_it_replaces_it() {
        let mut wakes = Wakes::default();
        wakes.set(A, Millis(10));
        wakes.set(A, Millis(20));
        assert_eq!(wakes.next(), Some(Millis(10)));
        wakes.replace(A, Some(Millis(30)));
        assert_eq!(wakes.next(), Some(Millis(30)));
        wakes.replace(A, None);
        assert_eq!(wakes.next(), None);
    }
}

//! Whose selectors match whose pods. Looked at only when an object comes, goes, or changes the labels of its pods: a frame that
//! changes neither costs nothing, however many objects there are.

use std::collections::{BTreeMap, HashMap};

use cafe_crds::{
    names::{DEFAULT_UNIT, LABEL_UNIT},
    selector::Selector,
    time::Seconds,
};
use cafe_planner::{Text, identity::Uid, set::Set};

use super::{DeploymentRecord, Owner, SetRecord, World, orphans::names_of_sets};

/// What an object claims: the pods it selects, and the labels of its own.
#[derive(Debug, PartialEq)]
struct Claim {
    owner: Owner,
    /// As `Kind name`.
    called: Text,
    name: Text,
    selector: Selector,
    /// Labels of the template.
    labels: BTreeMap<String, String>,
    /// The units its pods are in, each with the label of its own; none without placement.
    units: Vec<String>,
    /// Names of InPlaceSets that are its own or would be: whether they may be is not decided by their labels.
    children: Vec<Text>,
    /// The CafeDeployment that has made this set, by its name and what it selects.
    maker: Option<Text>,
}

impl Claim {
    fn selects(&self, other: &Self) -> bool {
        let plain = other.labels.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        if other.units.is_empty() {
            return self.selector.matches(plain);
        }
        other
            .units
            .iter()
            .any(|unit| self.selector.matches(plain.clone().chain([(LABEL_UNIT, unit.as_str())])))
    }

    fn overlaps(&self, other: &Self) -> bool {
        let is_of = |set: &Self, owner: &Self| {
            owner.children.contains(&set.name) || set.maker.as_ref() == Some(&owner.name)
        };
        let kin = is_of(self, other) || is_of(other, self);
        !kin && (self.selects(other) || other.selects(self))
    }
}

/// By age: of two the first is the older.
type Age = (Seconds, Uid);

/// The claims of all namespaces, and who is refused for whom.
#[derive(Debug, Default)]
pub(super) struct Overlaps {
    claims: HashMap<Text, BTreeMap<Age, Claim>>,
    homes: HashMap<Uid, (Text, Age)>,
    /// By uid of the younger one: uid of the oldest that it overlaps with, and what that is called.
    refused: HashMap<Uid, (Uid, Text)>,
}

impl Overlaps {
    /// The older object that this one overlaps with.
    pub(super) fn of(&self, uid: Uid) -> Option<&Text> {
        self.refused.get(&uid).map(|(_, called)| called)
    }

    /// Takes a claim in. The owners for whom that changes something.
    fn claim(&mut self, namespace: &Text, created: Seconds, uid: Uid, claim: Claim) -> Vec<Owner> {
        let age = (created, uid);
        let known = self.homes.get(&uid).is_some_and(|(home, at)| home == namespace && *at == age);
        if known && self.claims.get(namespace).and_then(|all| all.get(&age)) == Some(&claim) {
            return Vec::new();
        }
        let mut changed = self.give_up(uid);
        self.homes.insert(uid, (namespace.clone(), age));
        self.claims.entry(namespace.clone()).or_default().insert(age, claim);
        changed.extend(self.judge(namespace, age));
        let all = self.claims.get(namespace);
        let this = all.and_then(|all| all.get(&age));
        let younger = all.into_iter().flat_map(|all| all.range(age..).skip(1));
        let touched = younger.filter(|(_, other)| this.is_some_and(|this| this.overlaps(other)));
        let touched: Vec<Age> = touched.map(|(age, _)| *age).collect();
        changed.extend(touched.into_iter().filter_map(|age| self.judge(namespace, age)));
        changed
    }

    /// Takes a claim away. The owners for whom that changes something.
    fn give_up(&mut self, uid: Uid) -> Vec<Owner> {
        let Some((namespace, age)) = self.homes.remove(&uid) else { return Vec::new() };
        self.refused.remove(&uid);
        if let Some(all) = self.claims.get_mut(&namespace) {
            all.remove(&age);
            if all.is_empty() {
                self.claims.remove(&namespace);
            }
        }
        let waiting = self.refused.iter().filter(|(_, (older, _))| *older == uid);
        let waiting: Vec<Uid> = waiting.map(|(younger, _)| *younger).collect();
        let homes: Vec<Age> =
            waiting.iter().filter_map(|uid| self.homes.get(uid)).map(|(_, age)| *age).collect();
        homes.into_iter().filter_map(|age| self.judge(&namespace, age)).collect()
    }

    /// Finds the oldest that a claim overlaps with. Its owner, if that is another than before.
    fn judge(&mut self, namespace: &Text, age: Age) -> Option<Owner> {
        let all = self.claims.get(namespace)?;
        let this = all.get(&age)?;
        let older = all.range(..age).find(|(_, other)| this.overlaps(other));
        let verdict = older.map(|((_, uid), other)| (*uid, other.called.clone()));
        let owner = this.owner;
        let before = match verdict {
            Some(verdict) => self.refused.insert(age.1, verdict.clone()).map(|b| b == verdict),
            None => self.refused.remove(&age.1).map(|_| false),
        };
        let is_new = before.is_none() && self.refused.contains_key(&age.1);
        (before == Some(false) || is_new).then_some(owner)
    }
}

/// The name of the CafeDeployment that a set without an owner was made by: its own without that of its unit, which it selects on.
fn maker(set: &Set) -> Option<Text> {
    let unit = set.spec.selector.match_labels.get(LABEL_UNIT)?;
    let name = set.name.strip_suffix(&unit.to_ascii_lowercase())?.strip_suffix('-')?;
    Some(name.into())
}

impl World {
    /// A CafeDeployment has come or changed.
    pub(super) fn claim_deployment(&mut self, record: &DeploymentRecord, created: Seconds) {
        let d = &record.deployment;
        let topology = &d.spec.topology;
        let units =
            if topology.values.is_empty() { vec![DEFAULT_UNIT.to_owned()] } else { topology.values.clone() };
        let claim = Claim {
            owner: Owner::Deployment(d.uid),
            called: format!("CafeDeployment {}", d.name).into(),
            name: d.name.clone(),
            selector: d.spec.selector.clone(),
            labels: record.content.labels(),
            units,
            children: names_of_sets(d).collect(),
            maker: None,
        };
        let changed = self.overlaps.claim(&d.namespace, created, d.uid, claim);
        self.mark_claimants(changed);
    }

    /// An InPlaceSet has come or changed. One that a CafeDeployment owns claims nothing by itself.
    pub(super) fn claim_set(&mut self, record: &SetRecord, created: Seconds) {
        let set = &record.set;
        if set.owner.is_some() {
            self.give_up_claim(set.uid);
            return;
        }
        let claim = Claim {
            owner: Owner::Set(set.uid),
            called: format!("InPlaceSet {}", set.name).into(),
            name: set.name.clone(),
            selector: set.spec.selector.clone(),
            labels: record.content.labels(),
            units: set.spec.placement.iter().map(|p| p.unit.clone()).collect(),
            children: Vec::new(),
            maker: maker(set),
        };
        let changed = self.overlaps.claim(&record.namespace, created, set.uid, claim);
        self.mark_claimants(changed);
    }

    /// They and their InPlaceSets, which adopt nothing while another has a claim to it, are planned again.
    fn mark_claimants(&mut self, owners: Vec<Owner>) {
        for owner in owners {
            if let Owner::Deployment(uid) = owner {
                let sets = self.sets_of.get(&uid).into_iter().flatten().map(|set| Owner::Set(*set));
                self.dirty.extend(sets);
            }
            self.dirty.insert(owner);
        }
    }

    /// An object is gone, or somebody else's.
    pub(super) fn give_up_claim(&mut self, uid: Uid) {
        let changed = self.overlaps.give_up(uid);
        self.mark_claimants(changed);
    }
}

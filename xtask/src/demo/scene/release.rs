//! The release as the status shows it, and what its changes mean.

use cafe_crds::deployment::{GroupState, GroupStatus, ReleaseState, ReleaseStatus};

use super::super::narration::Tone;

/// `1+1`: how many pods of each unit, in the order of the units' names.
fn split(group: &GroupStatus) -> String {
    group.units.values().map(ToString::to_string).collect::<Vec<_>>().join("+")
}

/// `1+1`, `2+2`, `2+2`: all groups of a plan.
pub(super) fn plan(release: &ReleaseStatus) -> Vec<String> {
    release.groups.iter().map(split).collect()
}

/// What there is to tell of a change.
pub(super) fn changes(before: &ReleaseStatus, now: &ReleaseStatus) -> Vec<(String, Tone)> {
    let mut told = Vec::new();
    let is_new = before.revision != now.revision;
    if is_new {
        told.push((beginning(now), Tone::Plain));
    } else if now.confirmed_through > before.confirmed_through {
        let (gate, total) = (now.confirmed_through, now.group_total);
        let next = now.groups.iter().find(|g| g.number == now.group).map(split).unwrap_or_default();
        told.push((
            format!("gate {}/{gate} is open; group {}/{total} starts: {next}", now.revision, now.group),
            Tone::Plain,
        ));
    }
    let was_done =
        |n: i32| !is_new && before.groups.iter().any(|g| g.number == n && g.state == GroupState::Done);
    // Without gates there is one group of all pods, of which only those move that are not there yet.
    let has_gates = now.from_revision.is_some() && before.state != ReleaseState::RollingBack;
    let done = |g: &&GroupStatus| has_gates && g.state == GroupState::Done && !was_done(g.number);
    for group in now.groups.iter().filter(done) {
        told.push((
            format!("group {}/{} is done: {}", group.number, now.group_total, split(group)),
            Tone::Good,
        ));
    }
    if let Some(token) =
        now.confirm_token.as_ref().filter(|token| before.confirm_token.as_ref() != Some(token))
    {
        told.push((format!("gate {token} waits for a confirmation"), Tone::Waiting));
    }
    if now.state == ReleaseState::Completed && (is_new || before.state != ReleaseState::Completed) {
        told.push((format!("every pod runs revision {}", now.revision), Tone::Good));
    }
    told
}

fn beginning(now: &ReleaseStatus) -> String {
    let (revision, plan) = (now.revision, plan(now).join(", "));
    match (now.from_revision, now.state) {
        (None, _) => format!("installs revision {revision}: {plan}, no gates"),
        (Some(from), ReleaseState::RollingBack) => {
            format!("goes back from revision {from}; the good template is now revision {revision}, no gates")
        }
        (Some(from), _) => format!("release of revision {revision} (from {from}) starts; groups: {plan}"),
    }
}

#[cfg(test)]
mod tests {
    use cafe_crds::deployment::GroupKind;

    use super::*;

    fn group(number: i32, pods: i32, state: GroupState) -> GroupStatus {
        let units = [("CellA".to_owned(), pods), ("CellB".to_owned(), pods)].into();
        GroupStatus { number, kind: GroupKind::Batch, units, state, ..GroupStatus::default() }
    }

    fn told(before: &ReleaseStatus, now: &ReleaseStatus) -> Vec<String> {
        changes(before, now).into_iter().map(|(what, _)| what).collect()
    }

    #[test]
    fn a_gate_is_told_when_its_group_is_done_and_when_it_opens() {
        let executing = ReleaseStatus {
            revision: 2,
            from_revision: Some(1),
            group: 1,
            group_total: 2,
            groups: vec![group(1, 1, GroupState::Executing), group(2, 4, GroupState::Pending)],
            ..ReleaseStatus::default()
        };
        let waiting = ReleaseStatus {
            groups: vec![group(1, 1, GroupState::Done), group(2, 4, GroupState::Pending)],
            confirm_token: Some("2/1".into()),
            ..executing.clone()
        };
        let open = ReleaseStatus { group: 2, confirmed_through: 1, confirm_token: None, ..waiting.clone() };
        assert_eq!(
            told(&ReleaseStatus::default(), &executing),
            ["release of revision 2 (from 1) starts; groups: 1+1, 4+4"]
        );
        assert_eq!(
            told(&executing, &waiting),
            ["group 1/2 is done: 1+1", "gate 2/1 waits for a confirmation"]
        );
        assert_eq!(told(&waiting, &open), ["gate 2/1 is open; group 2/2 starts: 4+4"]);
        assert!(told(&open, &open).is_empty());
    }
}

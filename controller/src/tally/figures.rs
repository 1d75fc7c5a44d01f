//! What a CafeDeployment looks like now, from what the planner has just looked at.

use cafe_crds::deployment::{CafeDeploymentStatus, Phase, UpgradeType};
use cafe_planner::{deployment::snapshot::unit_of, identity::Uid};

use crate::{
    metrics::{DeploymentFigures, Metrics, ReplicaFigures},
    world::{SetRecord, World},
};

/// Brings the series of a CafeDeployment up to date.
pub(super) fn draw(world: &World, uid: Uid, metrics: &Metrics) {
    let Some(record) = world.deployments.get(&uid) else { return };
    let d = &record.deployment;
    let (status, release) = (&d.status, d.status.release.as_ref());
    let mut replicas = ReplicaFigures::default();
    let mut units = Vec::with_capacity(status.units.len());
    for set in world.sets_of(uid) {
        let unit = of_unit(status, set);
        replicas.current += unit.current;
        replicas.ready += unit.ready;
        replicas.available += unit.available;
        replicas.out_of_traffic += unit.out_of_traffic;
        units.push((unit_of(&set.set).into(), unit));
    }
    (replicas.desired, replicas.updated) = (count(d.spec.replicas), count(status.updated_replicas));
    let figures = DeploymentFigures {
        upgrade_type: match d.spec.strategy.upgrade_type {
            UpgradeType::Beta => "Beta",
            UpgradeType::Batch => "Batch",
        },
        phase: phase(status),
        replicas,
        units,
        group: count(release.map_or(0, |r| r.group)),
        groups: count(release.map_or(0, |r| r.group_total)),
        waiting_since: release.and_then(|r| r.waiting_since).map(|s| s.0),
    };
    metrics.set_deployment(&d.namespace, &d.name, figures);
}

fn of_unit(status: &CafeDeploymentStatus, record: &SetRecord) -> ReplicaFigures {
    let census = &record.census;
    let unit = unit_of(&record.set);
    let updated = status.units.iter().find(|u| u.name == unit).map_or(0, |u| u.updated_replicas);
    ReplicaFigures {
        desired: count(record.set.spec.replicas),
        current: count(census.replicas),
        updated: count(updated),
        ready: count(census.ready),
        available: count(census.available),
        out_of_traffic: count(census.in_flight),
    }
}

fn count(n: i32) -> u32 {
    u32::try_from(n).unwrap_or(0)
}

fn phase(status: &CafeDeploymentStatus) -> &'static str {
    match status.phase {
        None => "Unknown",
        Some(Phase::Healthy) => "Healthy",
        Some(Phase::Progressing) => "Progressing",
        Some(Phase::Waiting) => "Waiting",
        Some(Phase::Paused) => "Paused",
        Some(Phase::RollingBack) => "RollingBack",
        Some(Phase::Aborted) => "Aborted",
        Some(Phase::Degraded) => "Degraded",
        Some(Phase::Invalid) => "Invalid",
    }
}

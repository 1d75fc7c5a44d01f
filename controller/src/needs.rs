//! The rights that the controller asks for before it begins: those without which nothing works, and those that one feature needs.
//!
//! All that it uses stands in the rules of the chart. What [`WANTED`] names is told when it is missing, and done without; everything else is
//! needed. To be needed is the rule: a right is only wanted where the rest goes on as if the feature had not been asked for.

use cafe_process::rights::{self, Right, RightsError, Wanted};
use kube::Client;

use crate::args::RunArgs;

/// What the rules of the chart say, which are those of this binary.
const WORKLOADS: &str = include_str!("../../charts/cafe/files/rules/workloads.yaml");
const CLUSTER: &str = include_str!("../../charts/cafe/files/rules/cluster.yaml");
const LEASE: &str = include_str!("../../charts/cafe/files/rules/lease.yaml");

const NODES: &str = "nodes";

/// What is done without, and what does not work then. Each kind that is watched must be readable, as nothing begins before all are known; but
/// nodes, without whose watch the rest goes on.
const WANTED: [Wanted; 7] = [
    Wanted {
        group: "",
        resource: NODES,
        verbs: &["list", "watch"],
        without: "units without nodes are not told from full ones, and autoReschedule moves nothing; once it is granted (in the chart \
                  rbac.readNodes=true), start the controller again",
    },
    Wanted {
        group: "events.k8s.io",
        resource: "events",
        verbs: &["create"],
        without: "kubectl get events and kubectl describe tell nothing of releases; status, records and this log do",
    },
    Wanted {
        group: "",
        resource: "persistentvolumeclaims",
        verbs: &["create", "patch", "delete"],
        without: "pods of workloads with volumeClaimTemplates are not created, and claims are not deleted; workloads without are not affected",
    },
    Wanted {
        group: "cafe.dev",
        resource: "cafedeployments",
        verbs: &["patch"],
        without: "a CafeDeployment with the finalizer cafe.dev/drain is drained when it is deleted, and does not go",
    },
    Wanted {
        group: "cafe.dev",
        resource: "cafedeployments/finalizers",
        verbs: &["update"],
        without: "a cluster that enforces OwnerReferencesPermissionEnforcement refuses InPlaceSets and records; others are not affected",
    },
    Wanted {
        group: "cafe.dev",
        resource: "inplacesets/finalizers",
        verbs: &["update"],
        without: "a cluster that enforces OwnerReferencesPermissionEnforcement refuses pods; others are not affected",
    },
    Wanted {
        group: "coordination.k8s.io",
        resource: "leases",
        verbs: &["watch"],
        without: "a replica that stands by looks at the lease now and then, so a leader that is told to stop is followed seconds later instead of \
                  at once",
    },
];

/// Returns when the account has the rights that are needed, and says which of those that are wanted it lacks. Answers whether it may see the
/// nodes.
///
/// # Errors
/// A right that is needed is missing, or the API server does not say.
pub(crate) async fn require(client: &Client, args: &RunArgs) -> Result<bool, RightsError> {
    let program = env!("CARGO_PKG_NAME");
    let (wanted, needed) = used(args)?.into_iter().partition(is_wanted);
    rights::require(client, program, needed).await?;
    let lacking = rights::tell_missing(client, program, &WANTED, wanted).await?;
    Ok(!lacking.iter().any(|right| right.resource == NODES))
}

fn is_wanted(right: &Right) -> bool {
    WANTED.iter().any(|wanted| wanted.is(right))
}

/// Every right that the controller uses with these settings.
fn used(args: &RunArgs) -> Result<Vec<Right>, RightsError> {
    let mut used = rights::of_rules(CLUSTER, None)?;
    for namespace in &args.watch_namespaces {
        used.extend(rights::of_rules(WORKLOADS, Some(namespace))?);
    }
    if args.watch_namespaces.is_empty() {
        used.extend(rights::of_rules(WORKLOADS, None)?);
    }
    if !args.no_leader_election {
        used.extend(rights::of_rules(LEASE, Some(&args.namespace))?);
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn all() -> Vec<Right> {
        let cli = Cli::parse_from(["cafe-controller", "run", "--namespace", "cafe-system"]);
        let Command::Run(args) = cli.command else { panic!("run") };
        used(&args).unwrap()
    }

    #[test]
    fn what_is_wanted_is_in_the_rules_of_the_chart() {
        let used = all();
        for wanted in &WANTED {
            for verb in wanted.verbs {
                let is_it = |right: &&Right| wanted.is(right) && right.verb == *verb;
                assert!(used.iter().any(|right| is_it(&right)), "{verb} {}", wanted.resource);
            }
        }
    }

    /// Without one of these the controller ends. What is added to the rules of the chart shows here, and is decided on.
    #[test]
    fn everything_else_is_needed() {
        let needed: BTreeSet<String> = all()
            .iter()
            .filter(|right| !is_wanted(right))
            .map(|right| format!("{} {}", right.resource, right.verb))
            .collect();
        let expected = [
            ("cafedeployments", "get list watch"),
            ("cafedeployments/status", "patch"),
            ("cafereleases", "create delete list patch watch"),
            ("controllerrevisions", "create delete get list patch watch"),
            ("endpointslices", "list watch"),
            ("inplacesets", "create delete get list patch watch"),
            ("inplacesets/status", "patch"),
            ("leases", "create get update"),
            ("persistentvolumeclaims", "get list watch"),
            ("pods", "create delete get list patch watch"),
            ("pods/status", "patch"),
        ];
        let each = |(resource, verbs): (&'static str, &'static str)| {
            verbs.split(' ').map(move |verb| format!("{resource} {verb}"))
        };
        assert_eq!(needed, expected.into_iter().flat_map(each).collect());
    }
}

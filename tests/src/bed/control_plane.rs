//! etcd, kube-apiserver, kube-controller-manager, kube-scheduler and the simulated kubelets: their flags.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::certificates::{self, Certificates};
use super::components::Components;
use super::kubeconfig::{self, Credentials};
use super::options::{LIFTED, Options};
use super::ports::Ports;
use super::replace::replace;
use super::{CONTROLLER, stages};

/// The components of the control plane. They start in this order and stop in the opposite one.
pub(super) const COMPONENTS: [&str; 5] = [ETCD, APISERVER, CONTROLLER_MANAGER, SCHEDULER, KWOK];
pub(super) const ETCD: &str = "etcd";
/// The name of its process and log.
pub const APISERVER: &str = "kube-apiserver";
pub(super) const CONTROLLER_MANAGER: &str = "kube-controller-manager";
pub(super) const SCHEDULER: &str = "kube-scheduler";
pub(super) const KWOK: &str = "kwok";

/// Every request once, when it is answered. The writes of the controller with their preconditions and the versions they made, for the judge of the invariants; of
/// everything else who asked for what.
fn audit_policy() -> String {
    format!(
        "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: RequestResponse
  users: [{CONTROLLER}]
  verbs: [create, update, patch, delete, deletecollection]
  resources:
  - group: ''
    resources: [pods, pods/status, persistentvolumeclaims]
  - group: apps
    resources: [controllerrevisions]
  - group: cafe.dev
  - group: coordination.k8s.io
    resources: [leases]
- level: Metadata
"
    )
}

/// The files and flags of one control plane.
pub(super) struct ControlPlane<'a> {
    pub(super) dir: &'a Path,
    pub(super) ports: Ports,
    pub(super) components: &'a Components,
    pub(super) certificates: Certificates,
}

impl<'a> ControlPlane<'a> {
    /// Writes the files that the components read. Writing them again changes nothing.
    pub(super) fn prepare(dir: &'a Path, ports: Ports, components: &'a Components) -> Result<Self> {
        let certificates = Certificates::ensure(dir.join("certificates"))?;
        let plane = Self { dir, ports, components, certificates };
        for user in certificates::clients() {
            let credentials = Credentials::Certificate {
                certificate: &plane.certificates.certificate(user),
                key: &plane.certificates.key(user),
            };
            plane.write_kubeconfig(user, &credentials)?;
        }
        replace(&plane.audit_policy(), audit_policy().as_bytes())?;
        replace(&plane.stages(), stages::kwok_configuration().as_bytes())?;
        Ok(plane)
    }

    pub(super) fn write_kubeconfig(&self, user: &str, credentials: &Credentials<'_>) -> Result<()> {
        let server = format!("https://127.0.0.1:{}", self.ports.apiserver);
        kubeconfig::write(&self.kubeconfig(user), &server, &self.certificates.authority(), user, credentials)
    }

    pub(super) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.dir.join(format!("{user}.kubeconfig"))
    }

    fn audit_policy(&self) -> PathBuf {
        self.dir.join("audit-policy.yaml")
    }

    fn stages(&self) -> PathBuf {
        self.dir.join("stages.yaml")
    }

    fn command(&self, component: &str) -> Command {
        let mut command = Command::new(self.components.path(component));
        command.current_dir(self.dir);
        // The bed's own files decide, not the developer's environment.
        command.env_remove("KUBECONFIG");
        command
    }

    pub(super) fn etcd(&self, options: &Options) -> Command {
        let client = format!("http://127.0.0.1:{}", self.ports.etcd);
        let peer = format!("http://127.0.0.1:{}", self.ports.etcd_peer);
        let mut command = self.command(ETCD);
        command
            .arg(flag("data-dir", self.dir.join("etcd").display()))
            .arg(flag("listen-client-urls", &client))
            .arg(flag("advertise-client-urls", &client))
            .arg(flag("listen-peer-urls", &peer))
            .arg(flag("initial-advertise-peer-urls", &peer))
            .arg(flag("initial-cluster", format!("default={peer}")))
            .arg(flag("quota-backend-bytes", 8_u64 << 30));
        if !options.durable {
            command.arg("--unsafe-no-fsync");
        }
        command
    }

    pub(super) fn apiserver(&self, options: &Options) -> Command {
        let certificates = &self.certificates;
        let mut command = self.command(APISERVER);
        command
            .arg(flag("etcd-servers", format!("http://127.0.0.1:{}", self.ports.etcd)))
            .arg(flag("secure-port", self.ports.apiserver))
            .arg(flag("tls-cert-file", certificates.certificate(APISERVER).display()))
            .arg(flag("tls-private-key-file", certificates.key(APISERVER).display()))
            .arg(flag("client-ca-file", certificates.authority().display()))
            .arg("--authorization-mode=Node,RBAC")
            .arg("--service-account-issuer=https://kubernetes.default.svc")
            .arg(flag("service-account-key-file", certificates.service_account_public_key().display()))
            .arg(flag("service-account-signing-key-file", certificates.key("service-account").display()))
            .arg("--service-cluster-ip-range=10.96.0.0/16");
        match options.address {
            // In the namespace of the nodes, which nothing outside reaches.
            Some(address) => {
                command.arg("--bind-address=0.0.0.0").arg(flag("advertise-address", address));
            }
            None => {
                command.args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"]);
                command.arg("--endpoint-reconciler-type=none");
            }
        }
        if options.audit {
            command
                .arg(flag("audit-policy-file", self.audit_policy().display()))
                .arg(flag("audit-log-path", self.dir.join("logs/audit.log").display()))
                // A rotated log would hide entries from its reader.
                .args(["--audit-log-mode=batch", "--audit-log-maxsize=100000"]);
        }
        command
    }

    pub(super) fn controller_manager(&self, options: &Options) -> Command {
        let mut command = self.command(CONTROLLER_MANAGER);
        self.client_flags(
            &mut command,
            CONTROLLER_MANAGER,
            self.ports.controller_manager,
            options.manager_limits,
        );
        command
            .arg("--use-service-account-credentials=true")
            .arg(flag("service-account-private-key-file", self.certificates.key("service-account").display()))
            .arg(flag("root-ca-file", self.certificates.authority().display()))
            // Autoscalers look every 15 s by default, which is long for a test.
            .arg("--horizontal-pod-autoscaler-sync-period=1s");
        if !options.node_lifecycle {
            command.arg("--controllers=*,-node-lifecycle-controller");
        } else if options.nodes > 0 {
            // Longer than a simulated kubelet takes to renew its lease, and much shorter than the default.
            command.arg("--node-monitor-grace-period=25s");
        }
        command
    }

    pub(super) fn scheduler(&self) -> Command {
        let mut command = self.command(SCHEDULER);
        self.client_flags(&mut command, SCHEDULER, self.ports.scheduler, LIFTED);
        command
    }

    fn client_flags(&self, command: &mut Command, user: &str, port: u16, (qps, burst): (u16, u16)) {
        command
            .arg(flag("kubeconfig", self.kubeconfig(user).display()))
            .arg("--leader-elect=false")
            .arg(flag("kube-api-qps", qps))
            .arg(flag("kube-api-burst", burst))
            .args(["--authentication-skip-lookup", "--bind-address=127.0.0.1"])
            .arg(flag("secure-port", port));
    }

    pub(super) fn kwok(&self, options: &Options) -> Command {
        let mut command = self.command(KWOK);
        let lease_seconds = if options.node_lifecycle { 40 } else { 0 };
        command
            .arg(flag("kubeconfig", self.kubeconfig(KWOK).display()))
            .arg(flag("config", self.stages().display()))
            .arg("--manage-all-nodes")
            .arg(flag("node-lease-duration-seconds", lease_seconds))
            .arg(flag("server-address", format!("127.0.0.1:{}", self.ports.kwok)));
        command
    }
}

fn flag(name: &str, value: impl Display) -> String {
    format!("--{name}={value}")
}

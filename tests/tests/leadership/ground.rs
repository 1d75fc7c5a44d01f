//! A bed with replicas of the controller as processes, which tests kill, freeze and stop. The tests take turns: there is one lease.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cafe_tests::bed::audit::{Entry, Reader};
use cafe_tests::bed::{Bed, Options, controller};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

const LEASE: &str = "cafe-controller";
/// The shortest that the controller takes.
const LEASE_SECONDS: &str = "5";
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(20);

struct Place {
    bed: &'static Bed,
    binary: PathBuf,
}

static PLACE: OnceCell<Place> = OnceCell::const_new();
static TURN: Mutex<()> = Mutex::const_new(());

/// Held by one test at a time.
pub(crate) struct Ground {
    pub(crate) bed: &'static Bed,
    binary: &'static PathBuf,
    _turn: MutexGuard<'static, ()>,
}

/// One process. It is killed when the value is dropped.
pub(crate) struct Replica {
    bed: &'static Bed,
    name: String,
}

impl Ground {
    /// Waits for its turn, without replicas and without a lease.
    pub(crate) async fn take() -> Result<Self> {
        let turn = TURN.lock().await;
        let make = || async {
            let binary = tokio::task::spawn_blocking(|| controller::build(false)).await??;
            let bed = Bed::shared().await?;
            let cells = ["CellA", "CellB"].map(String::from).to_vec();
            bed.up(&Options { cells, nodes: 2, ..Options::default() }).await?;
            anyhow::Ok(Place { bed, binary })
        };
        let place = PLACE.get_or_try_init(make).await?;
        let ground = Self { bed: place.bed, binary: &place.binary, _turn: turn };
        match ground.leases().await?.delete(LEASE, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(ground),
            deleted => deleted.map(|_| ground).map_err(Into::into),
        }
    }

    /// Starts a replica; returns when its caches are warm, whether it leads or not.
    pub(crate) async fn start(&self, name: &str) -> Result<Replica> {
        self.start_by(Command::new(self.binary), name).await
    }

    /// As [`Ground::start`], with a monotonic clock that is days ahead.
    pub(crate) async fn start_days_ahead(&self, name: &str) -> Result<Replica> {
        let mut command = days_ahead()?;
        command.arg(self.binary);
        self.start_by(command, name).await
    }

    async fn start_by(&self, mut command: Command, name: &str) -> Result<Replica> {
        let _ = std::fs::remove_file(self.bed.log(name));
        command
            .current_dir(self.bed.dir())
            .env_remove("KUBECONFIG")
            .arg("run")
            .arg("--kubeconfig")
            .arg(self.bed.dir().join("controller.kubeconfig"))
            .args(["--identity", name, "--lease-seconds", LEASE_SECONDS, "--admin-address", "127.0.0.1:0"]);
        self.bed.start(name, &mut command)?;
        let replica = Replica { bed: self.bed, name: name.to_owned() };
        let warm = || async {
            self.bed.check(name)?;
            Ok(replica.said("every watch has brought"))
        };
        until(&format!("{name} is warm"), warm).await?;
        Ok(replica)
    }

    async fn leases(&self) -> Result<Api<Lease>> {
        Ok(Api::namespaced(self.bed.client().await?, "cafe-system"))
    }

    /// Waits until this replica holds the lease.
    pub(crate) async fn until_led_by(&self, name: &str) -> Result<()> {
        let leases = self.leases().await?;
        let held = || async {
            let lease = leases.get_opt(LEASE).await?;
            Ok(lease.and_then(|l| l.spec?.holder_identity).as_deref() == Some(name))
        };
        until(&format!("{name} holds the lease"), held).await
    }

    /// The entries of the audit log up to now.
    pub(crate) async fn entries(&self, log: &mut Reader) -> Result<Vec<Entry>> {
        // The question for something that is not there marks the end.
        let mark = "leadership-mark";
        let maps: Api<ConfigMap> = Api::namespaced(self.bed.client().await?, "default");
        maps.get_opt(mark).await?;
        let mut entries = Vec::new();
        while !entries.iter().any(|entry: &Entry| entry.name == mark) {
            entries.extend(log.entries()?);
            tokio::time::sleep(POLL).await;
        }
        Ok(entries)
    }
}

impl Replica {
    /// Freezes it where it is.
    pub(crate) fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on as if no time had passed.
    pub(crate) fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Asks it to end, as a kubelet does.
    pub(crate) fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Kills it in the middle of whatever it does, and returns when it is gone.
    pub(crate) fn kill(&self) -> Result<()> {
        self.bed.stop(&self.name, Duration::ZERO)
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn until_ended(&self) -> Result<()> {
        until(&format!("{} has ended", self.name), || async { Ok(self.bed.pid(&self.name).is_none()) }).await
    }

    /// Whether its log has a line with this text.
    pub(crate) fn said(&self, text: &str) -> bool {
        self.log().lines().any(|line| line.contains(text))
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.bed.log(&self.name)).unwrap_or_default()
    }

    /// Whether a request is its own: it tells the API server which replica it is.
    pub(crate) fn sent(&self, entry: &Entry) -> bool {
        entry.user_agent.ends_with(&format!(" ({})", self.name))
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.bed.pid(&self.name).with_context(|| format!("{} does not run", self.name))?;
        let pid = Pid::from_raw(i32::try_from(pid)?).context("a pid")?;
        kill_process_group(pid, signal).with_context(|| format!("cannot send {signal:?} to {}", self.name))
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// A command that runs what follows in a time namespace of its own. Only root may make one, or who may make user namespaces.
fn days_ahead() -> Result<Command> {
    let shifted = |as_root: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(as_root).args(["--time", "--monotonic", "400000", "--boottime", "400000"]);
        command
    };
    for as_root in [&[][..], &["--user", "--map-root-user"]] {
        if shifted(as_root).arg("true").output().is_ok_and(|output| output.status.success()) {
            return Ok(shifted(as_root));
        }
    }
    bail!(
        "this test needs time namespaces, and neither `unshare --time true` nor `unshare --user --map-root-user --time true` works here: \
         install util-linux 2.36 or later on Linux 5.6 or later and run the tests as root, or allow user namespaces (sysctl \
         user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns=0; in a container, a seccomp profile that lets unshare pass)"
    )
}

async fn until<F: Future<Output = Result<bool>>>(what: &str, holds: impl Fn() -> F) -> Result<()> {
    let wait = async {
        while !holds().await? {
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    };
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(held) => held,
        Err(_) => bail!("not within {} s: {what}", PATIENCE.as_secs()),
    }
}

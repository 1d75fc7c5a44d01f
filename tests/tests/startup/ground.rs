//! Starts the real programs with settings that do not work, and looks at how they end.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cafe_tests::bed::{Bed, Options, controller};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

const PATIENCE: Duration = Duration::from_secs(120);

/// The programs, by the arguments that make them work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Controller,
    Webhook,
}

pub(crate) const BOTH: [Program; 2] = [Program::Controller, Program::Webhook];

static BINARIES: OnceCell<[PathBuf; 2]> = OnceCell::const_new();
static READY: OnceCell<&'static Bed> = OnceCell::const_new();
static TURN: Mutex<()> = Mutex::const_new(());

/// How a program ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
}

impl Program {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Controller => "cafe-controller",
            Self::Webhook => "cafe-webhook",
        }
    }

    /// Its command line up to the verb, on free ports.
    pub(crate) async fn command(self) -> Result<Command> {
        let build = || async {
            tokio::task::spawn_blocking(|| {
                let webhook = || {
                    let mut cargo = controller::cargo();
                    cargo.arg("build");
                    controller::build_program(cargo, "cafe-webhook")
                };
                anyhow::Ok([controller::build(false)?, webhook()?])
            })
            .await?
        };
        let [controller, webhook] = BINARIES.get_or_try_init(build).await?;
        let mut command = match self {
            Self::Controller => Command::new(controller),
            Self::Webhook => Command::new(webhook),
        };
        command
            .env_remove("KUBECONFIG")
            .env_remove("RUST_BACKTRACE")
            .env("HOME", "/nonexistent")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .arg(match self {
                Self::Controller => "run",
                Self::Webhook => "serve",
            });
        Ok(command)
    }

    /// As [`Program::command`], with a kubeconfig and free ports.
    pub(crate) async fn with(self, kubeconfig: &Path) -> Result<Command> {
        let mut command = self.command().await?;
        command.arg("--kubeconfig").arg(kubeconfig).args(["--admin-address", "127.0.0.1:0"]);
        if self == Self::Webhook {
            command.args(["--address", "127.0.0.1:0"]);
        }
        Ok(command)
    }
}

/// Waits until it has ended.
pub(crate) async fn end(mut command: Command) -> Result<End> {
    let output = tokio::time::timeout(PATIENCE, command.output()).await.context("it does not end")??;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(End { code: output.status.code(), said })
}

/// A running program with its log in a file.
pub(crate) struct Running {
    child: tokio::process::Child,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let log = folder.path().join("log");
        let child = command.stderr(std::fs::File::create(&log)?).spawn()?;
        Ok(Self { child, log, _folder: folder })
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Tells it to stop, as the kubelet does.
    pub(crate) fn terminate(&self) -> Result<()> {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())).context("it has ended")?;
        kill_process(pid, Signal::TERM).context("cannot send SIGTERM")
    }

    /// Waits until it has ended; none where a signal ended it.
    pub(crate) async fn code(&mut self) -> Result<Option<i32>> {
        Ok(tokio::time::timeout(PATIENCE, self.child.wait()).await.context("it does not end")??.code())
    }

    /// Waits for a line with this text, and returns it.
    pub(crate) async fn until_said(&mut self, text: &str) -> Result<Value> {
        let wait = async {
            loop {
                if let Some(line) = self.log().lines().find(|line| line.contains(text)) {
                    return serde_json::from_str(line).with_context(|| format!("no JSON: {line}"));
                }
                if let Some(status) = self.child.try_wait()? {
                    bail!("it has ended ({status}) without {text:?}:\n{}", self.log());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(found) => found,
            Err(_) => bail!("it does not say {text:?}"),
        }
    }
}

/// A bed without programs of Cafe. The tests that use it take turns: some change what is in the cluster.
pub(crate) async fn bed() -> Result<(&'static Bed, MutexGuard<'static, ()>)> {
    let turn = TURN.lock().await;
    let make = || async {
        let bed = Bed::shared().await?;
        let cells = ["CellA", "CellB"].map(String::from).to_vec();
        bed.up(&Options { cells, nodes: 1, ..Options::default() }).await?;
        anyhow::Ok(bed)
    };
    Ok((READY.get_or_try_init(make).await.copied()?, turn))
}

/// The admin's kubeconfig with one thing changed, as a file beside it.
pub(crate) fn altered(bed: &Bed, name: &str, change: impl Fn(&mut Value)) -> Result<PathBuf> {
    let mut config: Value = serde_json::from_slice(&std::fs::read(bed.kubeconfig())?)?;
    change(&mut config);
    let path = bed.dir().join(name);
    std::fs::write(&path, config.to_string())?;
    Ok(path)
}

/// A port that somebody else has taken.
pub(crate) fn taken_port() -> Result<(TcpListener, String)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    Ok((listener, address))
}

/// Gives an account of this namespace these rights in it.
pub(crate) async fn grant(
    bed: &Bed,
    namespace: &str,
    account: &str,
    role: &str,
    rules: &Value,
) -> Result<()> {
    let meta = json!({ "name": role, "namespace": namespace });
    let api = "rbac.authorization.k8s.io";
    let role = json!({ "apiVersion": format!("{api}/v1"), "kind": "Role", "metadata": meta, "rules": rules });
    let binding = json!({
        "apiVersion": format!("{api}/v1"), "kind": "RoleBinding", "metadata": meta,
        "roleRef": { "apiGroup": api, "kind": "Role", "name": meta["name"] },
        "subjects": [{ "kind": "ServiceAccount", "name": account, "namespace": namespace }],
    });
    bed.apply(&role.to_string(), None).await?;
    bed.apply(&binding.to_string(), None).await
}

/// Rules of the controller, as the chart gives them.
pub(crate) fn rules(file: &str) -> Result<Value> {
    let path = format!("{}/../charts/cafe/files/rules/{file}.yaml", env!("CARGO_MANIFEST_DIR"));
    Ok(serde_saphyr::from_str(&std::fs::read_to_string(path)?)?)
}

/// A service account without rights.
pub(crate) fn account(namespace: &str, name: &str) -> String {
    json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name, "namespace": namespace } }).to_string()
}

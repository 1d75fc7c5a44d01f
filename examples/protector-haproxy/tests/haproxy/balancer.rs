//! A HAProxy of a test, with the configuration of the example.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use cafe_tests::child::Child;
use tempfile::TempDir;
use tokio::net::UnixStream;

use crate::PROTECTOR;

const CONFIGURATION: &str = include_str!("../../haproxy.cfg");
const SOCKET: &str = "/run/haproxy/admin.sock";

pub(crate) struct Balancer {
    folder: TempDir,
    front: SocketAddr,
    process: Option<Child>,
}

impl Balancer {
    pub(crate) async fn start() -> Self {
        let installed =
            std::process::Command::new("sh").args(["-c", &in_path("haproxy -v")]).output().unwrap();
        assert!(installed.status.success(), "haproxy is not installed: run `apt-get install haproxy`");
        let folder = tempfile::tempdir().unwrap();
        let front = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut balancer = Self { folder, front, process: None };
        let configuration = CONFIGURATION
            .replace(SOCKET, &balancer.socket().display().to_string())
            .replace("bind :8000", &format!("bind {front}"));
        assert!(configuration.contains(&front.to_string()) && !configuration.contains(SOCKET));
        std::fs::write(balancer.file("haproxy.cfg"), configuration).unwrap();
        balancer.restart().await;
        balancer
    }

    /// Kills HAProxy and starts it again, with an empty table.
    pub(crate) async fn restart(&mut self) {
        self.process = None;
        std::fs::remove_file(self.socket()).ok();
        let command = in_path(&format!("exec haproxy -db -f {}", self.file("haproxy.cfg").display()));
        self.process = Some(Child::start(&command, &[], &self.file("haproxy.log")).unwrap());
        let answers = async {
            while UnixStream::connect(self.socket()).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let log = || std::fs::read_to_string(self.file("haproxy.log")).unwrap_or_default();
        assert!(tokio::time::timeout(Duration::from_secs(20), answers).await.is_ok(), "{}", log());
    }

    /// Where it takes requests.
    pub(crate) fn front(&self) -> SocketAddr {
        self.front
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.file("admin.sock")
    }

    /// The command line that runs the protector.
    pub(crate) fn protect(&self) -> String {
        format!("{PROTECTOR} run --socket {}", self.socket().display())
    }

    /// The command line that prints the table.
    pub(crate) fn table(&self) -> String {
        format!("{PROTECTOR} table --socket {}", self.socket().display())
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Debian keeps it where only root's PATH leads.
fn in_path(command: &str) -> String {
    format!("PATH=$PATH:/usr/sbin; {command}")
}

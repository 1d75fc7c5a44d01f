//! HAProxy's runtime API: commands on a socket, one at a time, each with its answer. A process that is killed leaves at
//! most one command on its way, and none of them routes to a server that is not in the table.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// HAProxy answers within a millisecond, or it is in trouble.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bits of `srv_admin_state` that stand for maintenance, as opposed to drain.
const MAINTENANCE: u32 = 0x01 | 0x02 | 0x04 | 0x20;
/// Bits of `srv_admin_state` that stand for drain.
const DRAIN: u32 = 0x08 | 0x10;
/// `srv_op_state` of a server that is up.
const RUNNING: &str = "2";
/// `srv_check_result` after a check that was passed.
const PASSED: &str = "3";

/// What is wrong with HAProxy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HaProxyError {
    #[error("cannot reach HAProxy at {socket}: is it running, with `stats socket {socket} level admin`?")]
    Unreachable { socket: String, source: std::io::Error },
    #[error("HAProxy does not answer `{command}` within {TIMEOUT:?}")]
    Silent { command: String },
    #[error("HAProxy refuses `{command}`: {answer}")]
    Refused { command: String, answer: String },
}

type Result<T> = std::result::Result<T, HaProxyError>;

/// A server of the backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    state: State,
    is_healthy: bool,
}

/// What HAProxy does with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No new requests, no checks.
    Maintenance,
    /// No new requests; checked.
    Drain,
    /// Gets requests while it is healthy.
    Ready,
}

/// One backend of a running HAProxy.
#[derive(Debug)]
pub(crate) struct HaProxy {
    socket: PathBuf,
    backend: String,
    /// Words of a `server` line.
    settings: String,
}

impl HaProxy {
    pub(crate) fn new(socket: PathBuf, backend: String, settings: String) -> Self {
        Self { socket, backend, settings }
    }

    /// Goes one step towards a server that gets requests; true when there is nothing left to do. It is checked before it
    /// gets its first request.
    pub(crate) async fn register(&self, name: &str, address: SocketAddr) -> Result<bool> {
        let table = self.table().await?;
        let server = table.iter().find(|server| server.name == name);
        match server {
            None => {
                let add = format!("add server {}/{name} {address} {}", self.backend, self.settings);
                self.order(&add, &["New server registered."]).await?;
                self.begin_checks(name).await?;
            }
            // The pod has got another address.
            Some(server) if server.address != address => {
                self.deregister(name).await?;
            }
            Some(server) if server.state == State::Ready => return Ok(server.is_healthy),
            Some(server) if server.state == State::Drain && server.is_healthy => {
                self.set(name, "state ready").await?;
            }
            // Not checked yet; or added by a process that was killed, or a drain that was called off.
            Some(_) => self.begin_checks(name).await?,
        }
        Ok(false)
    }

    /// Lets a server get nothing new, and takes it out once nothing is left on it; true when it is gone.
    pub(crate) async fn deregister(&self, name: &str) -> Result<bool> {
        match self
            .order(&self.about("set server", name, " state maint"), &["", "No such server."])
            .await?
            .as_str()
        {
            "" => {}
            _ => return Ok(true),
        }
        // The proof of a drain: HAProxy stops all its threads and refuses while a request or a connection is in use.
        let delete = self.about("del server", name, "");
        let answer = self.ask(&delete).await?;
        match answer.as_str() {
            "Server deleted." | "No such server." => Ok(true),
            busy if busy.contains("still has connections") => Ok(false),
            _ => Err(HaProxyError::Refused { command: delete, answer }),
        }
    }

    /// Ends the sessions of a server whose pod is dead.
    pub(crate) async fn cut(&self, name: &str) -> Result<()> {
        let cut = self.about("shutdown sessions server", name, "");
        self.order(&cut, &["", "No such server."]).await.map(|_| ())
    }

    /// The servers of the backend.
    pub(crate) async fn table(&self) -> Result<Vec<Server>> {
        let command = format!("show servers state {}", self.backend);
        let answer = self.ask(&command).await?;
        read_table(&answer).ok_or(HaProxyError::Refused { command, answer })
    }

    /// Another number after each restart of HAProxy.
    pub(crate) async fn process(&self) -> Result<String> {
        let answer = self.ask("show info").await?;
        Ok(answer.lines().filter(|line| line.starts_with("Pid:") || line.starts_with("Start_time")).collect())
    }

    /// As often as one likes.
    async fn begin_checks(&self, name: &str) -> Result<()> {
        self.order(&self.about("enable health", name, ""), &[""]).await?;
        self.set(name, "state drain").await
    }

    async fn set(&self, name: &str, what: &str) -> Result<()> {
        self.order(&self.about("set server", name, &format!(" {what}")), &[""]).await.map(|_| ())
    }

    fn about(&self, verb: &str, name: &str, rest: &str) -> String {
        format!("{verb} {}/{name}{rest}", self.backend)
    }

    /// A command that has only these good answers.
    async fn order(&self, command: &str, good: &[&str]) -> Result<String> {
        let answer = self.ask(command).await?;
        if good.contains(&answer.as_str()) {
            return Ok(answer);
        }
        Err(HaProxyError::Refused { command: command.to_owned(), answer })
    }

    async fn ask(&self, command: &str) -> Result<String> {
        let talk = async {
            let mut stream = UnixStream::connect(&self.socket).await?;
            stream.write_all(format!("{command}\n").as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok(answer.trim().to_owned())
        };
        let unreachable =
            |source| HaProxyError::Unreachable { socket: self.socket.display().to_string(), source };
        match tokio::time::timeout(TIMEOUT, talk).await {
            Ok(answer) => answer.map_err(unreachable),
            Err(_) => Err(HaProxyError::Silent { command: command.to_owned() }),
        }
    }
}

/// A line with the version, one with the names of the columns, then one line per server.
fn read_table(text: &str) -> Option<Vec<Server>> {
    let mut lines = text.lines().skip(1);
    let columns: Vec<&str> = lines.next()?.strip_prefix("# ")?.split(' ').collect();
    lines.filter(|line| !line.is_empty()).map(|line| read_server(&columns, line)).collect()
}

fn read_server(columns: &[&str], line: &str) -> Option<Server> {
    let values: Vec<&str> = line.split(' ').collect();
    let value = |name| values.get(columns.iter().position(|column| *column == name)?).copied();
    let admin: u32 = value("srv_admin_state")?.parse().ok()?;
    let state = match admin {
        admin if admin & MAINTENANCE != 0 => State::Maintenance,
        admin if admin & DRAIN != 0 => State::Drain,
        _ => State::Ready,
    };
    let ip: IpAddr = value("srv_addr")?.parse().ok()?;
    Some(Server {
        name: value("srv_name")?.to_owned(),
        address: SocketAddr::new(ip, value("srv_port")?.parse().ok()?),
        state,
        is_healthy: value("srv_op_state")? == RUNNING && value("srv_check_result")? == PASSED,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_check_result srv_port\n\
        3 web 1 a 10.0.0.1 2 8 3 8080\n3 web 2 b fd00::2 2 0 3 8080\n3 web 3 c 10.0.0.3 0 1 0 8080\n";

    #[test]
    fn a_table_is_read_by_the_names_of_its_columns() {
        let table = read_table(TABLE).unwrap();
        let seen: Vec<_> = table.iter().map(|s| (s.name.as_str(), s.state, s.is_healthy)).collect();
        assert_eq!(
            seen,
            [("a", State::Drain, true), ("b", State::Ready, true), ("c", State::Maintenance, false)]
        );
        assert_eq!(table[1].address.to_string(), "[fd00::2]:8080");
    }

    #[test]
    fn what_is_no_table_is_not_taken_for_an_empty_one() {
        assert_eq!(read_table("Can't find backend."), None);
        assert_eq!(read_table(""), None);
    }
}

//! The API server's audit log: who asked for what, and what came of it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Deserialize;

const POLL: Duration = Duration::from_millis(20);

/// One request, as far as tests look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The authenticated user, e.g. `system:serviceaccount:cafe-system:cafe-controller`.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// API group, empty for the core group.
    pub group: String,
    /// Plural name of the resource; empty for requests like `/readyz`.
    pub resource: String,
    /// `status`, `scale`, ...; empty for the object itself.
    pub subresource: String,
    /// Empty for what has none.
    pub namespace: String,
    /// Empty for lists, and for objects whose name the server makes up.
    pub name: String,
    /// HTTP status of the answer.
    pub code: u16,
    /// Path and query.
    pub uri: String,
    /// What the client calls itself.
    pub user_agent: String,
    /// `ResponseComplete`; `ResponseStarted` for the beginning of a watch; `Panic`.
    pub stage: String,
    /// When the server received the request.
    pub received: Timestamp,
    /// When the server wrote this entry: the end of the request, or the beginning of a watch.
    pub answered: Timestamp,
}

impl Entry {
    /// Whether the request changed something, or tried to.
    #[must_use]
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

/// Reads a log that is still being written, from where it stopped the last time.
#[derive(Clone, Debug)]
pub struct Reader {
    file: PathBuf,
    offset: u64,
    /// The offset may stand within a line: what is left of it is skipped.
    midway: bool,
}

impl Reader {
    pub(super) fn new(file: PathBuf) -> Self {
        Self { file, offset: 0, midway: false }
    }

    /// Forgets everything written so far.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn skip(&mut self) -> Result<()> {
        self.entries().map(drop)
    }

    /// The same log without what has been written so far, which is not even read.
    ///
    /// # Errors
    /// When the log cannot be looked at.
    pub fn at_end(mut self) -> Result<Self> {
        match std::fs::metadata(&self.file) {
            Ok(log) => (self.offset, self.midway) = (log.len(), log.len() > 0),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", self.file.display())),
        }
        Ok(self)
    }

    /// The entries written since the last call. A line that is not complete yet is left for the next call.
    ///
    /// # Errors
    /// When the log cannot be read, or a complete line is no audit event.
    pub fn entries(&mut self) -> Result<Vec<Entry>> {
        self.lines()?.iter().map(|line| parse(line)).collect()
    }

    /// The lines written since the last call, as they are. A line that is not complete yet is left for the next call.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn lines(&mut self) -> Result<Vec<Vec<u8>>> {
        let mut text = Vec::new();
        match File::open(&self.file) {
            Ok(mut file) => {
                file.seek(SeekFrom::Start(self.offset))?;
                file.read_to_end(&mut text)?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", self.file.display())),
        }
        let complete = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        self.offset += complete as u64;
        let lines = text.get(..complete).unwrap_or_default().split(|byte| *byte == b'\n');
        let skipped = usize::from(self.midway && complete > 0);
        self.midway &= complete == 0;
        Ok(lines.skip(skipped).filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect())
    }
}

impl super::Bed {
    /// The entries of `log` up to now: asks for something that does not exist, named `mark`, and reads until the question
    /// stands in the log, which is written in batches. Each call of a bed needs another mark.
    ///
    /// # Errors
    /// When the log cannot be read, or the API server has ended.
    pub async fn entries_until_now(&self, log: &mut Reader, mark: &str) -> Result<Vec<Entry>> {
        let marks: kube::Api<k8s_openapi::api::core::v1::ConfigMap> =
            kube::Api::namespaced(self.client().await?, "default");
        marks.get_opt(mark).await?;
        let mut entries = Vec::new();
        while !entries.iter().any(|entry: &Entry| entry.resource == "configmaps" && entry.name == mark) {
            entries.extend(log.entries()?);
            self.check(super::control_plane::APISERVER)?;
            tokio::time::sleep(POLL).await;
        }
        Ok(entries)
    }
}

fn parse(line: &[u8]) -> Result<Entry> {
    let event: Event = serde_json::from_slice(line)
        .with_context(|| format!("no audit event: {}", String::from_utf8_lossy(line)))?;
    let object = event.object_ref.unwrap_or_default();
    Ok(Entry {
        user: event.user.username,
        verb: event.verb,
        group: object.api_group,
        resource: object.resource,
        subresource: object.subresource,
        namespace: object.namespace,
        name: object.name,
        code: event.response_status.unwrap_or_default().code,
        uri: event.request_uri,
        user_agent: event.user_agent,
        stage: event.stage,
        received: event.request_received_timestamp,
        answered: event.stage_timestamp,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage: String,
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    user: User,
    object_ref: Option<ObjectRef>,
    response_status: Option<ResponseStatus>,
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
}

#[derive(Default, Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResponseStatus {
    code: u16,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::io::Write;

    use super::*;

    const LINE: &str = r#"{"kind":"Event","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/a/pods/p/status","verb":"patch","user":{"username":"u"},"objectRef":{"resource":"pods","namespace":"a","name":"p","subresource":"status"},"responseStatus":{"metadata":{},"code":409},"requestReceivedTimestamp":"2026-01-01T00:00:00.000000Z","stageTimestamp":"2026-01-01T00:00:00.004000Z"}"#;

    #[test]
    fn a_half_written_line_is_read_once_it_is_whole() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut reader = Reader::new(file.path().to_owned());
        let (first, rest) = LINE.split_at(100);
        write!(file, "{LINE}\n{first}").unwrap();
        assert_eq!(reader.entries().unwrap().len(), 1);
        assert_eq!(reader.entries().unwrap().len(), 0);
        writeln!(file, "{rest}").unwrap();
        let entries = reader.entries().unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(
            (entries[0].subresource.as_str(), entries[0].code, entries[0].is_write()),
            ("status", 409, true)
        );
    }
}

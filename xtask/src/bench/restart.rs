//! What a controller that was killed tells of its next start.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Deserialize;

/// What it says when it knows everything, and when a write of its engine was answered.
const SYNCED: &str = "every watch has brought its first complete list";
const WRITTEN: &str = "applied";

/// Seconds from the start of the process.
#[derive(Debug, PartialEq)]
pub(crate) struct Restart {
    /// Until it knew every object.
    pub(crate) synced: f64,
    /// Until its first write was answered.
    pub(crate) written: f64,
}

/// A line of its log.
#[derive(Deserialize)]
struct Line {
    ts: Timestamp,
    msg: String,
}

impl Restart {
    /// Reads it from the log, of which `before` bytes were there when the process began.
    pub(crate) fn read(log: &Path, before: u64, began: Timestamp) -> Result<Self> {
        let mut file = File::open(log)?;
        file.seek(SeekFrom::Start(before))?;
        let lines: Vec<String> = BufReader::new(file).lines().collect::<std::io::Result<_>>()?;
        Self::told(&lines, began)
    }

    fn told(lines: &[String], began: Timestamp) -> Result<Self> {
        let lines: Vec<Line> = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let after = |what: &str| {
            let line = lines.iter().find(|line| line.msg == what);
            let line = line.with_context(|| format!("the log of the controller does not tell: {what}"))?;
            anyhow::Ok(line.ts.duration_since(began).as_secs_f64())
        };
        Ok(Self { synced: after(SYNCED)?, written: after(WRITTEN)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_complete_list_and_the_first_write_are_found_among_other_lines() {
        let line = |ms: u32, msg: &str| {
            format!(r#"{{"ts":"2026-01-01T00:00:00.{ms:03}Z","level":"info","msg":"{msg}"}}"#)
        };
        let lines = [
            line(90, "starting"),
            "no line of a log".into(),
            line(250, SYNCED),
            line(400, WRITTEN),
            line(500, WRITTEN),
        ];
        let began = "2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(Restart::told(&lines, began).unwrap(), Restart { synced: 0.25, written: 0.4 });
        assert!(Restart::told(&lines[..3], began).is_err());
    }
}

//! What a process has used, by the kernel's account.

use anyhow::{Context, Result};

/// Clock ticks per second in /proc, on every Linux there is.
const TICKS: f64 = 100.0;

/// CPU seconds that the process has used, in steps of 10 ms.
///
/// # Errors
/// When there is no such process.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name of the program may have blanks in it, and ends with the last bracket.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    let ticks = |at: usize| -> Result<f64> { Ok(fields.get(at).context("no such field")?.parse()?) };
    Ok((ticks(11)? + ticks(12)?) / TICKS)
}

/// Memory that the process has in use, in MiB.
///
/// # Errors
/// When there is no such process.
pub fn rss_mib(pid: u32) -> Result<f64> {
    memory_mib(pid, "VmRSS")
}

/// The most memory that the process has had in use, in MiB.
///
/// # Errors
/// When there is no such process.
pub fn peak_rss_mib(pid: u32) -> Result<f64> {
    memory_mib(pid, "VmHWM")
}

fn memory_mib(pid: u32, field: &str) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.split_whitespace().next()).context("no such field")?;
    Ok(kib.parse::<f64>()? / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_its_own_figures() -> Result<()> {
        let pid = std::process::id();
        assert!(cpu_seconds(pid)? >= 0.0 && peak_rss_mib(pid)? >= rss_mib(pid)?);
        Ok(())
    }
}

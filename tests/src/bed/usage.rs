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

/// What the processors of this machine have done since it started, in clock ticks.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    used: f64,
    idle: f64,
}

/// The account of all processors together.
///
/// # Errors
/// When the kernel tells something else than it does.
pub fn machine() -> Result<Machine> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let line = stat
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("cpu "))
        .context("no line of all processors")?;
    let ticks = line.split_whitespace().map(str::parse).collect::<Result<Vec<f64>, _>>()?;
    // user, nice, system, idle, iowait, irq, softirq, steal; what guests use is counted as user already.
    let [user, nice, system, idle, waiting, irq, softirq, steal, ..] = *ticks else {
        anyhow::bail!("{line:?} has fewer fields than it should")
    };
    Ok(Machine { used: user + nice + system + irq + softirq + steal, idle: idle + waiting })
}

impl Machine {
    /// The share of all processors that was in use since then, from 0 to 1.
    #[must_use]
    pub fn busy_since(self, then: Self) -> f64 {
        let (used, idle) = (self.used - then.used, self.idle - then.idle);
        used / (used + idle).max(1.0)
    }
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
        // In this order: what other tests take meanwhile counts for the peak as well.
        let rss = rss_mib(pid)?;
        assert!(cpu_seconds(pid)? >= 0.0 && peak_rss_mib(pid)? >= rss);
        Ok(())
    }

    #[test]
    fn a_machine_is_between_idle_and_busy() -> Result<()> {
        let then = machine()?;
        let share = machine()?.busy_since(then);
        assert!((0.0..=1.0).contains(&share), "{share}");
        let later = Machine { used: then.used + 30.0, idle: then.idle + 10.0 };
        assert!((later.busy_since(then) - 0.75).abs() < 1e-9);
        Ok(())
    }
}

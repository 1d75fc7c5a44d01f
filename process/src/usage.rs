//! The metrics `process_*`: what every Prometheus client tells of its process, from `/proc/self`, read at each scrape. Nothing where there is
//! no `/proc`.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

/// Ticks of a second in `/proc`, whatever the kernel's own clock does: part of Linux' binary interface.
const TICKS: f64 = 100.0;

/// The process that answers the scrape.
#[derive(Debug)]
struct Process;

/// The metrics of this process. Their names have no prefix, so they stand in a registry of their own.
#[must_use]
pub fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Process));
    registry
}

impl Collector for Process {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        let (stat, status) = (read("/proc/self/stat"), read("/proc/self/status"));
        let (user, system) = (stat_field(&stat, 14), stat_field(&stat, 15));
        if let Some((user, system)) = user.zip(system) {
            let none: Option<&Exemplar<[(&str, &str); 0], f64>> = None;
            let help = "Seconds of CPU, in the kernel or not, that the process has used";
            let mut metric = to.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
            metric.encode_counter(&((user + system) / TICKS), none)?;
        }
        let boot = read("/proc/stat").lines().find_map(|line| number(line.strip_prefix("btime ")?));
        let kib = |key| status_field(&status, key).map(|n| n * 1024.0);
        let gauges = [
            ("process_resident_memory_bytes", "Memory that the process has in RAM", kib("VmRSS:")),
            ("process_virtual_memory_bytes", "Address space of the process", kib("VmSize:")),
            ("process_threads", "Threads of the process", status_field(&status, "Threads:")),
            ("process_open_fds", "File descriptors that the process has open", open_files()),
            ("process_max_fds", "File descriptors that the process may have open", most_files()),
            (
                "process_start_time_seconds",
                "When the process started, in seconds since 1970",
                boot.zip(stat_field(&stat, 22)).map(|(boot, ticks)| boot + ticks / TICKS),
            ),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                to.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)?;
            }
        }
        Ok(())
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

/// A field of `/proc/self/stat`, counted from 1; the second, a name in brackets, may hold anything.
fn stat_field(stat: &str, field: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    number(rest.split_whitespace().nth(field.checked_sub(3)?)?)
}

fn status_field(status: &str, key: &str) -> Option<f64> {
    status.lines().find_map(|line| number(line.strip_prefix(key)?))
}

/// Without the one that lists them.
fn open_files() -> Option<f64> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    u32::try_from(open).ok().map(f64::from)
}

fn most_files() -> Option<f64> {
    read("/proc/self/limits").lines().find_map(|line| number(line.strip_prefix("Max open files")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_a_name_that_may_hold_anything() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 2 0 900 1 2";
        assert_eq!((stat_field(stat, 14), stat_field(stat, 15)), (Some(250.0), Some(50.0)));
        assert_eq!(stat_field(stat, 22), Some(900.0));
        assert_eq!(stat_field("", 14), None);
    }
}

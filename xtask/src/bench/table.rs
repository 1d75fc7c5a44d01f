//! What came out, for people.

use std::fmt::Write;

use super::report::{Figures, Report};

/// One line: what it is called in the data, for people, and how many digits matter.
const LINES: [(&str, &str, usize); 25] = [
    ("writes_per_pod", "writes of pods, per pod", 2),
    ("all_writes_per_pod", "all writes, per pod", 2),
    ("other_writes_per_pod", "writes of pods by kubelets and others, per pod", 2),
    ("conflicts_per_pod", "conflicts, per pod", 3),
    ("endpoint_slice_writes_per_pod", "EndpointSlice writes, per pod", 2),
    ("steady_writes", "writes in 60 s of nothing", 0),
    ("wall_s", "release at once, s", 2),
    ("pods_per_s", "pods per second", 0),
    ("eta_write_bound", "share of what the API server allows", 2),
    ("groups_wall_s", "release in five groups, restart 1 s, s", 2),
    ("eta_drain_bound", "share of what restarts allow", 2),
    ("most_out_of_service", "most pods out of service (five groups)", 0),
    ("rollback_s", "rolled back from a third, s", 2),
    ("restart_to_synced_s", "killed: from start until everything is known, s", 2),
    ("restart_to_first_write_s", "killed: from start to first write, s", 2),
    ("create_s", "created, s", 1),
    ("scale_out_s", "half as many more, s", 2),
    ("controller_cpu_s_per_1000", "CPU of the controller per 1,000 pods, s", 2),
    ("machine_busy", "share of the processors in use by everybody", 2),
    ("apiserver_cpu_s_per_1000", "CPU of the API server per 1,000 pods, s", 1),
    ("reaction_ms_p50", "reaction through the API server p50, ms", 1),
    ("reaction_ms_p99", "reaction through the API server p99, ms", 1),
    ("idle_mcpu", "CPU at rest, mCPU", 1),
    ("idle_rss_mib", "memory at rest, MiB", 1),
    ("peak_rss_mib", "most memory, MiB", 1),
];

/// With aligned columns.
pub(crate) fn terminal(report: &Report) -> String {
    aligned(&rows(report))
}

/// Rows of cells, the first of them a heading, with aligned columns.
pub(crate) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut cells = row.iter().zip(&widths);
        if let Some((name, width)) = cells.next() {
            let _ = write!(text, "{name:width$}");
        }
        for (cell, width) in cells {
            let _ = write!(text, "  {cell:>width$}");
        }
        text.push('\n');
    }
    text
}

/// As a table of Markdown.
pub(crate) fn markdown(report: &Report) -> String {
    let mut text = String::new();
    for (number, row) in rows(report).iter().enumerate() {
        let _ = writeln!(text, "| {} |", row.join(" | "));
        if number == 0 {
            let _ = writeln!(text, "|---|{}", "---:|".repeat(row.len() - 1));
        }
    }
    text
}

fn rows(report: &Report) -> Vec<Vec<String>> {
    let mut columns: Vec<(String, &Figures)> =
        report.runs.iter().map(|run| (run.title.to_owned(), &run.figures)).collect();
    columns.extend(report.large.as_ref().map(|(pods, figures)| (format!("Cafe, {pods} pods"), figures)));
    let mut rows = vec![heading(&columns)];
    for (name, title, digits) in LINES {
        let cell = |(_, figures): &(String, &Figures)| {
            let Some(spread) = figures.get(name) else { return "-".to_owned() };
            let median = format!("{:.digits$}", spread.median);
            if (spread.most - spread.least).abs() < 10_f64.powi(-(digits as i32)) {
                return median;
            }
            format!("{median} ({:.digits$} to {:.digits$})", spread.least, spread.most)
        };
        let mut row = vec![title.to_owned()];
        row.extend(columns.iter().map(cell));
        rows.push(row);
    }
    let speed = |(_, figures): &(String, &Figures)| {
        figures.calibration.map_or("-".to_owned(), |speed| format!("{:.0}", speed.writes_per_s))
    };
    let drift = |(_, figures): &(String, &Figures)| {
        figures.drift.map_or("-".to_owned(), |drift| {
            let percent = drift * 100.0;
            if drift > super::DRIFT { format!("{percent:.0} %: discard") } else { format!("{percent:.0} %") }
        })
    };
    rows.push(
        std::iter::once("the API server: writes/s".to_owned()).chain(columns.iter().map(speed)).collect(),
    );
    rows.push(std::iter::once("its change meanwhile".to_owned()).chain(columns.iter().map(drift)).collect());
    rows
}

fn heading(columns: &[(String, &Figures)]) -> Vec<String> {
    std::iter::once(String::new()).chain(columns.iter().map(|(title, _)| title.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::Run;

    #[test]
    fn both_tables_have_a_column_for_each_subject_and_a_dash_for_what_was_not_measured() {
        let mut figures = Figures::default();
        figures.add("wall_s", 4.0);
        figures.add("wall_s", 5.0);
        let mut report = Report::default();
        report.add(Run { name: "cafe", title: "Cafe", figures });
        report.add(Run { name: "deployment", title: "Deployment", figures: Figures::default() });
        let markdown = markdown(&report);
        assert!(markdown.starts_with("|  | Cafe | Deployment |\n|---|---:|---:|\n"), "{markdown}");
        assert!(markdown.contains("| release at once, s | 5.00 (4.00 to 5.00) | - |"), "{markdown}");
        let terminal = terminal(&report);
        let lengths: Vec<usize> = terminal.lines().map(|line| line.chars().count()).collect();
        assert!(lengths.windows(2).all(|two| two.first() == two.last()), "{terminal}");
    }
}

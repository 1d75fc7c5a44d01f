//! `cargo xtask bench growth`: how time and memory grow with the number of pods, as data and as plots.

mod plot;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use cafe_tests::bed::{controller, usage};
use serde::Serialize;
use serde_json::json;

use self::plot::{Line, Plot};
use super::course::Course;
use super::subject::Subject;
use super::{Bench, replay};

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// After this long a controller without work has settled.
const SETTLED: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(20);
/// Pods that are released together over all repeats at least, so that clock ticks do not decide: ten times 100, three times 1,000.
const RELEASED: usize = 3_000;
/// MiB that the controller may need, by number of pods.
const MEMORY_GOALS: [(f64, f64); 2] = [(10_000.0, 24.0), (100_000.0, 64.0)];

/// Release workloads of growing size on a control plane of their own, show the controller a replayed one that is larger still, and write
/// growth.json, growth-time.svg and growth-memory.svg.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Pods of the workloads that are released, separated by commas.
    #[arg(long, value_name = "COUNT", value_delimiter = ',', default_values_t = [100, 1_000, 10_000], value_parser = clap::value_parser!(u32).range(8..))]
    pods: Vec<u32>,
    /// Pods of the workload that is replayed; 0 leaves it out.
    #[arg(long, default_value_t = 100_000)]
    replayed: u32,
    /// Where to write the data and the plots.
    #[arg(long, value_name = "FOLDER", default_value = "docs/growth")]
    out: PathBuf,
}

/// The figures of one size.
#[derive(Clone, Debug, Serialize)]
struct Point {
    pods: u32,
    /// Known to the controller and nothing more.
    replayed: bool,
    #[serde(flatten)]
    figures: BTreeMap<&'static str, f64>,
}

impl Point {
    fn get(&self, name: &str) -> Option<(f64, f64)> {
        Some((f64::from(self.pods), *self.figures.get(name)?))
    }
}

/// Plays everything and removes it again.
pub(crate) fn run(args: &Args) -> Result<()> {
    let binary = controller::build(true)?;
    fs::create_dir_all(&args.out).with_context(|| format!("cannot create {}", args.out.display()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let points = runtime.block_on(async {
        let mut points = Vec::new();
        for pods in &args.pods {
            points.push(released(&binary, *pods).await?);
        }
        if args.replayed > 0 {
            points.push(replayed(&binary, args.replayed).await?);
        }
        anyhow::Ok(points)
    })?;
    tell(&points);
    write(&args.out, &points)
}

/// A workload that is created, released, left alone and then met by a new controller.
async fn released(binary: &Path, pods: u32) -> Result<Point> {
    println!("released: {pods} pods");
    let count = usize::try_from(pods)?;
    let repeats = (RELEASED / count).clamp(1, 10);
    let bench = Bench { binary: binary.to_owned(), pods: count, repeats };
    let bed = bench.bed(&Subject::Cafe, false).await?;
    let pid = || bed.controller_pid().context("the bed has no controller");
    tokio::time::sleep(SETTLED).await;
    let empty = usage::rss_mib(pid()?)?;
    let course = Course { bed: &bed, subject: &Subject::Cafe, pods: count, repeats };
    let figures = course.play_large().await?;
    bed.end_controller()?;
    let start = bed.cold_start(binary, None, PATIENCE).await?;
    tokio::time::sleep(SETTLED).await;
    let started = usage::rss_mib(pid()?)?;
    bed.down()?;
    let measured = [
        "create_s",
        "create_cpu_s",
        "wall_s",
        "controller_cpu_s_per_1000",
        "apiserver_cpu_s_per_1000",
        "machine_busy",
        "idle_mcpu",
        "idle_rss_mib",
        "peak_rss_mib",
    ];
    let mut all: BTreeMap<&'static str, f64> =
        measured.into_iter().filter_map(|name| Some((name, figures.get(name)?.median))).collect();
    all.extend([
        ("empty_rss_mib", empty),
        ("start_s", start.seconds),
        ("start_cpu_s", start.cpu_seconds),
        ("started_rss_mib", started),
    ]);
    Ok(Point { pods, replayed: false, figures: all })
}

async fn replayed(binary: &Path, pods: u32) -> Result<Point> {
    let f = replay::play(binary, replay::size(pods, false)?, IDLE).await?;
    let figures = BTreeMap::from([
        ("start_s", f.start.seconds),
        ("start_cpu_s", f.start.cpu_seconds),
        ("first_plans_cpu_s", f.first_plans_cpu_seconds),
        ("streamed_mib", f.streamed_mib),
        ("started_rss_mib", f.idle_rss_mib),
        ("peak_rss_mib", f.peak_rss_mib),
        ("idle_mcpu", f.idle_mcpu),
    ]);
    Ok(Point { pods, replayed: true, figures })
}

fn write(folder: &Path, points: &[Point]) -> Result<()> {
    let data = json!({ "points": points, "cpu_per_pod_largest_to_smallest": cpu_ratio(points) });
    for (name, text) in [
        ("growth.json", serde_json::to_string_pretty(&data)? + "\n"),
        ("growth-time.svg", time(points).svg()?),
        ("growth-memory.svg", memory(points).svg()?),
    ] {
        let file = folder.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    println!("written to {}", folder.display());
    Ok(())
}

/// CPU per pod of a release, the largest workload against the smallest.
fn cpu_ratio(points: &[Point]) -> Option<f64> {
    let costs = points.iter().filter_map(|point| point.get("controller_cpu_s_per_1000"));
    let by_size = |a: &(f64, f64), b: &(f64, f64)| a.0.total_cmp(&b.0);
    let (smallest, largest) = (costs.clone().min_by(by_size)?, costs.max_by(by_size)?);
    Some(largest.1 / smallest.1)
}

fn line(title: &'static str, points: &[Point], name: &str) -> Line {
    Line { title, points: points.iter().filter_map(|point| point.get(name)).collect(), joined: true }
}

fn time(points: &[Point]) -> Plot {
    let cpu = |point: &Point| {
        let (pods, per_1000) = point.get("controller_cpu_s_per_1000")?;
        Some((pods, per_1000 * pods / 1000.0))
    };
    Plot {
        title: "Time by number of pods",
        unit: "s",
        lines: vec![
            line("created until all serve", points, "create_s"),
            line("released", points, "wall_s"),
            Line {
                title: "CPU of the controller for a release",
                points: points.iter().filter_map(cpu).collect(),
                joined: true,
            },
            line("start of the controller until all are known", points, "start_s"),
        ],
    }
}

fn memory(points: &[Point]) -> Plot {
    let largest = points.iter().map(|point| f64::from(point.pods)).fold(0.0, f64::max);
    let goals = MEMORY_GOALS.into_iter().filter(|(pods, _)| *pods <= largest).collect();
    Plot {
        title: "Memory of the controller (RSS) by number of pods",
        unit: "MiB",
        lines: vec![
            line("at most", points, "peak_rss_mib"),
            line("at rest after a release", points, "idle_rss_mib"),
            line("at rest after a start", points, "started_rss_mib"),
            Line { title: "goal", points: goals, joined: false },
        ],
    }
}

fn tell(points: &[Point]) {
    println!();
    for Point { pods, replayed, figures } in points {
        println!("{pods} pods{}", if *replayed { ", replayed" } else { "" });
        for (name, value) in figures {
            println!("  {name:26} {value:10.2}");
        }
    }
    if let Some(ratio) = cpu_ratio(points) {
        println!(
            "CPU per pod, the largest workload against the smallest: {ratio:.2}; the goal is at most 1.2"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points() -> Vec<Point> {
        let point = |pods, replayed, figures: &[(&'static str, f64)]| Point {
            pods,
            replayed,
            figures: figures.iter().copied().collect(),
        };
        vec![
            point(100, false, &[("controller_cpu_s_per_1000", 2.0), ("wall_s", 4.0), ("idle_rss_mib", 15.0)]),
            point(
                10_000,
                false,
                &[("controller_cpu_s_per_1000", 3.0), ("wall_s", 380.0), ("idle_rss_mib", 24.0)],
            ),
            point(100_000, true, &[("start_s", 9.5), ("started_rss_mib", 61.0)]),
        ]
    }

    #[test]
    fn cpu_per_pod_is_compared_between_what_was_released() {
        assert_eq!(cpu_ratio(&points()), Some(1.5));
        assert_eq!(cpu_ratio(&[]), None);
    }

    /// What is written in a plot.
    fn texts(svg: &str) -> Vec<&str> {
        svg.split(['<', '>']).map(str::trim).collect()
    }

    #[test]
    fn plots_show_every_figure_and_nothing_that_was_not_measured() {
        let time = time(&points()).svg().unwrap();
        for label in ["released", "4", "380", "9.5", "0.2", "30"] {
            assert!(texts(&time).contains(&label), "{label} is not in {time}");
        }
        assert!(!time.contains("created until all serve"), "a line without points: {time}");
        let memory = memory(&points()).svg().unwrap();
        for label in ["goal", "64", "15", "61"] {
            assert!(texts(&memory).contains(&label), "{label} is not in {memory}");
        }
    }
}

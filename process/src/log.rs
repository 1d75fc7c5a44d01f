//! Logs: one JSON object per line in a cluster, text at a terminal, and a level that changes while the process runs.

mod level;
mod lines;
mod look;

use std::io::IsTerminal as _;

use clap::ValueEnum;
use tracing_subscriber::{
    EnvFilter, Layer as _, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _,
};

pub use level::{Level, routes};
pub use look::{Entered, Look};

/// How a process logs.
#[derive(Debug, Clone, clap::Args)]
pub struct LogArgs {
    /// Format of the log lines on standard error.
    #[arg(long, env = "CAFE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,

    /// What is logged, e.g. `info` or `info,cafe_controller=debug`. `PUT /loglevel` on the admin port changes it at run time.
    #[arg(long, env = "RUST_LOG", value_name = "FILTER", default_value = "info")]
    pub log_filter: String,
}

/// Format of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line, with the keys `ts`, `level` and `msg`; `controller` and `reconcile_id` where a look at an object says it.
    Json,
    /// For people at a terminal.
    Text,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter cannot be read.
    #[error("--log-filter {filter:?}: {why}; an example: info,cafe_controller=debug")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        why: String,
    },
    /// Something else in this process logs already.
    #[error("cannot start the log")]
    Start(#[from] tracing_subscriber::util::TryInitError),
}

/// Starts the log of this process, on standard error.
///
/// # Errors
/// The filter cannot be read.
pub fn start(args: &LogArgs) -> Result<Level, LogError> {
    let filter = read(&args.log_filter)?;
    let (filter, handle) = reload::Layer::new(filter);
    let format = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let format = match args.log_format {
        LogFormat::Json => format.with_ansi(false).event_format(lines::Lines).boxed(),
        LogFormat::Text => format.with_ansi(std::io::stderr().is_terminal()).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(format).try_init()?;
    Ok(Level::new(&args.log_filter, move |filter| handle.reload(filter).is_ok()))
}

fn read(filter: &str) -> Result<EnvFilter, LogError> {
    let bad = |why: String| LogError::Filter { filter: filter.to_owned(), why };
    // A word that is no level is taken for the name of a module, which logs nothing at all.
    let is_no_level = |part: &str| {
        let is_word = !part.contains(['=', '[', ':', '_']);
        part.is_empty() || is_word && part.parse::<tracing::level_filters::LevelFilter>().is_err()
    };
    if let Some(part) = filter.split(',').map(str::trim).find(|part| is_no_level(part)) {
        return Err(bad(format!("{part:?} is no level: error, warn, info, debug, trace or off")));
    }
    EnvFilter::try_new(filter).map_err(|error| bad(error.to_string()))
}

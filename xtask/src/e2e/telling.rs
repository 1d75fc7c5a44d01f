//! How the run speaks: aligned lines with the time since its start, and one line that moves where somebody watches.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::Instant;

/// Writes to standard output.
pub(super) struct Telling {
    start: Instant,
    is_terminal: bool,
    moving: Mutex<bool>,
}

impl Telling {
    /// The clock starts here.
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            is_terminal: std::io::stdout().is_terminal(),
            moving: Mutex::new(false),
        }
    }

    /// Seconds since the start.
    pub(super) fn elapsed(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// The heading of a part.
    pub(super) fn chapter(&self, text: &str) {
        let shown =
            if self.is_terminal { format!("\n\u{1b}[1m== {text}\u{1b}[0m") } else { format!("\n== {text}") };
        self.text(&shown);
    }

    /// One thing that happened: when, to whom, what.
    pub(super) fn line(&self, who: &str, what: &str) {
        self.text(&format!("{:>6.1} s  {who:<16}  {what}", self.elapsed()));
    }

    /// A line as it is.
    pub(super) fn text(&self, text: &str) {
        self.put(text, false);
    }

    /// How far it has come: overwritten by the next line on a terminal, left out elsewhere.
    pub(super) fn progress(&self, text: &str) {
        if self.is_terminal {
            self.put(&format!("{:>6.1} s  {text}", self.elapsed()), true);
        }
    }

    fn put(&self, text: &str, moves: bool) {
        let Ok(mut moving) = self.moving.lock() else { return };
        let mut out = std::io::stdout();
        // A reader that goes away does not stop the run, so that it can clean up.
        let clear = if *moving { "\r\u{1b}[2K" } else { "" };
        let end = if moves { "" } else { "\n" };
        write!(out, "{clear}{text}{end}").and_then(|()| out.flush()).ok();
        *moving = moves;
    }
}

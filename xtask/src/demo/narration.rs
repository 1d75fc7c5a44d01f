//! How the demo speaks: aligned lines with the time since its start, colours only for eyes.

use std::io::{IsTerminal, Write};
use std::time::Instant;

/// What a line means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// Something happens.
    Plain,
    /// Something is done.
    Good,
    /// Somebody has to act.
    Waiting,
    /// A pod leaves the traffic.
    Out,
    /// Something is wrong.
    Bad,
}

impl Tone {
    fn colour(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Good => "32",
            Self::Waiting => "1;36",
            Self::Out => "33",
            Self::Bad => "1;31",
        }
    }
}

/// Writes to standard output. A reader that goes away (`| head`) does not stop the demo, so that it can clean up.
pub(super) struct Narrator {
    start: Instant,
    colours: bool,
}

impl Narrator {
    /// The clock starts here.
    pub(super) fn new() -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { start: Instant::now(), colours: std::io::stdout().is_terminal() && !plain }
    }

    /// Seconds since the start.
    pub(super) fn elapsed(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// The heading of a part.
    pub(super) fn chapter(&self, text: &str) {
        self.text("");
        self.text(&self.painted(&format!("== {text}"), "1"));
    }

    /// One thing that happened: when, to whom, what.
    pub(super) fn line(&self, who: &str, what: &str, tone: Tone) {
        let line = format!("{:>6.1} s  {who:<16}  {what}", self.elapsed());
        self.text(&if tone == Tone::Plain { line } else { self.painted(&line, tone.colour()) });
    }

    /// A command as a person would type it.
    pub(super) fn command(&self, command: &str) {
        self.text(&self.painted(&format!("$ {command}"), "1"));
    }

    /// What a command printed.
    pub(super) fn output(&self, output: &str) {
        output.lines().for_each(|line| self.text(&format!("  {}", line.trim_end())));
    }

    /// A word beside the story.
    pub(super) fn aside(&self, text: &str) {
        self.text(&self.painted(text, "2"));
    }

    /// A line as it is.
    pub(super) fn text(&self, text: &str) {
        writeln!(std::io::stdout(), "{text}").ok();
    }

    /// A question, without a line break.
    pub(super) fn question(&self, text: &str) {
        let mut out = std::io::stdout();
        write!(out, "{text}").and_then(|()| out.flush()).ok();
    }

    fn painted(&self, text: &str, colour: &str) -> String {
        if self.colours { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

//! `cargo xtask check`: everything that is checked without running the product.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// What the planner may not depend on, however indirectly: it decides, it does not act.
const IMPURE_CRATES: [&str; 8] =
    ["getrandom", "hyper", "kube-client", "kube-runtime", "rand", "reqwest", "tokio", "tower"];

/// What the planner's source may not mention: the world outside its snapshot, and maps without an order.
const IMPURE_WORDS: [&str; 16] = [
    "HashMap",
    "HashSet",
    "Instant",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "async",
    "kube::Api",
    "kube::Client",
    "rand",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "thread_local",
];

/// Check everything that needs no running product: format, lints, docs, dependencies, generated files, purity.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// One check: a line with its duration, and on failure its output and how to repeat it.
struct Step {
    name: &'static str,
    repeat: &'static str,
    run: fn(&Self, &Path) -> Result<()>,
}

const STEPS: [Step; 8] = [
    Step { name: "format", repeat: "cargo fmt --all --check -- --files-with-diff", run: Step::command },
    Step {
        name: "lints",
        repeat: "cargo clippy --workspace --all-targets --locked -- -D warnings",
        run: Step::command,
    },
    Step {
        name: "docs",
        repeat: "RUSTDOCFLAGS=-Dwarnings cargo doc --no-deps --workspace --locked --document-private-items",
        run: Step::command,
    },
    Step {
        name: "dependencies",
        repeat: "cargo deny --locked check bans licenses sources",
        run: |step, root| {
            require_deny()?;
            step.command(root)
        },
    },
    Step {
        name: "generated files",
        repeat: "cargo xtask gen --check",
        run: |_, root| crate::r#gen::check(root),
    },
    // A build of the workspace unifies features and would hide a leak.
    Step { name: "planner alone", repeat: "cargo check -p cafe-planner --locked", run: Step::command },
    Step {
        name: "planner's dependencies",
        repeat: "cargo tree -p cafe-planner -e normal --prefix none --locked",
        run: |step, root| pure_dependencies(&step.output(root)?),
    },
    Step {
        name: "planner's source",
        repeat: "cargo xtask check",
        run: |_, root| pure_sources(&root.join("controller/planner/src")),
    },
];

/// Runs every check, also after one has failed.
pub(crate) fn run(_: &Args) -> Result<()> {
    let root = workspace();
    let failed: Vec<&Step> = STEPS.iter().filter(|step| !step.passes(&root)).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let again: Vec<String> = failed.iter().map(|step| format!("  {}: {}", step.name, step.repeat)).collect();
    bail!("{} of {} checks failed; repeat with\n{}", failed.len(), STEPS.len(), again.join("\n"))
}

/// The root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

impl Step {
    fn passes(&self, root: &Path) -> bool {
        print!("{:<24}", self.name);
        std::io::stdout().flush().ok();
        let start = Instant::now();
        let result = (self.run)(self, root);
        let verdict = if result.is_ok() { "ok" } else { "FAILED" };
        println!("{verdict:<8}{:>7.1} s", start.elapsed().as_secs_f64());
        if let Err(error) = &result {
            println!("{error:#}\n");
        }
        result.is_ok()
    }

    /// The check is that the command succeeds.
    fn command(&self, root: &Path) -> Result<()> {
        self.output(root).map(|_| ())
    }

    /// Runs the command and returns what it printed; fails with all its output.
    fn output(&self, root: &Path) -> Result<String> {
        let mut command = Command::new("env");
        command.args(self.repeat.split_whitespace()).current_dir(root);
        let output = command.output().with_context(|| format!("cannot run `{}`", self.repeat))?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("{}{text}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(text.into_owned())
    }
}

fn require_deny() -> Result<()> {
    let asked = Command::new("cargo-deny").arg("--version").output();
    match asked {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("cargo-deny is not installed: run `cargo install cargo-deny --locked`")
        }
        asked => asked.map(|_| ()).context("cannot run cargo-deny"),
    }
}

/// `tree` has one line per crate: name, version and more.
fn pure_dependencies(tree: &str) -> Result<()> {
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    let mut found: Vec<&str> = names.filter(|name| IMPURE_CRATES.contains(name)).collect();
    found.sort_unstable();
    found.dedup();
    if !found.is_empty() {
        bail!(
            "cafe-planner must stay pure but depends on {}; find out why with `cargo tree -p cafe-planner -e normal -i <crate>`",
            found.join(", ")
        );
    }
    Ok(())
}

fn pure_sources(dir: &Path) -> Result<()> {
    let mut found = Vec::new();
    for file in sources(dir)? {
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        found.extend(impure_lines(&text).map(|(line, word)| format!("{}:{line}: {word}", file.display())));
    }
    if !found.is_empty() {
        bail!(
            "cafe-planner must stay pure: no clock, no randomness, no world outside, no map without an order\n{}",
            found.join("\n")
        );
    }
    Ok(())
}

/// All Rust files below a folder, sorted.
fn sources(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Line numbers and the words they may not contain. Comments may speak of anything.
fn impure_lines(text: &str) -> impl Iterator<Item = (usize, &'static str)> {
    text.lines().zip(1..).flat_map(|(line, number)| {
        let code = line.split("//").next().unwrap_or_default();
        IMPURE_WORDS.into_iter().filter(|word| has_word(code, word)).map(move |word| (number, word))
    })
}

fn has_word(code: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let (before, rest) = code.split_at(at);
        let after = rest.get(word.len()..).unwrap_or_default();
        !before.ends_with(is_part) && !after.starts_with(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_below_the_planner_is_found() {
        let tree =
            "cafe-planner v0.1.0 (/src)\nserde v1.0.0\ntokio v1.0.0\nkube-client v5.0.0\ntokio v1.0.0 (*)\n";
        let error = pure_dependencies(tree).unwrap_err().to_string();
        assert!(error.contains("depends on kube-client, tokio;"), "{error}");
        assert!(pure_dependencies("kube v5.0.0\ntokio-like v1.0.0\n").is_ok());
    }

    #[test]
    fn a_clock_or_an_unordered_map_in_the_source_is_found() {
        let text = "use std::collections::BTreeMap;\nlet now = Instant::now(); // why\n// a HashMap\nlet m: HashMap<u8, u8>;\n";
        assert_eq!(impure_lines(text).collect::<Vec<_>>(), [(2, "Instant"), (4, "HashMap")]);
    }

    #[test]
    fn a_word_inside_another_word_is_no_find() {
        assert_eq!(impure_lines("let operand = rand_like(Instantly);").count(), 0);
    }
}

//! `cargo xtask dist`: what is given out. Two static programs, one image of both, and what is in them, the same bytes on every machine
//! with the same toolchain and C library.

mod bill;
mod image;
mod programs;
mod source;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use cafe_tests::bed::controller;
use cafe_tests::oci::sha256;

use crate::check::workspace;
use source::Source;

/// Build what is given out: static programs, an image that needs no Docker daemon, a bill of materials, checksums.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder for the result; what is in it is overwritten.
    #[arg(long, value_name = "FOLDER", default_value_os_t = workspace().join("dist"))]
    out: PathBuf,
    /// Name of the image without the tag, such as registry.example.com/cafe. It is no part of the digest.
    #[arg(long, value_name = "NAME", default_value = image::NAME)]
    image: String,
    /// Date everything so many seconds after 1970; without it, as the last commit.
    #[arg(long, env = "SOURCE_DATE_EPOCH", value_name = "SECONDS")]
    epoch: Option<u64>,
    /// Build twice, the second time from a clone in another folder with nothing that is built already, and fail if a byte differs.
    #[arg(long)]
    verify: bool,
}

/// What one build has come to.
#[derive(Debug)]
pub(crate) struct Dist {
    /// The archive with the image.
    pub(crate) archive: PathBuf,
    /// The image's name with its tag.
    pub(crate) image: String,
    digest: String,
    sums: String,
}

/// Builds, and says what.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = workspace();
    let source = Source::of(&root, args.epoch)?;
    if args.verify && source.is_changed() {
        bail!("--verify builds a clone as well: commit or put aside what `git status` shows first");
    }
    let dist = build(&source, &target(&root)?, &args.out, &args.image)?;
    println!("{}{}  image {}", dist.sums, dist.digest, dist.image);
    println!("in {}, of revision {}", args.out.display(), source.revision());
    if args.verify {
        verify(&source, &dist, &args.image)?;
    }
    Ok(())
}

/// The name of the image that [`make`] makes, with its tag.
pub(crate) fn image() -> String {
    image::full_name(image::NAME)
}

/// Builds the workspace as it is into a folder, with the image under its own name.
pub(crate) fn make(out: &Path) -> Result<Dist> {
    let root = workspace();
    build(&Source::of(&root, None)?, &target(&root)?, out, image::NAME)
}

fn build(source: &Source, target: &Path, out: &Path, name: &str) -> Result<Dist> {
    let programs = programs::build(source, target)?;
    let bill = bill::make(source)?;
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let mut sums = String::new();
    let mut put = |name: &str, content: &[u8]| -> Result<PathBuf> {
        let file = out.join(name);
        fs::write(&file, content).with_context(|| format!("cannot write {}", file.display()))?;
        sums.push_str(&format!("{}  {name}\n", sha256(content)));
        Ok(file)
    };
    for program in &programs {
        executable(&put(program.name, &program.content)?)?;
    }
    put(&format!("cafe-{}.cdx.json", source::VERSION), &bill)?;
    let archive = out.join(format!("cafe-{}.tar", source::VERSION));
    let image = image::full_name(name);
    let digest = image::pack(&archive, source, &programs, &image)?;
    sums.push_str(&format!("{}  cafe-{}.tar\n", sha256(&fs::read(&archive)?), source::VERSION));
    // For `helm install --set image.digest=...`.
    fs::write(out.join("image-digest"), format!("{digest}\n"))?;
    fs::write(out.join("SHA256SUMS"), &sums)?;
    Ok(Dist { archive, image, digest, sums })
}

fn executable(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::set_permissions(file, fs::Permissions::from_mode(0o755))?)
}

/// Where cargo builds, and within it a folder of its own: the flags are others than everybody's.
fn target(root: &Path) -> Result<PathBuf> {
    let metadata = bill::metadata(root)?;
    let target = metadata.get("target_directory").and_then(serde_json::Value::as_str);
    Ok(Path::new(target.context("cargo names no target folder")?).join("dist"))
}

/// Another folder, another name, nothing built: what comes out is the same.
fn verify(source: &Source, first: &Dist, name: &str) -> Result<()> {
    let place = tempfile::Builder::new().prefix("cafe-again-").tempdir()?;
    let clone = place.path().join("a clone");
    let mut git = Command::new("git");
    git.args(["clone", "--quiet", "--no-hardlinks"]).arg(source.root()).arg(&clone);
    succeed(&mut git)?;
    succeed(Command::new("git").arg("-C").arg(&clone).args([
        "checkout",
        "--quiet",
        "--detach",
        source.revision(),
    ]))?;
    println!("\nagain, in {}", clone.display());
    let again = Source::of(&clone, Some(source.epoch()))?;
    let second = build(&again, &place.path().join("elsewhere"), &place.path().join("out"), name)?;
    println!("{}{}  image {}", second.sums, second.digest, second.image);
    if (&first.sums, &first.digest) != (&second.sums, &second.digest) {
        bail!("the two builds of {} differ: compare the lines above", source.revision());
    }
    println!("the same bytes");
    Ok(())
}

/// Runs a command and returns what it printed; fails with what it said.
fn succeed(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Cargo in a checkout, with its toolchain.
fn cargo(root: &Path) -> Command {
    let mut cargo = controller::cargo();
    cargo.current_dir(root);
    cargo
}

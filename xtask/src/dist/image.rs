//! The image: both programs and nothing else, no shell, no user but a number.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, ensure};
use cafe_tests::oci::{Archive, File, Image};
use serde_json::json;

use super::programs::Program;
use super::source::{Source, VERSION};

/// What it is called until somebody gives it another name.
pub(super) const NAME: &str = "localhost/cafe";
/// The user and the group that the chart names too.
const USER: &str = "65532:65532";
/// The chart says which program it wants; without a word it is this one.
const ENTRYPOINT: &str = "/cafe-controller";
/// Bytes that the archive may have.
const MOST: u64 = 25_000_000;

/// With the tag.
pub(super) fn full_name(name: &str) -> String {
    format!("{name}:{VERSION}")
}

/// Writes the archive and returns the digest of the image.
pub(super) fn pack(archive: &Path, source: &Source, programs: &[Program], name: &str) -> Result<String> {
    let labels = labels(source)?;
    let mut layout = Archive::new(source.epoch());
    let files: Vec<File<'_>> = programs
        .iter()
        .map(|program| File { path: program.name, mode: 0o755, content: &program.content })
        .collect();
    let layer = layout.layer(&files)?;
    let digest = layout.image(&Image {
        names: vec![name.to_owned()],
        layers: vec![&layer],
        config: json!({ "User": USER, "Entrypoint": [ENTRYPOINT], "WorkingDir": "/", "Labels": labels }),
        created: Some(source.time()?),
        annotations: labels,
    })?;
    layout.write(archive)?;
    let size = std::fs::metadata(archive)?.len();
    ensure!(size <= MOST, "{} has {size} bytes, more than {MOST}", archive.display());
    Ok(digest.digest())
}

fn labels(source: &Source) -> Result<BTreeMap<String, String>> {
    let labels = [
        ("title", "cafe".to_owned()),
        (
            "description",
            "The controller and the admission webhook of Cafe: progressive delivery for Kubernetes"
                .to_owned(),
        ),
        ("licenses", "Apache-2.0".to_owned()),
        ("version", VERSION.to_owned()),
        ("revision", source.revision().to_owned()),
        ("created", source.time()?),
    ];
    Ok(labels.into_iter().map(|(key, value)| (format!("org.opencontainers.image.{key}"), value)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the containers are built from must say the same as the Containerfile and the chart.
    #[test]
    fn the_containerfile_and_the_chart_agree_with_the_image() {
        let read = |file: &str| std::fs::read_to_string(crate::check::workspace().join(file)).unwrap();
        let (containerfile, toolchain) = (read("Containerfile"), read("rust-toolchain.toml"));
        let compiler =
            toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap().trim_matches('"');
        assert!(containerfile.contains(&format!("FROM rust:{compiler}-")), "the compiler is {compiler}");
        assert!(containerfile.contains(&format!("USER {USER}\n")), "it runs as {USER}");
        assert!(containerfile.contains(&format!("ENTRYPOINT [\"{ENTRYPOINT}\"]\n")));
        for program in super::super::programs::PROGRAMS {
            assert!(containerfile.contains(program), "it holds {program}");
            let template =
                format!("charts/cafe/templates/{}/deployment.yaml", program.trim_start_matches("cafe-"));
            assert!(read(&template).contains(&format!("command: [/{program}]")), "{template} runs {program}");
        }
        let values = read("charts/cafe/values.yaml");
        let (user, group) = USER.split_once(':').unwrap();
        assert!(
            values.contains(&format!("runAsUser: {user}"))
                && values.contains(&format!("runAsGroup: {group}"))
        );
    }
}

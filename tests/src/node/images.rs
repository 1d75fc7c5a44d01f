//! The images of the nodes and of the application, without a registry.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;

use crate::oci::{self, Archive, File};

/// The image that holds a pod's namespaces.
pub const PAUSE: &str = "cafe.test/pause:1";

/// One image: its names, what it runs, and what sets its content apart.
#[derive(Debug, Clone)]
pub struct Image {
    /// Full names with tags; several are tags of one digest.
    pub names: Vec<String>,
    /// Arguments of the program, which is the only file that matters.
    pub args: Vec<String>,
    /// Content of the file `/content`: two images with different content have different digests and layers.
    pub content: String,
}

impl Image {
    /// An image with one name.
    #[must_use]
    pub fn new(name: &str, args: &[&str]) -> Self {
        let args = args.iter().map(ToString::to_string).collect();
        Self { names: vec![name.to_owned()], args, content: name.to_owned() }
    }

    /// The same image under another name as well.
    #[must_use]
    pub fn also(mut self, name: &str) -> Self {
        self.names.push(name.to_owned());
        self
    }
}

/// Writes an archive with all images, each with `program` as its static binary.
///
/// # Errors
/// When the program cannot be read or the archive not written.
pub fn write(archive: &Path, program: &Path, images: &[Image]) -> Result<()> {
    let program = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let mut layout = Archive::default();
    let program = layout.layer(&[File { path: "app", mode: 0o755, content: &program }])?;
    for image in images {
        let content = File { path: "content", mode: 0o644, content: image.content.as_bytes() };
        let own = layout.layer(&[content])?;
        let entrypoint: Vec<&str> =
            ["/app"].into_iter().chain(image.args.iter().map(String::as_str)).collect();
        layout.image(&oci::Image {
            names: image.names.clone(),
            layers: vec![&program, &own],
            config: json!({ "Entrypoint": entrypoint }),
            ..oci::Image::default()
        })?;
    }
    layout.write(archive)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn index(images: &[Image]) -> Vec<(String, String)> {
        let dir = tempfile::tempdir().unwrap();
        let (program, archive) = (dir.path().join("program"), dir.path().join("images.tar"));
        fs::write(&program, "binary").unwrap();
        write(&archive, &program, images).unwrap();
        let mut tar = tar::Archive::new(fs::File::open(&archive).unwrap());
        let mut entries = tar.entries().unwrap();
        let index = entries.find(|e| e.as_ref().unwrap().path().unwrap().ends_with("index.json")).unwrap();
        let index: Value = serde_json::from_reader(index.unwrap()).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let manifests = index["manifests"].as_array().unwrap().iter();
        manifests.map(|m| (text(&m["annotations"]["io.containerd.image.name"]), text(&m["digest"]))).collect()
    }

    #[test]
    fn tags_of_one_image_share_a_digest_and_others_do_not() {
        let images = [Image::new("a:1", &["serve"]).also("a:same"), Image::new("a:2", &["serve"])];
        let found = index(&images);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a:1", "a:same", "a:2"]);
        assert_eq!(found[0].1, found[1].1);
        assert_ne!(found[0].1, found[2].1);
        assert_eq!(found, index(&images), "the same images make the same archive");
    }
}

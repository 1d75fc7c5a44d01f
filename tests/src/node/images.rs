//! Container images without a registry: an archive of the OCI layout that `ctr images import` takes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::scenario::merge;

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
    let mut layout = Layout::default();
    let program = layout.add(layer(&[("app", 0o755, &program)])?);
    for image in images {
        layout.image(image, &program)?;
    }
    layout.write(archive).with_context(|| format!("cannot write {}", archive.display()))
}

/// Digest and size of a blob.
#[derive(Clone)]
struct Blob {
    digest: String,
    size: usize,
}

impl Blob {
    fn descriptor(&self, kind: &str) -> Value {
        let media_type = format!("application/vnd.oci.image.{kind}");
        json!({ "mediaType": media_type, "digest": format!("sha256:{}", self.digest), "size": self.size })
    }
}

#[derive(Default)]
struct Layout {
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: Vec<Value>,
}

impl Layout {
    fn add(&mut self, content: Vec<u8>) -> Blob {
        let digest: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
        let blob = Blob { digest: digest.clone(), size: content.len() };
        self.blobs.insert(digest, content);
        blob
    }

    fn image(&mut self, image: &Image, program: &Blob) -> Result<()> {
        let own = self.add(layer(&[("content", 0o644, image.content.as_bytes())])?);
        let entrypoint: Vec<&str> =
            ["/app"].into_iter().chain(image.args.iter().map(String::as_str)).collect();
        // A layer that is not compressed is its own diff.
        let layers = [program, &own];
        let diffs: Vec<String> = layers.iter().map(|blob| format!("sha256:{}", blob.digest)).collect();
        let config = self.add(serde_json::to_vec(&json!({
            "architecture": architecture(),
            "os": "linux",
            "config": { "Entrypoint": entrypoint },
            "rootfs": { "type": "layers", "diff_ids": diffs },
        }))?);
        let layers: Vec<Value> = layers.iter().map(|blob| blob.descriptor("layer.v1.tar")).collect();
        let manifest = self.add(serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config.descriptor("config.v1+json"),
            "layers": layers,
        }))?);
        for name in &image.names {
            let mut entry = manifest.descriptor("manifest.v1+json");
            merge(&mut entry, &json!({ "annotations": { "io.containerd.image.name": name } }));
            self.manifests.push(entry);
        }
        Ok(())
    }

    fn write(&self, archive: &Path) -> Result<()> {
        let mut tar = tar::Builder::new(File::create(archive)?);
        append(&mut tar, "oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        let index = json!({ "schemaVersion": 2, "manifests": self.manifests });
        append(&mut tar, "index.json", 0o644, &serde_json::to_vec(&index)?)?;
        for (digest, content) in &self.blobs {
            append(&mut tar, &format!("blobs/sha256/{digest}"), 0o644, content)?;
        }
        tar.finish()?;
        Ok(())
    }
}

/// A layer with these files. No times and no owners: the same files make the same digest.
fn layer(files: &[(&str, u32, &[u8])]) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, mode, content) in files {
        append(&mut tar, name, *mode, content)?;
    }
    Ok(tar.into_inner()?)
}

fn append<W: std::io::Write>(tar: &mut tar::Builder<W>, name: &str, mode: u32, content: &[u8]) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    Ok(tar.append_data(&mut header, name, content)?)
}

/// As Go and the OCI name it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn index(images: &[Image]) -> Vec<(String, String)> {
        let dir = tempfile::tempdir().unwrap();
        let (program, archive) = (dir.path().join("program"), dir.path().join("images.tar"));
        fs::write(&program, "binary").unwrap();
        write(&archive, &program, images).unwrap();
        let mut tar = tar::Archive::new(File::open(&archive).unwrap());
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

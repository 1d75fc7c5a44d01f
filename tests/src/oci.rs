//! Container images as an archive of the OCI layout, which `ctr images import`, `podman load` and `skopeo` take. No daemon, and
//! no dates and owners but those that are given: the same files make the same bytes.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// A file of a layer.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    /// Where it goes, without the leading slash.
    pub path: &'a str,
    /// Its permissions, e.g. `0o755`.
    pub mode: u32,
    /// What is in it.
    pub content: &'a [u8],
}

/// An image over layers that were added before.
#[derive(Debug, Clone, Default)]
pub struct Image<'a> {
    /// Full names with tags; several are tags of one digest.
    pub names: Vec<String>,
    /// From the lowest to the highest.
    pub layers: Vec<&'a Blob>,
    /// What is run and how, as the OCI's image configuration has it below `config`.
    pub config: Value,
    /// When it was made, as RFC 3339 has it.
    pub created: Option<String>,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
}

/// Something in an archive, by digest.
#[derive(Debug, Clone)]
pub struct Blob {
    digest: String,
    size: usize,
    /// Of a layer: the digest of what is compressed.
    plain: String,
}

impl Blob {
    /// As registries and `ctr images list` show it: `sha256:...`.
    #[must_use]
    pub fn digest(&self) -> String {
        format!("sha256:{}", self.digest)
    }

    fn descriptor(&self, kind: &str) -> Value {
        let media_type = format!("application/vnd.oci.image.{kind}");
        json!({ "mediaType": media_type, "digest": self.digest(), "size": self.size })
    }
}

/// An archive that is being put together in memory.
#[derive(Debug, Default)]
pub struct Archive {
    /// Seconds since 1970 that every file carries.
    modified: u64,
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: Vec<Value>,
}

impl Archive {
    /// An empty one, whose files were all modified at this second since 1970.
    #[must_use]
    pub fn new(modified: u64) -> Self {
        Self { modified, ..Self::default() }
    }

    /// Adds a layer with these files, whatever their order.
    ///
    /// # Errors
    /// When a path is too long for a tar file.
    pub fn layer(&mut self, files: &[File<'_>]) -> Result<Blob> {
        let mut files = files.to_vec();
        files.sort_by_key(|file| file.path);
        let content = self.tar(Vec::new(), &files)?;
        let mut gzip = GzBuilder::new().write(Vec::new(), Compression::best());
        gzip.write_all(&content)?;
        let packed = self.add(gzip.finish()?);
        Ok(Blob { plain: sha256(&content), ..packed })
    }

    /// Adds an image and returns its manifest, whose digest is the image's.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn image(&mut self, image: &Image<'_>) -> Result<Blob> {
        let diffs: Vec<String> = image.layers.iter().map(|blob| format!("sha256:{}", blob.plain)).collect();
        let mut config = Map::new();
        config.insert("architecture".to_owned(), architecture().into());
        config.insert("os".to_owned(), "linux".into());
        config.insert("config".to_owned(), image.config.clone());
        config.insert("rootfs".to_owned(), json!({ "type": "layers", "diff_ids": diffs }));
        config.extend(image.created.as_ref().map(|created| ("created".to_owned(), created.clone().into())));
        let config = self.add(serde_json::to_vec(&config)?);
        let layers: Vec<Value> =
            image.layers.iter().map(|blob| blob.descriptor("layer.v1.tar+gzip")).collect();
        let mut manifest = Map::new();
        manifest.insert("schemaVersion".to_owned(), 2.into());
        manifest.insert("mediaType".to_owned(), "application/vnd.oci.image.manifest.v1+json".into());
        manifest.insert("config".to_owned(), config.descriptor("config.v1+json"));
        manifest.insert("layers".to_owned(), layers.into());
        if !image.annotations.is_empty() {
            manifest.insert("annotations".to_owned(), json!(image.annotations));
        }
        let manifest = self.add(serde_json::to_vec(&manifest)?);
        for name in &image.names {
            let mut entry = manifest.descriptor("manifest.v1+json");
            let tag = name.rsplit(':').next().unwrap_or_default();
            // containerd and podman take the first, skopeo and others the second.
            let names = json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag });
            entry.as_object_mut().map(|entry| entry.insert("annotations".to_owned(), names));
            self.manifests.push(entry);
        }
        Ok(manifest)
    }

    /// Writes everything to a file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        let index = serde_json::to_vec(&json!({ "schemaVersion": 2, "manifests": self.manifests }))?;
        let blobs: Vec<(String, &[u8])> = self
            .blobs
            .iter()
            .map(|(digest, content)| (format!("blobs/sha256/{digest}"), &**content))
            .collect();
        let mut files = vec![
            File { path: "oci-layout", mode: 0o644, content: br#"{"imageLayoutVersion":"1.0.0"}"# },
            File { path: "index.json", mode: 0o644, content: &index },
        ];
        files.extend(blobs.iter().map(|(path, content)| File { path, mode: 0o644, content }));
        let write = || -> Result<()> { Ok(self.tar(fs::File::create(file)?, &files)?.flush()?) };
        write().with_context(|| format!("cannot write {}", file.display()))
    }

    fn add(&mut self, content: Vec<u8>) -> Blob {
        let digest = sha256(&content);
        let blob = Blob { plain: digest.clone(), digest, size: content.len() };
        self.blobs.insert(blob.digest.clone(), content);
        blob
    }

    fn tar<W: Write>(&self, to: W, files: &[File<'_>]) -> Result<W> {
        let mut tar = tar::Builder::new(to);
        for File { path, mode, content } in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(*mode);
            header.set_mtime(self.modified);
            header.set_uid(0);
            header.set_gid(0);
            tar.append_data(&mut header, path, *content)?;
        }
        Ok(tar.into_inner()?)
    }
}

/// The digest in hexadecimal, as `sha256sum` writes it.
#[must_use]
pub fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
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

    /// The bytes of the archive and the digest of its image.
    fn pack(files: &[File<'_>], modified: u64) -> (Vec<u8>, String) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("image.tar");
        let mut archive = Archive::new(modified);
        let layer = archive.layer(files).unwrap();
        let names = vec!["example.org/a:1".to_owned()];
        let config = json!({ "User": "65532:65532" });
        let image = Image { names, layers: vec![&layer], config, ..Image::default() };
        let digest = archive.image(&image).unwrap().digest();
        archive.write(&file).unwrap();
        (fs::read(&file).unwrap(), digest)
    }

    #[test]
    fn the_same_files_in_any_order_make_the_same_bytes_and_others_do_not() {
        let one = File { path: "one", mode: 0o755, content: b"1" };
        let two = File { path: "two", mode: 0o755, content: b"2" };
        let packed = pack(&[one, two], 7);
        assert_eq!(packed, pack(&[two, one], 7));
        assert_ne!(packed.1, pack(&[one, two], 8).1, "the time is part of the layer");
        assert_ne!(packed.1, pack(&[one], 7).1);
    }

    #[test]
    fn files_carry_the_given_time_and_belong_to_root() {
        let (bytes, _) = pack(&[File { path: "one", mode: 0o755, content: b"1" }], 7);
        let mut tar = tar::Archive::new(bytes.as_slice());
        for entry in tar.entries().unwrap() {
            let header = entry.unwrap().header().clone();
            assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (7, 0, 0));
        }
    }
}

//! Kubeconfig files.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::replace::replace;

/// How a user proves who they are.
pub(super) enum Credentials<'a> {
    /// A client certificate and its key, by file.
    Certificate { certificate: &'a Path, key: &'a Path },
    /// A bearer token, kept in the kubeconfig itself.
    Token(&'a str),
}

/// Writes a kubeconfig with one user. The content is JSON, which every reader of kubeconfigs takes as YAML.
pub(super) fn write(
    file: &Path,
    server: &str,
    authority: &Path,
    user: &str,
    credentials: &Credentials<'_>,
) -> Result<()> {
    let proof: Value = match credentials {
        Credentials::Certificate { certificate, key } => {
            json!({ "client-certificate": certificate, "client-key": key })
        }
        Credentials::Token(token) => json!({ "token": token }),
    };
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "bed", "cluster": { "server": server, "certificate-authority": authority } }],
        "users": [{ "name": user, "user": proof }],
        "contexts": [{ "name": "bed", "context": { "cluster": "bed", "user": user } }],
        "current-context": "bed",
    });
    replace(file, &serde_json::to_vec_pretty(&config)?)
}

/// Writes a kubeconfig for a server that speaks plain HTTP and asks nobody who they are.
pub(super) fn write_plain(file: &Path, server: &str) -> Result<()> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "bed", "cluster": { "server": server } }],
        "users": [],
        "contexts": [{ "name": "bed", "context": { "cluster": "bed", "user": "" } }],
        "current-context": "bed",
    });
    replace(file, &serde_json::to_vec_pretty(&config)?)
}

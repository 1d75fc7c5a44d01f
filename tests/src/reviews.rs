//! A webhook with a certificate from a folder, asked as an API server asks.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::bed::{Bed, controller};

/// The process.
pub struct Webhook {
    /// Where its metrics are.
    pub admin: String,
    client: Client,
}

/// Starts the webhook as a process of the bed, which need not be up, and waits until it listens. It is built before, optimised where asked.
///
/// # Errors
/// When it does not compile, or ends.
pub async fn start(bed: &Bed, release: bool) -> Result<Webhook> {
    let folder = bed.dir().join("webhook-tls");
    std::fs::create_dir_all(&folder)?;
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    std::fs::write(folder.join("tls.crt"), pair.cert.pem())?;
    std::fs::write(folder.join("tls.key"), pair.signing_key.serialize_pem())?;
    let free = || -> Result<u16> { Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port()) };
    let (port, admin) = (free()?, format!("127.0.0.1:{}", free()?));
    let binary = tokio::task::spawn_blocking(move || {
        let mut cargo = controller::cargo();
        cargo.arg("build");
        if release {
            cargo.arg("--release");
        }
        controller::build_program(cargo, "cafe-webhook")
    });
    let mut command = Command::new(binary.await??);
    command
        .args(["serve", "--admin-address", &admin, "--address", &format!("127.0.0.1:{port}")])
        .arg("--certificate-dir")
        .arg(&folder);
    bed.start("webhook", &mut command)?;
    let listens = async {
        while tokio::net::TcpStream::connect(&admin).await.is_err() {
            bed.check("webhook")?;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), listens).await.context("no webhook")??;
    let mut config = Config::new(format!("https://localhost:{port}").parse()?);
    config.root_cert = Some(vec![pair.cert.der().to_vec()]);
    Ok(Webhook { admin, client: Client::try_from(config)? })
}

impl Webhook {
    /// Has it answer a review of each kind.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ask(&self) -> Result<()> {
        let review = serde_json::to_vec(&review(&crate::scenario::web(4), &Value::Null))?;
        for path in PATHS {
            self.send(path, review.clone()).await?;
        }
        Ok(())
    }

    /// Has it answer this review.
    ///
    /// # Errors
    /// When it does not.
    pub async fn send(&self, path: &str, review: Vec<u8>) -> Result<()> {
        let request =
            http::Request::post(path).header(http::header::CONTENT_TYPE, "application/json").body(review)?;
        let answer: Value = self.client.request(request).await?;
        ensure!(answer.pointer("/response/uid") == Some(&json!("u1")), "{answer:#}");
        Ok(())
    }
}

/// Where reviews are answered.
pub const PATHS: [&str; 2] = ["/stamp", "/validate"];

/// A review of a CafeDeployment that is created, or (with `old`) changed.
#[must_use]
pub fn review(object: &Value, old: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u1", "operation": if old.is_null() { "CREATE" } else { "UPDATE" }, "name": "web", "namespace": "shop",
            "kind": { "group": "cafe.dev", "version": "v1alpha1", "kind": "CafeDeployment" },
            "resource": { "group": "cafe.dev", "version": "v1alpha1", "resource": "cafedeployments" },
            "userInfo": { "username": "alice" },
            "object": object, "oldObject": old,
        },
    })
}

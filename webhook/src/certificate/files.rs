//! A certificate from files, as cert-manager or an existing Secret mounts them.

use std::{path::Path, time::Duration};

use anyhow::Context as _;

use super::Served;
use crate::metrics::Metrics;

/// How often the files are read: a Secret that is mounted changes by a swap of links that is easily missed otherwise.
const PERIOD: Duration = Duration::from_secs(10);

/// Reads the files now.
///
/// # Errors
/// They are missing, or no certificate with its key.
pub(crate) fn load(folder: &Path, served: &Served, metrics: &Metrics) -> anyhow::Result<(String, String)> {
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read_to_string(&path).with_context(|| {
            format!("cannot read {}: mount a Secret of type kubernetes.io/tls there", path.display())
        })
    };
    let pair = (read("tls.crt")?, read("tls.key")?);
    served.replace(&pair.0, &pair.1, metrics).with_context(|| format!("in {}", folder.display()))?;
    Ok(pair)
}

/// Follows the files for ever. What cannot be read leaves the certificate before in service.
pub(crate) async fn follow(folder: &Path, served: Served, metrics: Metrics, mut known: (String, String)) {
    loop {
        tokio::time::sleep(PERIOD).await;
        match load(folder, &served, &metrics) {
            Ok(found) if found != known => {
                tracing::info!(folder = %folder.display(), "serves a new certificate");
                known = found;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(error = format!("{error:#}"), "keeps the certificate it has"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_another_certificate_is_refused_and_the_one_before_stays_in_service() {
        let made =
            || rcgen::generate_simple_self_signed(["cafe-webhook.cafe-system.svc".to_owned()]).unwrap();
        let (one, other) = (made(), made());
        let (folder, served) =
            (std::env::temp_dir().join(format!("cafe-files-{}", std::process::id())), Served::default());
        std::fs::create_dir_all(&folder).unwrap();
        let load = |key: &rcgen::KeyPair| {
            std::fs::write(folder.join("tls.crt"), one.cert.pem()).unwrap();
            std::fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
            load(&folder, &served, &Metrics::default())
        };
        load(&one.signing_key).unwrap();
        let error = format!("{:#}", load(&other.signing_key).unwrap_err());
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(error.contains("the key is not that of the certificate"), "{error}");
        assert!(served.is_there());
    }
}

//! The connection to the API server, and in words what is wrong with one that does not come about.

use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderValue;
use http::header::USER_AGENT;
use k8s_openapi::apimachinery::pkg::version::Info;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use rustls::CertificateError;
use tokio::time::Instant;

use crate::{ANSWER_TIMEOUT, PAUSE, SETTLING};

/// How long a connection may take to come about: shorter than a call, so that its error is the one reported.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The file given cannot be used.
    #[error("cannot use kubeconfig {path}: check that the file exists and its current context is complete")]
    Kubeconfig {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: kube::config::KubeconfigError,
    },
    /// No file was given and neither the environment nor a service account says where the cluster is.
    #[error(
        "found no cluster: give --kubeconfig, set KUBECONFIG, or run in a pod with a service account token"
    )]
    Infer(#[source] kube::config::InferConfigError),
    /// The settings were read but no client can be made of them.
    #[error("cannot build a client from the {0}")]
    Build(String, #[source] Box<kube::Error>),
    /// The API server cannot be worked with.
    #[error("{0}")]
    Refused(String),
}

/// Where the settings of a connection came from, and where they lead.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For a client.
    pub config: Config,
    file: Option<PathBuf>,
}

impl Settings {
    /// Reads the settings of a client that retries nothing behind one's back and calls itself `agent`. Sends nothing.
    ///
    /// # Errors
    /// They cannot be found or read.
    pub async fn read(kubeconfig: Option<&Path>, agent: &str) -> Result<Self, ConnectError> {
        let mut config = match kubeconfig {
            Some(path) => from_file(path).await?,
            None => Config::infer().await.map_err(ConnectError::Infer)?,
        };
        config.default_retry = false;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        if let Ok(agent) = HeaderValue::try_from(agent) {
            config.headers.push((USER_AGENT, agent));
        }
        Ok(Self { config, file: kubeconfig.map(Path::to_owned) })
    }

    /// A client with these settings.
    ///
    /// # Errors
    /// They contradict themselves, or a certificate in them is none.
    pub fn client(&self) -> Result<Client, ConnectError> {
        Client::try_from(self.config.clone()).map_err(|error| self.cannot_build(error))
    }

    /// That no client can be made.
    #[must_use]
    pub fn cannot_build(&self, error: kube::Error) -> ConnectError {
        ConnectError::Build(self.place(), Box::new(error))
    }

    /// Asks for the server's version: the first request, which shows what is wrong with address, authority and credentials. A server that
    /// does not answer is asked again for a while: it may be starting.
    ///
    /// # Errors
    /// With what is wrong and what to do.
    pub async fn greet(&self, client: &Client) -> Result<Info, ConnectError> {
        let end = Instant::now() + SETTLING;
        loop {
            let trouble = match tokio::time::timeout(ANSWER_TIMEOUT, client.apiserver_version()).await {
                Ok(Ok(info)) => return Ok(info),
                Ok(Err(error)) => self.trouble(&error),
                Err(_) => Trouble { what: self.silence("does not answer in time"), passes: true },
            };
            if !trouble.passes || Instant::now() >= end {
                return Err(ConnectError::Refused(trouble.what));
            }
            tracing::warn!(problem = trouble.what, "waits for the API server");
            tokio::time::sleep(PAUSE * 4).await;
        }
    }

    /// What is wrong, in words.
    fn trouble(&self, error: &kube::Error) -> Trouble {
        let (server, place) = (&self.config.cluster_url, self.place());
        let lasting = |what: String| Trouble { what, passes: false };
        if let kube::Error::Api(status) = error {
            return match status.code {
                401 => lasting(format!(
                    "the API server {server} does not accept the credentials of the {place} ({}): renew the token or client certificate there",
                    status.message
                )),
                408 | 429 => Trouble { what: self.silence(&status.message), passes: true },
                code @ 400..=499 => lasting(format!(
                    "what answers at {server} is no API server, or forbids even its version ({code} {}): correct the server of the {place}",
                    status.message
                )),
                _ => Trouble { what: self.silence(&status.message), passes: true },
            };
        }
        match certificate_error(error) {
            Some(error) => lasting(self.distrust(error)),
            None => Trouble { what: self.silence(&chain(error)), passes: true },
        }
    }

    fn distrust(&self, error: &CertificateError) -> String {
        let (server, place) = (&self.config.cluster_url, self.place());
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                format!("the certificate of the API server {server} has expired: renew it")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                format!(
                    "the certificate of the API server {server} is not valid yet: set this machine's clock"
                )
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => format!(
                "the certificate of the API server {server} is for other names: write one of them into the {place} as server, or as tls-server-name"
            ),
            // Mostly an authority that signed nothing here; one of the same name shows as a bad signature.
            other => format!(
                "the API server {server} shows a certificate that the authority of the {place} has not signed ({other:?}): put the cluster's own \
                 authority there as certificate-authority; what it should trust: kubectl get configmap kube-root-ca.crt -o jsonpath='{{.data.ca\\.crt}}'"
            ),
        }
    }

    fn silence(&self, why: &str) -> String {
        format!(
            "no answer from the API server at {}, which the {} names: {why}",
            self.config.cluster_url,
            self.place()
        )
    }

    fn place(&self) -> String {
        match &self.file {
            Some(file) => format!("kubeconfig {}", file.display()),
            None => "kubeconfig or service account in use".to_owned(),
        }
    }
}

/// What is wrong, and whether it may pass by itself.
struct Trouble {
    what: String,
    passes: bool,
}

async fn from_file(path: &Path) -> Result<Config, ConnectError> {
    let bad = |source| ConnectError::Kubeconfig { path: path.display().to_string(), source };
    let file = Kubeconfig::read_from(path).map_err(bad)?;
    Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(bad)
}

/// The reason for which TLS failed, if that is what happened.
fn certificate_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a CertificateError> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return match tls {
            rustls::Error::InvalidCertificate(reason) => Some(reason),
            _ => None,
        };
    }
    // An I/O error leaves out of its chain what it is made of.
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(inner) => certificate_error(inner),
        None => certificate_error(error.source()?),
    }
}

/// An error with all its causes.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_kubeconfig_is_named() {
        let error = Settings::read(Some(Path::new("/nowhere/config")), "test").await.err().unwrap();
        assert!(error.to_string().starts_with("cannot use kubeconfig /nowhere/config"), "{error}");
    }

    #[test]
    fn a_broken_handshake_is_found_inside_the_errors_that_wrap_it() {
        let tls = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let wrapped = std::io::Error::other(std::io::Error::other(tls));
        let error = kube::Error::Service(Box::new(wrapped));
        assert_eq!(certificate_error(&error), Some(&CertificateError::UnknownIssuer));
        let other = kube::Error::Service(Box::new(std::io::Error::other("connection refused")));
        assert_eq!(certificate_error(&other), None);
    }
}

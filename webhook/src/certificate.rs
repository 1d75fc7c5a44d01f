//! The certificate that is served: from a Secret that the webhook keeps itself ([`keeper`], [`authority`]), or from files that
//! somebody else keeps ([`files`]). It changes while connections go on.

pub(crate) mod authority;
pub(crate) mod files;
pub(crate) mod keeper;

use std::sync::{
    Arc, RwLock,
    atomic::{AtomicBool, Ordering},
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use crate::metrics::Metrics;

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    /// No certificate or no key in the text.
    #[error("this is no PEM of a certificate and its key: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// The certificate is not one of X.509.
    #[error("the certificate cannot be read")]
    X509,
    /// Both can be read, and do not belong together.
    #[error("the key is not that of the certificate: take tls.crt and tls.key from the same issue")]
    Mismatch,
    /// The key is of an unknown kind.
    #[error("the key cannot be used: {0}")]
    Key(#[from] rustls::Error),
}

/// The certificate in service. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Served(Arc<RwLock<Option<Arc<CertifiedKey>>>>, Arc<AtomicBool>);

impl Served {
    /// Serves this certificate from the next connection on.
    ///
    /// # Errors
    /// The texts are no certificate with its key; the one before stays in service.
    pub(crate) fn replace(
        &self,
        certificate: &str,
        key: &str,
        metrics: &Metrics,
    ) -> Result<(), CertificateError> {
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
        let expires = validity(chain.first().ok_or(CertificateError::X509)?)?.1;
        let certified = CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider());
        let certified = certified.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => CertificateError::Mismatch,
            other => CertificateError::Key(other),
        })?;
        if let Ok(mut served) = self.0.write() {
            *served = Some(Arc::new(certified));
        }
        metrics.serves_until(expires);
        Ok(())
    }

    /// Whether there is one, and this process is to be asked.
    pub(crate) fn is_there(&self) -> bool {
        !self.1.load(Ordering::Relaxed) && self.0.read().is_ok_and(|served| served.is_some())
    }

    /// This process is about to end: others are to be asked.
    pub(crate) fn leave(&self) {
        self.1.store(true, Ordering::Relaxed);
    }

    /// A TLS configuration that looks here at each connection.
    pub(crate) fn tls(&self) -> ServerConfig {
        let mut config =
            ServerConfig::builder().with_no_client_auth().with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().ok()?.clone()
    }
}

/// From when and until when a certificate is valid, in seconds since 1970.
fn validity(certificate: &CertificateDer<'_>) -> Result<(i64, i64), CertificateError> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| CertificateError::X509)?;
    let validity = parsed.validity();
    Ok((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

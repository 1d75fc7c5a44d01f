//! The bed's own certificate authority and what it signs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose,
};

/// Who gets a client certificate: file name, common name (the user), organisation (the group).
const CLIENTS: [(&str, &str, Option<&str>); 7] = [
    ("admin", "admin", Some("system:masters")),
    ("kube-controller-manager", "system:kube-controller-manager", None),
    ("kube-scheduler", "system:kube-scheduler", None),
    ("kwok", "kwok", Some("system:masters")),
    // Of real nodes.
    ("cella-1", "system:node:cella-1", Some("system:nodes")),
    ("cellb-1", "system:node:cellb-1", Some("system:nodes")),
    ("kube-proxy", "system:kube-proxy", None),
];

/// The users that have a client certificate.
pub(super) fn clients() -> impl Iterator<Item = &'static str> {
    CLIENTS.iter().map(|(name, ..)| *name)
}

/// Where certificates and keys are.
#[derive(Debug, Clone)]
pub(super) struct Certificates {
    dir: PathBuf,
}

impl Certificates {
    pub(super) fn certificate(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.crt"))
    }

    pub(super) fn key(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.key"))
    }

    pub(super) fn authority(&self) -> PathBuf {
        self.certificate("ca")
    }

    /// The public half of the key that signs service account tokens.
    pub(super) fn service_account_public_key(&self) -> PathBuf {
        self.dir.join("service-account.pub")
    }

    /// The certificates in `dir`, made when they are not there.
    pub(super) fn ensure(dir: PathBuf) -> Result<Self> {
        let certificates = Self { dir };
        // The authority is written last: a half-made set is made again.
        if !certificates.authority().exists() {
            fs::create_dir_all(&certificates.dir)?;
            certificates.make().context("cannot make the bed's certificates")?;
        }
        Ok(certificates)
    }

    fn make(&self) -> Result<()> {
        let authority = authority()?;
        let server = [
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "127.0.0.1",
            "10.96.0.1",
        ];
        let mut params = CertificateParams::new(server.map(String::from))?;
        params.distinguished_name = name("kube-apiserver", None);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign("kube-apiserver", params, &authority)?;
        for (file, common_name, organisation) in CLIENTS {
            let mut params = CertificateParams::default();
            params.distinguished_name = name(common_name, organisation);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            self.sign(file, params, &authority)?;
        }
        let tokens = KeyPair::generate()?;
        write_secret(&self.key("service-account"), &tokens.serialize_pem())?;
        fs::write(self.service_account_public_key(), tokens.public_key_pem())?;
        fs::write(self.authority(), authority.pem())?;
        Ok(())
    }

    fn sign(
        &self,
        file: &str,
        mut params: CertificateParams,
        authority: &CertifiedIssuer<'_, KeyPair>,
    ) -> Result<()> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, authority)?;
        write_secret(&self.key(file), &key.serialize_pem())?;
        fs::write(self.certificate(file), certificate.pem())?;
        Ok(())
    }
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::default();
    params.distinguished_name = name("cafe-bed", None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

fn name(common_name: &str, organisation: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(organisation) = organisation {
        name.push(DnType::OrganizationName, organisation);
    }
    name.push(DnType::CommonName, common_name);
    name
}

fn write_secret(file: &Path, content: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    file.write_all(content.as_bytes())?;
    Ok(())
}

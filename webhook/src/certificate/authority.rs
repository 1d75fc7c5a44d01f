//! The webhook's own authority: what is made when, as a function of what there is and of the time.
//!
//! A new authority is published beside the old one before anything is signed with it, so that whoever trusts either goes on. Both
//! replicas decide alike; the Secret's resource version lets one of them win.

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::{CertificateError, validity};

/// How long an authority is valid, in seconds: four years.
const AUTHORITY_SECONDS: i64 = 4 * 365 * 24 * 3600;
/// How long what it signs is valid, in seconds: 90 days.
const LEAF_SECONDS: i64 = 90 * 24 * 3600;
/// Clocks of API servers may be behind by so many seconds.
const SKEW: i64 = 600;
/// How long an authority is published before it signs, in seconds: every API server has heard of it by then.
const HEARD: i64 = 60;

/// What the Secret holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Store {
    /// Certificates of the authorities that are to be trusted, the newest first.
    pub(crate) bundle: String,
    /// Key of the newest authority.
    pub(crate) authority_key: String,
    /// What is served.
    pub(crate) certificate: String,
    /// Its key.
    pub(crate) key: String,
}

/// Why nothing could be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MakeError {
    /// The library refuses.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// What there is cannot be read.
    #[error(transparent)]
    Read(#[from] CertificateError),
}

/// What the Secret is to hold instead; none when it is good as it is. `is_published`: the configurations trust the whole bundle.
///
/// # Errors
/// Keys or certificates cannot be made.
pub(crate) fn next(
    stored: Option<&Store>,
    names: &[String],
    is_published: bool,
    now: Timestamp,
) -> Result<Option<Store>, MakeError> {
    let now = now.as_second();
    let Some((store, found)) = stored.and_then(|store| Some((store, read(store).ok()?))) else {
        return fresh(names, now).map(Some);
    };
    let newest = found.authorities.first().ok_or(CertificateError::X509)?;
    if is_old(newest.from, newest.until, now) {
        let (bundle, authority_key) = authority(now)?;
        let trusted = found.authorities.iter().filter(|a| a.until > now).map(|a| a.pem.as_str());
        let bundle = std::iter::once(bundle.as_str()).chain(trusted).collect();
        return Ok(Some(Store { bundle, authority_key, ..store.clone() }));
    }
    let is_due =
        found.issuer != newest.subject || is_old(found.from, found.until, now) || found.names != names;
    if is_due && is_published && (found.issuer == newest.subject || now - newest.from >= SKEW + HEARD) {
        let (certificate, key) = leaf(&newest.pem, &store.authority_key, names, now)?;
        return Ok(Some(Store { certificate, key, ..store.clone() }));
    }
    let (valid, expired): (Vec<_>, Vec<_>) = found.authorities.iter().partition(|a| a.until > now);
    if !expired.is_empty() && found.issuer == newest.subject {
        let bundle = valid.iter().map(|a| a.pem.as_str()).collect();
        return Ok(Some(Store { bundle, ..store.clone() }));
    }
    Ok(None)
}

/// Two thirds of its life are over.
fn is_old(from: i64, until: i64, now: i64) -> bool {
    (now - from).saturating_mul(3) >= (until - from).saturating_mul(2)
}

fn fresh(names: &[String], now: i64) -> Result<Store, MakeError> {
    let (bundle, authority_key) = authority(now)?;
    let (certificate, key) = leaf(&bundle, &authority_key, names, now)?;
    Ok(Store { bundle, authority_key, certificate, key })
}

/// Certificate and key of a new authority.
fn authority(now: i64) -> Result<(String, String), MakeError> {
    let mut params = params(now, AUTHORITY_SECONDS, Vec::new())?;
    // Each has a name of its own, so that what it has signed tells which one did.
    params.distinguished_name.push(DnType::CommonName, format!("cafe-webhook authority {now}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// Certificate and key for these names, signed by an authority.
fn leaf(
    authority: &str,
    authority_key: &str,
    names: &[String],
    now: i64,
) -> Result<(String, String), MakeError> {
    let issuer = Issuer::from_ca_cert_pem(authority, KeyPair::from_pem(authority_key)?)?;
    let mut params = params(now, LEAF_SECONDS, names.to_vec())?;
    params.distinguished_name.push(DnType::CommonName, "cafe-webhook");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, &issuer)?.pem(), key.serialize_pem()))
}

fn params(now: i64, seconds: i64, names: Vec<String>) -> Result<CertificateParams, MakeError> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = time(now - SKEW);
    params.not_after = time(now - SKEW + seconds);
    Ok(params)
}

/// The library counts in calendar days of another crate.
fn time(second: i64) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(second).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}

struct Authority {
    pem: String,
    subject: String,
    from: i64,
    until: i64,
}

struct Found {
    authorities: Vec<Authority>,
    issuer: String,
    names: Vec<String>,
    from: i64,
    until: i64,
}

fn read(store: &Store) -> Result<Found, CertificateError> {
    let mut authorities = Vec::new();
    for pem in split(&store.bundle) {
        let der = CertificateDer::from_pem_slice(pem.as_bytes())?;
        let (from, until) = validity(&der)?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| CertificateError::X509)?;
        authorities.push(Authority { subject: parsed.subject().to_string(), pem, from, until });
    }
    if authorities.is_empty()
        || KeyPair::from_pem(&store.authority_key).is_err()
        || KeyPair::from_pem(&store.key).is_err()
    {
        return Err(CertificateError::X509);
    }
    let der = CertificateDer::from_pem_slice(store.certificate.as_bytes())?;
    let (from, until) = validity(&der)?;
    let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| CertificateError::X509)?;
    let alternatives = parsed.subject_alternative_name().ok().flatten();
    let names = alternatives.iter().flat_map(|a| &a.value.general_names);
    let dns = names.filter_map(|name| match name {
        x509_parser::extensions::GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    Ok(Found { authorities, issuer: parsed.issuer().to_string(), names: dns.collect(), from, until })
}

/// The certificates of a bundle, one text each.
fn split(bundle: &str) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let parts = bundle.split_inclusive(END).filter(|part| part.contains(END));
    parts.map(|part| format!("{}\n", part.trim_start())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_800_000_000;

    fn names() -> Vec<String> {
        vec!["cafe-webhook.cafe-system.svc".to_owned()]
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(START + second).unwrap()
    }

    fn made(store: Option<&Store>, published: bool, second: i64) -> Option<Store> {
        next(store, &names(), published, at(second)).unwrap()
    }

    #[test]
    fn what_is_there_and_young_stays_and_what_cannot_be_read_is_made_anew() {
        let first = made(None, false, 0).unwrap();
        assert_eq!(made(Some(&first), true, 3600), None);
        let broken = Store { key: "none".into(), ..first };
        assert!(made(Some(&broken), true, 3600).is_some());
    }

    #[test]
    fn the_certificate_is_renewed_after_two_thirds_of_its_life_by_the_same_authority() {
        let first = made(None, false, 0).unwrap();
        assert_eq!(made(Some(&first), true, LEAF_SECONDS * 2 / 3 - SKEW - 1), None);
        let second = made(Some(&first), true, LEAF_SECONDS * 2 / 3).unwrap();
        assert_eq!((&second.bundle, &second.authority_key), (&first.bundle, &first.authority_key));
        assert_ne!(second.certificate, first.certificate);
    }

    #[test]
    fn a_new_authority_is_trusted_beside_the_old_one_before_it_signs() {
        let first = made(None, false, 0).unwrap();
        let late = AUTHORITY_SECONDS * 2 / 3;
        let second = made(Some(&first), true, late).unwrap();
        assert_eq!((split(&second.bundle).len(), &second.certificate), (2, &first.certificate));
        assert!(second.bundle.ends_with(&first.bundle));
        assert_eq!(made(Some(&second), false, late + 3600), None, "nobody trusts it yet");
        assert_eq!(made(Some(&second), true, late + HEARD - 1), None, "not everybody may have heard of it");
        let third = made(Some(&second), true, late + HEARD).unwrap();
        assert_eq!(third.bundle, second.bundle);
        assert_ne!(third.certificate, second.certificate);
        let found = read(&third).unwrap();
        assert_eq!(found.issuer, found.authorities[0].subject);
        let last = made(Some(&third), true, AUTHORITY_SECONDS + 1).map(|store| split(&store.bundle).len());
        // By then the certificate is due as well, which comes first.
        assert!(last.is_some());
    }

    #[test]
    fn another_name_asks_for_another_certificate() {
        let first = made(None, false, 0).unwrap();
        let other = next(Some(&first), &["other.svc".to_owned()], true, at(60)).unwrap().unwrap();
        assert_eq!(read(&other).unwrap().names, ["other.svc"]);
    }
}

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
/// How long after that an authority that it follows is still trusted, in seconds: every replica has looked at the Secret by then.
const FOLLOWED: i64 = 3600;

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

/// What is there besides the Secret.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Around<'a> {
    /// For how many seconds the configurations have been seen to trust the whole bundle of the Secret; none when they do not.
    pub(crate) published: Option<i64>,
    /// The certificates that the configurations trust.
    pub(crate) trusted: &'a str,
    /// What this process serves.
    pub(crate) served: Option<&'a Store>,
}

/// What the Secret is to hold instead; none when it is good as it is.
///
/// # Errors
/// Keys or certificates cannot be made.
pub(crate) fn next(
    stored: Option<&Store>,
    names: &[String],
    around: Around<'_>,
    now: Timestamp,
) -> Result<Option<Store>, MakeError> {
    let now = now.as_second();
    let Some((store, found)) = stored.and_then(|store| Some((store, read(store).ok()?))) else {
        return fresh(names, around, now).map(Some);
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
    let is_heard = around.published.is_some_and(|seconds| found.issuer == newest.subject || seconds >= HEARD);
    if is_due && is_heard {
        let (certificate, key) = leaf(&newest.pem, &store.authority_key, names, now)?;
        return Ok(Some(Store { certificate, key, ..store.clone() }));
    }
    let is_signed = found.issuer == newest.subject;
    let is_followed = now - found.from >= SKEW + FOLLOWED;
    let stays = |a: &&Authority| a.until > now && (!is_followed || a.subject == newest.subject);
    let stay: Vec<&str> = found.authorities.iter().filter(stays).map(|a| a.pem.as_str()).collect();
    if is_signed && stay.len() < found.authorities.len() {
        return Ok(Some(Store { bundle: stay.concat(), ..store.clone() }));
    }
    Ok(None)
}

/// Whether what the Secret holds can be read: nobody is told to trust it otherwise.
pub(crate) fn is_whole(store: &Store) -> bool {
    read(store).is_ok()
}

/// Two thirds of its life are over.
fn is_old(from: i64, until: i64, now: i64) -> bool {
    (now - from).saturating_mul(3) >= (until - from).saturating_mul(2)
}

/// A new authority, beside those that are trusted: whoever still serves what they have signed goes on, and so does this process until the new
/// one has been heard of.
fn fresh(names: &[String], around: Around<'_>, now: i64) -> Result<Store, MakeError> {
    let (own, authority_key) = authority(now)?;
    let is_valid = |pem: &String| {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok();
        der.and_then(|der| validity(&der).ok()).is_some_and(|(_, until)| until > now)
    };
    let trusted: Vec<String> = split(around.trusted).into_iter().filter(is_valid).collect();
    let bundle = std::iter::once(&own).chain(&trusted).map(String::as_str).collect();
    let serves = |store: &&Store| {
        let found =
            read(store).ok().filter(|found| found.names == names && !is_old(found.from, found.until, now));
        found.is_some_and(|f| f.authorities.iter().any(|a| a.subject == f.issuer && trusted.contains(&a.pem)))
    };
    let (certificate, key) = match around.served.filter(serves) {
        Some(served) => (served.certificate.clone(), served.key.clone()),
        None => leaf(&own, &authority_key, names, now)?,
    };
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
        let around = Around { published: published.then_some(HEARD), ..Around::default() };
        next(store, &names(), around, at(second)).unwrap()
    }

    #[test]
    fn what_is_there_and_young_stays_and_what_cannot_be_read_is_made_anew() {
        let first = made(None, false, 0).unwrap();
        assert_eq!(made(Some(&first), true, 3600), None);
        let broken = Store { key: "none".into(), ..first };
        assert!(made(Some(&broken), true, 3600).is_some());
    }

    #[test]
    fn when_the_secret_is_damaged_the_old_authority_is_trusted_on() {
        let first = made(None, false, 0).unwrap();
        for broken in [
            Store { authority_key: "none".into(), ..first.clone() },
            Store { bundle: "none".into(), ..first.clone() },
        ] {
            assert!(is_whole(&first) && !is_whole(&broken));
            let around = Around { published: None, trusted: &first.bundle, served: Some(&first) };
            let second = next(Some(&broken), &names(), around, at(1000)).unwrap().unwrap();
            assert_eq!((split(&second.bundle).len(), &second.certificate), (2, &first.certificate));
        }
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
        let around = Around { published: Some(HEARD - 1), ..Around::default() };
        let early = next(Some(&second), &names(), around, at(late + 3600)).unwrap();
        assert_eq!(early, None, "not everybody may have heard of it");
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
        let other = next(
            Some(&first),
            &["other.svc".to_owned()],
            Around { published: Some(0), ..Around::default() },
            at(60),
        )
        .unwrap()
        .unwrap();
        assert_eq!(read(&other).unwrap().names, ["other.svc"]);
    }

    #[test]
    fn when_the_secret_is_lost_the_old_authority_is_trusted_until_every_replica_serves_the_new_one() {
        let first = made(None, false, 0).unwrap();
        let lost = Around { published: None, trusted: &first.bundle, served: Some(&first) };
        let second = next(None, &names(), lost, at(1000)).unwrap().unwrap();
        assert_eq!((split(&second.bundle).len(), &second.certificate), (2, &first.certificate));
        assert_ne!(second.authority_key, first.authority_key);
        let third = made(Some(&second), true, 1100).unwrap();
        assert_ne!(third.certificate, first.certificate);
        assert_eq!(made(Some(&third), true, 1100 + FOLLOWED - 1), None, "somebody may serve the old one");
        let last = made(Some(&third), true, 1100 + FOLLOWED).unwrap();
        assert_eq!((split(&last.bundle).len(), &last.certificate), (1, &third.certificate));
        // A process that has served nothing yet serves the new one at once.
        let forgotten = next(None, &names(), Around { served: None, ..lost }, at(1000)).unwrap().unwrap();
        assert_eq!(split(&forgotten.bundle).len(), 2);
        assert_ne!(forgotten.certificate, first.certificate);
        // What is no certificate is not trusted on.
        let junk =
            Around { trusted: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", ..lost };
        assert_eq!(split(&next(None, &names(), junk, at(1000)).unwrap().unwrap().bundle).len(), 1);
    }
}

//! Keeps the Secret with the webhook's own authority, and tells the API server whom to trust.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::{
    Served,
    authority::{self, Around, Store},
};
use crate::{clock, metrics::Metrics};

/// How often it looks when all is well.
const PERIOD: Duration = Duration::from_secs(30);
/// How soon it looks again after a write, or when something failed.
const SOON: Duration = Duration::from_secs(2);
/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

const KINDS: [&str; 2] = ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"];
const AUTHORITY: (&str, &str) = ("ca.crt", "ca.key");
const CERTIFICATE: (&str, &str) = ("tls.crt", "tls.key");

/// Why a look came to nothing.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error("{what}: {source}")]
    Call { what: String, source: Box<kube::Error> },
    #[error("{0}: no answer in time")]
    Timeout(String),
    #[error(transparent)]
    Make(#[from] authority::MakeError),
    #[error("the certificate in the Secret cannot be served: {0}")]
    Serve(#[from] super::CertificateError),
}

/// What a keeper remembers from look to look.
#[derive(Default)]
struct Memory {
    /// What is served.
    served: Option<Store>,
    /// The bundle that the configurations were seen to trust, and since when.
    published: Option<(String, Instant)>,
}

impl Memory {
    /// For how many seconds this bundle has been trusted.
    fn published_for(&mut self, bundle: &str, is_published: bool) -> Option<i64> {
        if !is_published {
            self.published = None;
            return None;
        }
        match &self.published {
            Some((seen, since)) if seen == bundle => i64::try_from(since.elapsed().as_secs()).ok(),
            _ => {
                self.published = Some((bundle.to_owned(), Instant::now()));
                Some(0)
            }
        }
    }
}

/// The keeper.
pub(crate) struct Keeper {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) secret: String,
    pub(crate) configuration: String,
    pub(crate) names: Vec<String>,
    pub(crate) served: Served,
    pub(crate) metrics: Metrics,
}

impl Keeper {
    /// Keeps for ever.
    pub(crate) async fn run(self) {
        let mut memory = Memory::default();
        loop {
            let pause = match self.look(&mut memory).await {
                Ok(true) => PERIOD,
                Ok(false) => SOON,
                Err(error) => {
                    tracing::warn!(error = error.to_string(), "cannot keep the certificate; tries again");
                    SOON
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// One look. Whether all is as it should be.
    async fn look(&self, memory: &mut Memory) -> Result<bool, KeepError> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let found = call(format!("get secret {}", self.secret), secrets.get_opt(&self.secret)).await?;
        let store = found.as_ref().map(stored);
        // Whom to trust is told before anything is served that asks for it.
        let is_published = match &store {
            Some(store) if authority::is_whole(store) => self.publish(&store.bundle).await?,
            _ => false,
        };
        let bundle = store.as_ref().map_or("", |store| store.bundle.as_str());
        let published = memory.published_for(bundle, is_published);
        let trusted = if is_published { String::new() } else { self.trusted().await? };
        let around = Around { published, trusted: &trusted, served: memory.served.as_ref() };
        if let Some(next) = authority::next(store.as_ref(), &self.names, around, clock::now())? {
            self.write(&secrets, found, &next).await?;
            return Ok(false);
        }
        if let Some(store) = store.filter(|store| memory.served.as_ref() != Some(store)) {
            self.served.replace(&store.certificate, &store.key, &self.metrics)?;
            tracing::info!(secret = self.secret, "serves a new certificate");
            memory.served = Some(store);
        }
        Ok(is_published)
    }

    /// Creates the Secret, or replaces exactly the one that was seen. Whoever comes second looks again.
    async fn write(
        &self,
        secrets: &Api<Secret>,
        found: Option<Secret>,
        store: &Store,
    ) -> Result<(), KeepError> {
        let what = format!("write secret {}", self.secret);
        let mut secret = found.unwrap_or_else(|| Secret {
            metadata: ObjectMeta { name: Some(self.secret.clone()), ..ObjectMeta::default() },
            type_: Some("kubernetes.io/tls".into()),
            ..Secret::default()
        });
        let texts = [
            (AUTHORITY.0, &store.bundle),
            (AUTHORITY.1, &store.authority_key),
            (CERTIFICATE.0, &store.certificate),
            (CERTIFICATE.1, &store.key),
        ];
        let data = texts.map(|(key, text)| (key.to_owned(), ByteString(text.clone().into_bytes())));
        secret.data.get_or_insert_default().extend(BTreeMap::from(data));
        let post = PostParams { field_manager: Some("cafe-webhook".into()), ..PostParams::default() };
        if secret.metadata.resource_version.is_some() {
            call(what, secrets.replace(&self.secret, &post, &secret)).await.map(drop)
        } else {
            call(what, secrets.create(&post, &secret)).await.map(drop)
        }
    }

    fn configurations(&self, kind: &str) -> Api<DynamicObject> {
        let gvk = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind);
        Api::all_with(self.client.clone(), &ApiResource::from_gvk(&gvk))
    }

    /// What both configurations trust now, each bundle once.
    async fn trusted(&self) -> Result<String, KeepError> {
        let mut found: Vec<String> = Vec::new();
        for kind in KINDS {
            let get = self.configurations(kind);
            let what = format!("get {kind} {}", self.configuration);
            let object = call(what, get.get_opt(&self.configuration)).await?;
            let new = object.iter().flat_map(bundles).filter(|bundle| !found.contains(bundle));
            found.extend(new.collect::<std::collections::BTreeSet<_>>());
        }
        Ok(found.concat())
    }

    /// Writes the bundle into both configurations. Whether they had it already.
    async fn publish(&self, bundle: &str) -> Result<bool, KeepError> {
        let bundle = serde_json::to_value(ByteString(bundle.as_bytes().to_vec())).unwrap_or_default();
        let mut had = true;
        for kind in KINDS {
            let api = self.configurations(kind);
            let what = format!("{kind} {}", self.configuration);
            let Some(object) = call(format!("get {what}"), api.get_opt(&self.configuration)).await? else {
                // Nobody asks this webhook through it, so nobody has to trust it there.
                tracing::debug!(kind, name = self.configuration, "there is no such configuration");
                continue;
            };
            let patch = trusting(&object, &bundle);
            if !patch.is_empty() {
                had = false;
                let patch = serde_json::from_value(Value::Array(patch)).map(Patch::<()>::Json);
                if let Ok(patch) = patch {
                    let params =
                        PatchParams { field_manager: Some("cafe-webhook".into()), ..PatchParams::default() };
                    call(format!("patch {what}"), api.patch(&self.configuration, &params, &patch)).await?;
                    tracing::info!(kind, name = self.configuration, "trusts the webhook's authority");
                }
            }
        }
        Ok(had)
    }
}

/// The certificates that an object's entries trust.
fn bundles(object: &DynamicObject) -> Vec<String> {
    let entries = object.data.get("webhooks").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let bundles = entries.iter().filter_map(|e| e.pointer("/clientConfig/caBundle").cloned());
    let texts = bundles
        .filter_map(|bundle| String::from_utf8(serde_json::from_value::<ByteString>(bundle).ok()?.0).ok());
    texts.collect()
}

/// The patch that lets every entry trust the bundle; empty when all do.
fn trusting(object: &DynamicObject, bundle: &Value) -> Vec<Value> {
    let entries = object.data.get("webhooks").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let others =
        entries.iter().enumerate().filter(|(_, e)| e.pointer("/clientConfig/caBundle") != Some(bundle));
    let mut patch: Vec<Value> = others
        .map(|(i, _)| json!({ "op": "add", "path": format!("/webhooks/{i}/clientConfig/caBundle"), "value": bundle }))
        .collect();
    if !patch.is_empty() {
        let version = object.metadata.resource_version.clone();
        patch.insert(0, json!({ "op": "test", "path": "/metadata/resourceVersion", "value": version }));
    }
    patch
}

fn stored(secret: &Secret) -> Store {
    let text = |key: &str| {
        let data = secret.data.as_ref().and_then(|data| data.get(key));
        data.and_then(|bytes| String::from_utf8(bytes.0.clone()).ok()).unwrap_or_default()
    };
    Store {
        bundle: text(AUTHORITY.0),
        authority_key: text(AUTHORITY.1),
        certificate: text(CERTIFICATE.0),
        key: text(CERTIFICATE.1),
    }
}

async fn call<T>(what: String, call: impl Future<Output = kube::Result<T>>) -> Result<T, KeepError> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(source)) => Err(KeepError::Call { what, source: Box::new(source) }),
        Err(_) => Err(KeepError::Timeout(what)),
    }
}

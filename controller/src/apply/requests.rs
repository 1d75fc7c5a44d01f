//! The requests themselves: paths, verbs and preconditions.

use cafe_crds::{
    names::{ANNOTATION_FENCE, FIELD_MANAGER, FINALIZER_DRAIN, GROUP, LABEL_REVISION, VERSION},
    selector::Selector,
};
use cafe_planner::identity::{RevisionHash, Uid};
use http::{
    Method, Request,
    header::{ACCEPT, CONTENT_TYPE},
};
use serde_json::{Value, json};

use super::Call;
use crate::{observe::content::Content, world::Kind};

/// How a patch is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PatchType {
    /// Lists by their keys: for the kinds of Kubernetes itself.
    Strategic,
    /// RFC 7386.
    Merge,
    /// RFC 6902.
    Json,
}

impl PatchType {
    fn content_type(self) -> &'static str {
        match self {
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Merge => "application/merge-patch+json",
            Self::Json => "application/json-patch+json",
        }
    }
}

fn collection(kind: Kind, namespace: &str) -> String {
    let group = match kind {
        Kind::Deployment | Kind::Set | Kind::Release => format!("/apis/{GROUP}/{VERSION}"),
        Kind::Revision => "/apis/apps/v1".to_owned(),
        Kind::Pod | Kind::Node | Kind::Claim => "/api/v1".to_owned(),
        Kind::Slice => "/apis/discovery.k8s.io/v1".to_owned(),
    };
    format!("{group}/namespaces/{namespace}/{}", kind.resource())
}

fn request(method: Method, uri: &str, content_type: &'static str, body: Option<&Value>) -> Request<Vec<u8>> {
    // A JSON value always serialises; an empty body would be refused by the server, not silently accepted.
    let body = body.and_then(|b| serde_json::to_vec(b).ok()).unwrap_or_default();
    let mut request = Request::new(body);
    *request.method_mut() = method;
    if let Ok(uri) = uri.parse() {
        *request.uri_mut() = uri;
    }
    request.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    request
}

/// POST.
pub(super) fn create(kind: Kind, namespace: &str, body: &Value) -> Request<Vec<u8>> {
    let uri = format!("{}?fieldManager={FIELD_MANAGER}", collection(kind, namespace));
    request(Method::POST, &uri, "application/json", Some(body))
}

/// PATCH of a pod or, with `subresource` (`/status`), of a part of it. The answer leaves out what the watch shows anyway.
pub(super) fn patch_pod(namespace: &str, name: &str, subresource: &str, body: &Value) -> Request<Vec<u8>> {
    const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let mut request = patch(Kind::Pod, namespace, name, subresource, PatchType::Strategic, body);
    request.headers_mut().insert(ACCEPT, http::HeaderValue::from_static(METADATA));
    request
}

/// PATCH of an object or, with `subresource` (`/status`), of a part of it.
pub(super) fn patch(
    kind: Kind,
    namespace: &str,
    name: &str,
    subresource: &str,
    how: PatchType,
    body: &Value,
) -> Request<Vec<u8>> {
    let uri = format!("{}/{name}{subresource}?fieldManager={FIELD_MANAGER}", collection(kind, namespace));
    request(Method::PATCH, &uri, how.content_type(), Some(body))
}

/// DELETE of exactly this object in exactly this state.
pub(super) fn delete(kind: Kind, namespace: &str, name: &str, uid: Uid, rv: u64) -> Request<Vec<u8>> {
    let body = json!({
        "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
        "preconditions": {"uid": uid.to_string(), "resourceVersion": rv.to_string()},
    });
    request(
        Method::DELETE,
        &format!("{}/{name}", collection(kind, namespace)),
        "application/json",
        Some(&body),
    )
}

/// PATCH of an InPlaceSet that changes nothing but its resource version: whoever wrote it before, nothing older lands after.
pub(super) fn fence(namespace: &str, name: &str, uid: Uid, rv: u64) -> Request<Vec<u8>> {
    let annotations = json!({ANNOTATION_FENCE: rv.to_string()});
    let body = json!({"metadata": metadata(uid, rv, [("annotations", annotations)])});
    patch(Kind::Set, namespace, name, "", PatchType::Merge, &body)
}

/// A live LIST of what there is in which version: without a resource version it is a quorum read. What they
/// contain is left out.
pub(super) fn list_versions(kind: Kind, namespace: &str) -> Request<Vec<u8>> {
    const VERSIONS: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let mut request = request(Method::GET, &collection(kind, namespace), "application/json", None);
    request.headers_mut().insert(ACCEPT, http::HeaderValue::from_static(VERSIONS));
    request
}

/// A live GET of the object a call was about, after its outcome was lost.
pub(crate) fn reread(call: &Call) -> Request<Vec<u8>> {
    let uri = format!("{}/{}", collection(call.kind, &call.namespace), call.name);
    request(Method::GET, &uri, "application/json", None)
}

/// The metadata of a patch: the identity and state it applies to (anything else is a conflict), and what it changes.
pub(super) fn metadata<const N: usize>(uid: Uid, rv: u64, changes: [(&str, Value); N]) -> Value {
    let identity = [("uid", Value::from(uid.to_string())), ("resourceVersion", Value::from(rv.to_string()))];
    identity.into_iter().chain(changes).map(|(field, value)| (field.to_owned(), value)).collect()
}

/// A JSON patch that puts `value` at `path` as a whole, on exactly this object in exactly this state. Unlike a PUT it
/// leaves alone what others keep in the metadata.
pub(super) fn replace_on(uid: Uid, rv: u64, path: &str, value: &Value) -> Value {
    json!([
        {"op": "test", "path": "/metadata/uid", "value": uid.to_string()},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": rv.to_string()},
        {"op": "add", "path": path, "value": value},
    ])
}

/// The owner reference of a child.
pub(super) fn owned_by(kind: &str, name: &str, uid: Uid) -> Value {
    json!([{
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": kind, "name": name, "uid": uid.to_string(),
        "controller": true, "blockOwnerDeletion": true,
    }])
}

/// A live GET of an object.
pub(super) fn get(kind: Kind, namespace: &str, name: &str) -> Request<Vec<u8>> {
    request(Method::GET, &format!("{}/{name}", collection(kind, namespace)), "application/json", None)
}

/// A JSON patch that takes our finalizer off its place in the list, on exactly this object in exactly this state.
pub(super) fn without_finalizer(uid: Uid, rv: u64, at: usize) -> Value {
    let path = format!("/metadata/finalizers/{at}");
    json!([
        {"op": "test", "path": "/metadata/uid", "value": uid.to_string()},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": rv.to_string()},
        {"op": "test", "path": path, "value": FINALIZER_DRAIN},
        {"op": "remove", "path": path},
    ])
}

/// The body of a new ControllerRevision.
pub(super) fn revision_body(owner: &Owned<'_>, content: &Content, number: i64, hash: RevisionHash) -> Value {
    let mut labels = owner.selector.match_labels.clone();
    labels.insert(LABEL_REVISION.to_owned(), hash.to_string());
    json!({
        "apiVersion": "apps/v1", "kind": "ControllerRevision",
        "metadata": {
            "name": revision_name(owner.name, hash), "namespace": owner.namespace, "labels": labels,
            "ownerReferences": owned_by(owner.kind, owner.name, owner.uid),
        },
        "data": content.to_data(),
        "revision": number,
    })
}

/// The name of an owner's ControllerRevision.
pub(super) fn revision_name(owner: &str, hash: RevisionHash) -> String {
    format!("{owner}-{hash}")
}

/// The owner of a ControllerRevision.
pub(super) struct Owned<'a> {
    /// Kind of the owner.
    pub(super) kind: &'static str,
    /// Its name.
    pub(super) name: &'a str,
    /// Its namespace.
    pub(super) namespace: &'a str,
    /// Its uid.
    pub(super) uid: Uid,
    /// Its selector, whose labels the revision carries.
    pub(super) selector: &'a Selector,
}

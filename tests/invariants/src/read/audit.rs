//! Lines of a Kubernetes audit log (`audit.k8s.io/v1`, one JSON event per line).
//!
//! What can be judged depends on the level: `Metadata` shows who wrote what, `Request` also the preconditions, `RequestResponse`
//! also the versions that the writes made.

use jiff::Timestamp;
use serde_json::Value;
use thiserror::Error;

use super::json::{list, number, shared, text};
use super::others;
use crate::record::{Identity, Uid};
use crate::{Body, Event, Kind, Verb, Write};
use cafe_crds::names::{FINALIZER_DRAIN, PROTECTOR_PREFIX};

/// Why a line is no audit event.
#[derive(Debug, Error)]
pub enum Error {
    /// It is no JSON.
    #[error("not JSON: {0}; give a log of the API server's log backend with --audit-log-format=json")]
    Json(#[from] serde_json::Error),
    /// It has no time.
    #[error("no audit event: {0} is missing or no time")]
    Time(&'static str),
}

/// One request of an audit log and what is known of the version it made.
#[derive(Clone, Debug)]
pub struct Line {
    /// When the server received it, in milliseconds.
    pub received: i64,
    /// When the server answered it, in milliseconds.
    pub answered: i64,
    /// The request.
    pub write: Write,
    /// The object after it, or that it is gone; none when the log does not show it.
    pub object: Option<Event>,
    /// The log could show the object of such a request.
    pub shows_object: bool,
}

/// Reads one line. None for requests that read, and for stages before the end of a request.
///
/// # Errors
/// When it is no audit event.
pub fn line(text: &[u8], is_ours: impl Fn(&str) -> bool) -> Result<Option<Line>, Error> {
    let event: Value = serde_json::from_slice(text)?;
    let of = |pointer| self::text(&event, pointer);
    let verb = match of("/verb") {
        "create" => Verb::Create,
        "update" | "patch" | "apply" => Verb::Change,
        "delete" => Verb::Delete,
        "deletecollection" => Verb::DeleteAll,
        _ => return Ok(None),
    };
    if !matches!(of("/stage"), "ResponseComplete" | "Panic") || of("/objectRef/resource").is_empty() {
        return Ok(None);
    }
    // A request that only asks what would happen changes nothing.
    if of("/requestURI").contains("dryRun=All") {
        return Ok(None);
    }
    let (received, answered) = (time(&event, "requestReceivedTimestamp")?, time(&event, "stageTimestamp")?);
    let kind = Kind::of(of("/objectRef/apiGroup"), of("/objectRef/resource"));
    let code = number(&event, "/responseStatus/code").unwrap_or(0);
    let accepted = (200..300).contains(&code);
    let answer = event.get("responseObject").filter(|o| accepted && self::text(o, "/kind") != "Status");
    let body = event.get("requestObject");
    let mut write = Write {
        received,
        client: shared(&client(&event)),
        ours: is_ours(of("/user/username")),
        verb,
        kind,
        object: identity(&event, answer, verb),
        subresource: shared(of("/objectRef/subresource")),
        body: body.map(|body| read_body(body, verb)),
        accepted,
        panicked: of("/stage") == "Panic",
        lease: answer.or(body).filter(|_| kind == Kind::Lease && verb != Verb::Delete).map(others::lease),
    };
    let shows = matches!(of("/objectRef/subresource"), "" | "status") && accepted;
    let object = if shows { after(&write, answer, body) } else { None };
    // Whoever takes the last finalizer off what is being deleted deletes it: the answer still has the version before.
    if matches!(object, Some(Event::Gone(..))) {
        write.verb = Verb::Delete;
    }
    Ok(Some(Line { received, answered, write, object, shows_object: shows }))
}

fn time(event: &Value, field: &'static str) -> Result<i64, Error> {
    let at = event.get(field).and_then(Value::as_str).and_then(|at| at.parse::<Timestamp>().ok());
    at.map(Timestamp::as_millisecond).ok_or(Error::Time(field))
}

/// The client: the pod that the account's token is bound to, where the log tells, else its address and name.
fn client(event: &Value) -> String {
    let extra = event.pointer("/user/extra").and_then(|e| e.get("authentication.kubernetes.io/pod-name"));
    if let Some(pod) = extra.and_then(|names| names.get(0)).and_then(Value::as_str) {
        return pod.to_owned();
    }
    let address = event.pointer("/sourceIPs/0").and_then(Value::as_str).unwrap_or_default();
    format!("{address} {}", text(event, "/userAgent"))
}

fn identity(event: &Value, answer: Option<&Value>, verb: Verb) -> Identity {
    let shown = answer.map(super::identity).unwrap_or_default();
    let of = |field: &str| text(event, &format!("/objectRef/{field}"));
    let name = if of("name").is_empty() { &*shown.name } else { of("name") };
    // A deletion that is answered by a Status names the object in its details.
    let details = text(event, "/responseObject/details/uid");
    let uid = [of("uid"), details].into_iter().find(|uid| !uid.is_empty() && verb != Verb::Create);
    Identity {
        namespace: shared(of("namespace")),
        name: shared(name),
        uid: if shown.uid == Uid::default() || answer.is_none() {
            uid.map(Uid::of).unwrap_or_default()
        } else {
            shown.uid
        },
        version: shown.version,
    }
}

/// The preconditions of a body: of a deletion, of a JSON patch, or of an object or a part of one.
fn read_body(body: &Value, verb: Verb) -> Body {
    if let Value::Array(operations) = body {
        return json_patch(operations);
    }
    let uid_at = if verb == Verb::Delete { "/preconditions/uid" } else { "/metadata/uid" };
    let version_at =
        if verb == Verb::Delete { "/preconditions/resourceVersion" } else { "/metadata/resourceVersion" };
    let uid = text(body, uid_at);
    let finalizers = || list(body, "/metadata/finalizers").filter_map(Value::as_str);
    let finalizer = match verb {
        Verb::Create => finalizers().any(|name| name.starts_with(PROTECTOR_PREFIX)),
        _ => {
            let mentioned = ["/metadata/finalizers", "/metadata/$deleteFromPrimitiveList~1finalizers"];
            mentioned.iter().any(|field| body.pointer(field).is_some())
        }
    };
    Body {
        uid: (!uid.is_empty()).then(|| Uid::of(uid)),
        version: text(body, version_at).parse().ok(),
        finalizers: finalizer,
        adopts: body.pointer("/metadata/ownerReferences").is_some(),
        forced: number(body, "/gracePeriodSeconds") == Some(0),
    }
}

fn json_patch(operations: &[Value]) -> Body {
    let value = |path: &str| {
        let operation = operations.iter().find(|o| text(o, "/path") == path)?;
        operation.get("value")?.as_str()
    };
    let touches = |path: &str| {
        operations.iter().any(|o| text(o, "/path").starts_with(path) && text(o, "/op") != "test")
    };
    // A finalizer of ours that is taken off by name is nobody else's.
    let ours = operations.iter().any(|o| {
        let path = text(o, "/path");
        let named = text(o, "/op") == "test" && text(o, "/value") == FINALIZER_DRAIN;
        let removed = |r: &Value| text(r, "/op") == "remove" && text(r, "/path") == path;
        named && path.starts_with("/metadata/finalizers/") && operations.iter().any(removed)
    });
    Body {
        uid: value("/metadata/uid").map(Uid::of),
        version: value("/metadata/resourceVersion").and_then(|version| version.parse().ok()),
        finalizers: touches("/metadata/finalizers") && !ours,
        adopts: touches("/metadata/ownerReferences"),
        forced: false,
    }
}

/// The object after the request.
fn after(write: &Write, answer: Option<&Value>, body: Option<&Value>) -> Option<Event> {
    let gone = || Some(Event::Gone(write.kind, write.object.clone()));
    let Some(answer) = answer else {
        // Answered by a Status: what has no grace period is gone.
        let at_once = write.verb == Verb::Delete && write.kind != Kind::Pod;
        return if at_once { gone() } else { None };
    };
    let keeps_finalizers = list(answer, "/metadata/finalizers").next().is_some();
    let no_grace = number(answer, "/metadata/deletionGracePeriodSeconds") == Some(0)
        || body.is_some_and(|b| number(b, "/gracePeriodSeconds") == Some(0) && write.verb == Verb::Delete);
    let deleting = super::json::is_deleting(answer) || write.verb == Verb::Delete;
    let by_grace = write.kind == Kind::Pod && !no_grace;
    if deleting && !by_grace && !keeps_finalizers {
        return gone();
    }
    super::object(write.kind, answer)
}

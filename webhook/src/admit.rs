//! One review: what is asked, what is judged, what is answered.

use cafe_crds::{
    deployment::CafeDeployment,
    names::ANNOTATION_AUTHORS,
    validate::{self, Problem, Verdict},
};
use jiff::Timestamp;
use kube::core::{
    DynamicObject, Status,
    admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation},
    response::{StatusCause, StatusDetails},
};
use serde_json::{Value, json};

use crate::{
    habits,
    stamp::{self, Who},
};

/// Kubernetes cuts warnings that are longer.
const MOST_WARNING: usize = 256;

/// What a webhook entry asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Write the names of authors into the object.
    Stamp,
    /// Refuse what is wrong.
    Validate,
}

impl Ask {
    /// The word in metrics and logs.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Stamp => "stamp",
            Self::Validate => "validate",
        }
    }
}

/// Why a body is no review.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// Not JSON, or not of this form.
    #[error("the body is no AdmissionReview of admission.k8s.io/v1: {0}")]
    Form(#[from] serde_json::Error),
    /// A review without a request, or of another version.
    #[error("the AdmissionReview has no request of admission.k8s.io/v1")]
    NoRequest,
}

/// Answers a review. `controller` is the user whose writes to InPlaceSets are its own affair.
///
/// # Errors
/// The body is no review.
pub(crate) fn answer(
    ask: Ask,
    body: &[u8],
    controller: &str,
    now: Timestamp,
) -> Result<AdmissionReview<DynamicObject>, ReadError> {
    let review: AdmissionReview<DynamicObject> = serde_json::from_slice(body)?;
    let request: AdmissionRequest<DynamicObject> = review.try_into().map_err(|_| ReadError::NoRequest)?;
    let response = AdmissionResponse::from(&request);
    let writes = matches!(request.operation, Operation::Create | Operation::Update);
    if !writes || request.sub_resource.is_some() || request.kind.group != cafe_crds::names::GROUP {
        return Ok(response.into_review());
    }
    let response = match (ask, request.kind.kind.as_str()) {
        (Ask::Stamp, "CafeDeployment") => stamp(&request, response, now),
        (Ask::Validate, "CafeDeployment") => judge_deployment(&request, response),
        (Ask::Validate, "InPlaceSet") => judge_set(&request, response, controller),
        _ => response,
    };
    Ok(response.into_review())
}

fn who(request: &AdmissionRequest<DynamicObject>) -> Who {
    let info = &request.user_info;
    Who::of(info.username.as_deref().unwrap_or_default(), info.groups.as_deref().unwrap_or_default())
}

fn authors(object: &DynamicObject) -> Option<&str> {
    object.metadata.annotations.as_ref()?.get(ANNOTATION_AUTHORS).map(String::as_str)
}

fn spec(object: &DynamicObject) -> &Value {
    object.data.get("spec").unwrap_or(&Value::Null)
}

fn stamp(
    request: &AdmissionRequest<DynamicObject>,
    response: AdmissionResponse,
    now: Timestamp,
) -> AdmissionResponse {
    let Some(object) = &request.object else { return response };
    let old = request.old_object.as_ref();
    let wanted =
        stamp::stamped(old.and_then(authors), old.map(spec), spec(object), &who(request), now.into());
    let patch = patch(object, wanted.as_deref());
    let patched = serde_json::from_value(Value::Array(patch)).map(|patch| response.clone().with_patch(patch));
    match patched {
        Ok(Ok(patched)) => patched,
        // A stamp is no reason to refuse an order.
        _ => response,
    }
}

/// The JSON patch that leaves exactly `wanted` in the annotation.
fn patch(object: &DynamicObject, wanted: Option<&str>) -> Vec<Value> {
    const ANNOTATIONS: &str = "/metadata/annotations";
    let path = format!("{ANNOTATIONS}/{}", ANNOTATION_AUTHORS.replace('/', "~1"));
    match (authors(object), wanted) {
        (found, wanted) if found == wanted => Vec::new(),
        (_, None) => vec![json!({ "op": "remove", "path": path })],
        (_, Some(wanted)) => {
            let mut patch = Vec::new();
            if object.metadata.annotations.is_none() {
                patch.push(json!({ "op": "add", "path": ANNOTATIONS, "value": {} }));
            }
            patch.push(json!({ "op": "add", "path": path, "value": wanted }));
            patch
        }
    }
}

fn judge_deployment(
    request: &AdmissionRequest<DynamicObject>,
    response: AdmissionResponse,
) -> AdmissionResponse {
    let Some(object) = &request.object else { return response };
    let (Some(new), old) = (typed(object), request.old_object.as_ref().and_then(typed)) else {
        // The schema has accepted it: this webhook is of another version than the definitions.
        return warned(
            response,
            vec!["cafe-webhook cannot read this object: its version differs from the CRDs'".into()],
        );
    };
    let mut verdict = validate::deployment(old.as_ref(), &new);
    let before = request.old_object.as_ref().and_then(authors);
    if stamp::is_forged(before, authors(object), &who(request)) {
        verdict.problems.push(Problem {
            field: format!("metadata.annotations[{ANNOTATION_AUTHORS}]"),
            message: "it is written by cafe-webhook alone: leave it as it is".into(),
        });
    }
    let (was, is) = (request.old_object.as_ref().map(spec), spec(object));
    if stamp::lacks_author(authors(object), was, is, &who(request)) {
        verdict.problems.push(Problem {
            field: "spec.template".into(),
            message: "who changes it could not be noted just now: try again".into(),
        });
    }
    let manager = request.options.as_ref().and_then(|options| options.0.get("fieldManager")?.as_str());
    verdict.warnings.extend(habits::warnings(old.as_ref(), &new, manager));
    told(response, &new, verdict)
}

fn typed(object: &DynamicObject) -> Option<CafeDeployment> {
    object.clone().try_parse().ok()
}

/// An InPlaceSet that a CafeDeployment owns is written by the controller alone.
fn judge_set(
    request: &AdmissionRequest<DynamicObject>,
    response: AdmissionResponse,
    controller: &str,
) -> AdmissionResponse {
    let Some(object) = &request.object else { return response };
    let owners = object.metadata.owner_references.as_deref().unwrap_or_default();
    let owner = owners.iter().find(|o| o.controller == Some(true) && o.kind == "CafeDeployment");
    let changed = request.old_object.as_ref().is_some_and(|old| spec(old) != spec(object));
    let Some(owner) = owner.filter(|_| changed && request.user_info.username.as_deref() != Some(controller))
    else {
        return response;
    };
    let warning = format!(
        "CafeDeployment {} owns this InPlaceSet and will undo the change: edit {} instead",
        owner.name, owner.name
    );
    warned(response, vec![warning])
}

fn warned(mut response: AdmissionResponse, warnings: Vec<String>) -> AdmissionResponse {
    let short = warnings.into_iter().map(|w| w.chars().take(MOST_WARNING).collect()).collect::<Vec<String>>();
    response.warnings = (!short.is_empty()).then_some(short);
    response
}

/// All problems in one reply, as the API server words its own.
fn told(response: AdmissionResponse, object: &CafeDeployment, verdict: Verdict) -> AdmissionResponse {
    let response = warned(response, verdict.warnings);
    if verdict.problems.is_empty() {
        return response;
    }
    let lines: Vec<String> = verdict.problems.iter().map(|p| format!("{}: {}", p.field, p.message)).collect();
    let cause =
        |p: Problem| StatusCause { reason: "FieldValueInvalid".into(), message: p.message, field: p.field };
    let details = StatusDetails {
        name: object.metadata.name.clone().unwrap_or_default(),
        group: cafe_crds::names::GROUP.into(),
        kind: "CafeDeployment".into(),
        causes: verdict.problems.into_iter().map(cause).collect(),
        uid: object.metadata.uid.clone().unwrap_or_default(),
        retry_after_seconds: 0,
    };
    let mut response = response.deny(lines.join("; "));
    response.result =
        Status { code: 422, reason: "Invalid".into(), details: Some(details), ..response.result };
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTROLLER: &str = "system:serviceaccount:cafe-system:cafe-controller";

    fn review(kind: &str, user: &str, old: Option<&Value>, new: &Value) -> Vec<u8> {
        let resource = if kind == "InPlaceSet" { "inplacesets" } else { "cafedeployments" };
        let operation = if old.is_some() { "UPDATE" } else { "CREATE" };
        serde_json::to_vec(&json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "u1", "operation": operation, "name": "web", "namespace": "shop",
                "kind": { "group": "cafe.dev", "version": "v1alpha1", "kind": kind },
                "resource": { "group": "cafe.dev", "version": "v1alpha1", "resource": resource },
                "userInfo": { "username": user, "groups": ["ops"] },
                "object": new, "oldObject": old, "dryRun": false,
                "options": { "apiVersion": "meta.k8s.io/v1", "kind": "UpdateOptions", "fieldManager": "kubectl-edit" },
            },
        }))
        .unwrap()
    }

    fn object(spec: &Value) -> Value {
        let mut object = json!({
            "apiVersion": "cafe.dev/v1alpha1", "kind": "CafeDeployment",
            "metadata": { "name": "web", "namespace": "shop" },
            "spec": {
                "selector": { "matchLabels": { "app": "web" } },
                "template": { "spec": { "containers": [{ "name": "app", "image": "web:1" }] } },
            },
            "status": { "release": {
                "revision": 7, "state": "WaitingForConfirmation", "group": 2, "groupTotal": 3, "groups": [],
                "confirmToken": "7/2", "confirmedThrough": 1,
            } },
        });
        for (key, value) in spec.as_object().unwrap() {
            object["spec"][key] = value.clone();
        }
        object
    }

    fn asked(ask: Ask, body: &[u8]) -> Value {
        let review = answer(ask, body, CONTROLLER, Timestamp::UNIX_EPOCH).unwrap();
        serde_json::to_value(review).unwrap()["response"].take()
    }

    #[test]
    fn a_wrong_token_is_refused_in_the_words_of_the_api_server_with_the_right_one() {
        let new = object(&json!({ "release": { "confirm": "7/9" } }));
        let found = asked(Ask::Validate, &review("CafeDeployment", "alice", Some(&object(&json!({}))), &new));
        assert_eq!((&found["allowed"], &found["uid"]), (&json!(false), &json!("u1")));
        assert_eq!((&found["status"]["code"], &found["status"]["reason"]), (&json!(422), &json!("Invalid")));
        assert_eq!(found["status"]["details"]["causes"][0]["field"], "spec.release.confirm");
        assert!(found["status"]["message"].as_str().unwrap().contains("waits at \"7/2\""), "{found}");
        let right = object(&json!({ "release": { "confirm": "7/2" } }));
        let found =
            asked(Ask::Validate, &review("CafeDeployment", "alice", Some(&object(&json!({}))), &right));
        assert_eq!(found["allowed"], true, "{found}");
    }

    #[test]
    fn the_stamp_names_the_user_and_nothing_changes_when_nothing_is_ordered() {
        let new = object(&json!({ "release": { "confirm": "7/2" } }));
        let found = asked(Ask::Stamp, &review("CafeDeployment", "alice", Some(&object(&json!({}))), &new));
        let patch: Vec<u8> = serde_json::from_value(found["patch"].clone()).unwrap();
        let patch: Value = serde_json::from_slice(&patch).unwrap();
        assert_eq!(patch[0], json!({ "op": "add", "path": "/metadata/annotations", "value": {} }));
        let stamps: Value = serde_json::from_str(patch[1]["value"].as_str().unwrap()).unwrap();
        assert_eq!((&stamps["confirm"]["user"], &stamps["confirm"]["of"]), (&json!("alice"), &json!("7/2")));
        let same = asked(Ask::Stamp, &review("CafeDeployment", "alice", Some(&new), &new));
        let patch: Vec<u8> = serde_json::from_value(same["patch"].clone()).unwrap();
        assert_eq!(patch, b"[]");
    }

    #[test]
    fn a_forged_stamp_is_refused() {
        let mut new = object(&json!({}));
        new["metadata"]["annotations"] =
            json!({ ANNOTATION_AUTHORS: r#"{"confirm":{"user":"root","at":"2026-01-01T00:00:00Z"}}"# });
        let found = asked(Ask::Validate, &review("CafeDeployment", "eve", Some(&object(&json!({}))), &new));
        assert_eq!(found["allowed"], false);
    }

    #[test]
    fn who_edits_an_owned_in_place_set_is_told_whose_it_is_and_the_controller_is_not() {
        let set = |replicas: i32| {
            json!({
                "apiVersion": "cafe.dev/v1alpha1", "kind": "InPlaceSet",
                "metadata": { "name": "web-cella", "ownerReferences": [{
                    "apiVersion": "cafe.dev/v1alpha1", "kind": "CafeDeployment", "name": "web", "uid": "u", "controller": true,
                }] },
                "spec": { "replicas": replicas },
            })
        };
        let by = |user: &str| asked(Ask::Validate, &review("InPlaceSet", user, Some(&set(2)), &set(3)));
        assert!(by("alice")["warnings"][0].as_str().unwrap().contains("edit web instead"));
        assert_eq!((&by("alice")["allowed"], &by(CONTROLLER)["warnings"]), (&json!(true), &Value::Null));
    }

    #[test]
    fn what_is_no_review_is_an_error_and_no_panic() {
        for body in [
            &b""[..],
            b"{",
            b"[]",
            b"{}",
            br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}"#,
        ] {
            assert!(answer(Ask::Validate, body, CONTROLLER, Timestamp::UNIX_EPOCH).is_err());
        }
    }
}

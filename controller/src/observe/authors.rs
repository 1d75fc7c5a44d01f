//! Who wrote what in the spec of a CafeDeployment.

use std::collections::BTreeMap;

use cafe_crds::{
    authors::{self, Stamp},
    deployment::ReleaseControls,
    names::{ANNOTATION_AUTHORS, FIELD_MANAGER},
};
use cafe_planner::{Text, deployment::Authors};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;

/// The paths of the managed fields, from the spec.
const TEMPLATE: &[&str] = &["f:template"];
const CONFIRM: &[&str] = &["f:release", "f:confirm"];
const ABORT: &[&str] = &["f:release", "f:abort"];
const RETRY: &[&str] = &["f:release", "f:retry"];
const ROLLBACK: &[&str] = &["f:release", "f:rollback"];

/// What the field managers claim: each calls itself as it likes.
pub(crate) fn claimed(managed: &[ManagedFieldsEntry]) -> Authors {
    let of = |path: &[&str]| {
        let owners = managed.iter().filter(|entry| owns(entry, path));
        let last =
            owners.max_by_key(|entry| entry.time.as_ref().map_or(i128::MIN, |time| time.0.as_nanosecond()));
        let manager = last.and_then(|entry| entry.manager.as_deref());
        manager.filter(|m| *m != FIELD_MANAGER).map(|m| Text::from(format!("field manager {m}")))
    };
    Authors {
        template: of(TEMPLATE),
        confirm: of(CONFIRM),
        abort: of(ABORT),
        retry: of(RETRY),
        rollback: of(ROLLBACK),
    }
}

/// Who else than the controller owns anything in the spec, last writer first: what somebody else has written into a child stays his
/// until it is overwritten.
pub(crate) fn editor(managed: &[ManagedFieldsEntry]) -> Option<Text> {
    let others = managed.iter().filter(|entry| entry.manager.as_deref() != Some(FIELD_MANAGER));
    let editors = others.filter(|entry| entry.subresource.as_deref() != Some("status") && owns(entry, &[]));
    let last =
        editors.max_by_key(|entry| entry.time.as_ref().map_or(i128::MIN, |time| time.0.as_nanosecond()));
    last.and_then(|entry| entry.manager.as_deref()).map(Text::from)
}

fn owns(entry: &ManagedFieldsEntry, path: &[&str]) -> bool {
    let fields = entry.fields_v1.as_ref().and_then(|fields| fields.0.get("f:spec"));
    path.iter().try_fold(fields, |at, step| Some(at?.get(step))).flatten().is_some()
}

/// What the admission webhook has seen goes before what field managers claim. Only where the controller is told that a webhook
/// guards the annotation: elsewhere anyone could write it.
pub(crate) fn seen(
    claimed: Authors,
    annotations: Option<&BTreeMap<String, String>>,
    orders: Option<&ReleaseControls>,
) -> Authors {
    let text = annotations.and_then(|a| a.get(ANNOTATION_AUTHORS));
    let Some(stamps) = text.and_then(|text| authors::parse(text)) else { return claimed };
    let orders = serde_json::to_value(orders).unwrap_or_default();
    // One that is for an earlier order was left behind while there was no webhook.
    let fits = |part: &str, stamp: &&Stamp| {
        if part == "template" {
            stamp.of.is_none()
        } else {
            stamp.of.is_some() && stamp.of.as_ref() == orders.get(part)
        }
    };
    let of = |part: &str| stamps.get(part).filter(|s| fits(part, s)).map(|s| Text::from(&*s.user));
    Authors {
        template: of("template").or(claimed.template),
        confirm: of("confirm").or(claimed.confirm),
        abort: of("abort").or(claimed.abort),
        retry: of("retry").or(claimed.retry),
        rollback: of("rollback").or(claimed.rollback),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn managed() -> Vec<ManagedFieldsEntry> {
        serde_json::from_value(json!([
            { "manager": "helm", "operation": "Update", "time": "2026-01-01T00:00:00Z",
              "fieldsV1": { "f:spec": { "f:template": { "f:spec": {} }, "f:release": { "f:confirm": {} } } } },
            { "manager": "kubectl-edit", "operation": "Update", "time": "2026-01-01T00:00:09Z",
              "fieldsV1": { "f:spec": { "f:release": { "f:confirm": {}, "f:rollback": { "f:to": {} } } } } },
            { "manager": FIELD_MANAGER, "operation": "Update", "subresource": "status", "time": "2026-01-01T00:01:00Z",
              "fieldsV1": { "f:status": {} } },
        ]))
        .unwrap()
    }

    #[test]
    fn the_last_manager_of_a_field_claims_to_have_written_it() {
        let authors = claimed(&managed());
        assert_eq!(authors.template.as_deref(), Some("field manager helm"));
        assert_eq!(authors.confirm.as_deref(), Some("field manager kubectl-edit"));
        assert_eq!(authors.rollback.as_deref(), Some("field manager kubectl-edit"));
        assert_eq!(authors.abort, None);
    }

    #[test]
    fn whoever_else_owns_a_field_of_the_spec_has_edited_a_child() {
        assert_eq!(editor(&managed()).as_deref(), Some("kubectl-edit"));
        assert_eq!(editor(&managed()[2..]), None);
    }

    #[test]
    fn what_the_webhook_has_seen_goes_before_claims_but_for_another_order() {
        let stamp = r#"{"confirm":{"user":"alice","at":"2026-01-01T00:00:00Z","of":"7/2"}}"#;
        let annotations = BTreeMap::from([(ANNOTATION_AUTHORS.to_owned(), stamp.to_owned())]);
        let orders =
            |token: &str| ReleaseControls { confirm: Some(token.into()), ..ReleaseControls::default() };
        let authors = seen(claimed(&managed()), Some(&annotations), Some(&orders("7/2")));
        assert_eq!(authors.confirm.as_deref(), Some("alice"));
        assert_eq!(authors.template.as_deref(), Some("field manager helm"));
        assert_eq!(seen(claimed(&managed()), Some(&annotations), Some(&orders("7/3"))), claimed(&managed()));
        let broken = BTreeMap::from([(ANNOTATION_AUTHORS.to_owned(), "{".to_owned())]);
        assert_eq!(seen(claimed(&managed()), Some(&broken), Some(&orders("7/2"))), claimed(&managed()));
    }
}

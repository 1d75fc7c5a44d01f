//! Orders in `spec.release`: a token for a gate that does not wait is answered at once, with the right one.

use super::Verdict;
use crate::deployment::{CafeDeployment, ReleaseControls, ReleaseState, ReleaseStatus};

pub(super) fn judge(old: &CafeDeployment, new: &CafeDeployment, verdict: &mut Verdict) {
    let Some(release) = old.status.as_ref().and_then(|s| s.release.as_ref()) else { return };
    let none = ReleaseControls::default();
    let before = old.spec.release.as_ref().unwrap_or(&none);
    let orders = new.spec.release.as_ref().unwrap_or(&none);
    if let Some(token) = orders.confirm.as_ref().filter(|t| !t.is_empty() && before.confirm != orders.confirm)
    {
        confirm(release, token, verdict);
    }
    if let Some(revision) = orders.abort.as_ref().filter(|_| before.abort != orders.abort) {
        abort(release, revision, verdict);
    }
    if let Some(revision) = orders.retry.as_ref().filter(|_| before.retry != orders.retry) {
        retry(release, revision, verdict);
    }
    if let Some(order) = orders.rollback.filter(|_| before.rollback != orders.rollback) {
        let known = newest(release);
        if order.abandon > known {
            let message = format!("there is no revision {}: the newest is {known}", order.abandon);
            verdict.refuse("spec.release.rollback.abandon", message);
        }
        // History may keep a newer one than the status names, after a way back that the template has followed.
        if order.to > known {
            verdict.warn(format!(
                "spec.release.rollback.to {}: the newest that status.release names is {known}; `kubectl get cafer` lists all",
                order.to
            ));
        }
    }
}

/// The newest revision that the status knows of: on a way back that is the one it leaves.
fn newest(release: &ReleaseStatus) -> i64 {
    let left = release.from_revision.filter(|_| release.rollback);
    left.map_or(release.revision, |left| left.max(release.revision))
}

fn confirm(release: &ReleaseStatus, token: &str, verdict: &mut Verdict) {
    // Its form is a matter of the schema.
    let Some((Ok(revision), gate)) = token.split_once('/').map(|(r, gate)| (r.parse::<i64>(), gate)) else {
        return;
    };
    let known = release.revision;
    // One for all gates may be written before its release has begun.
    if gate == "all" && revision >= known {
        return;
    }
    let advice = advice(release);
    if revision > known {
        return refuse(verdict, token, &format!("revision {known} is the one in hand; {advice}"));
    }
    if revision < known {
        return verdict.warn(format!(
            "spec.release.confirm \"{token}\" opens nothing: revision {known} is the one in hand"
        ));
    }
    let Ok(gate) = gate.parse::<i32>() else { return };
    if gate <= release.confirmed_through {
        verdict.warn(format!("spec.release.confirm \"{token}\": this gate has been passed already"));
    } else if release.confirm_token.as_deref() != Some(token)
        && (gate != release.group || release.waiting_since.is_none())
    {
        refuse(verdict, token, &format!("no such gate waits: {advice}"));
    }
}

/// What is there to confirm.
fn advice(release: &ReleaseStatus) -> String {
    let (revision, last) = (release.revision, release.group_total - 1);
    let gates = match last {
        ..=0 => format!("revision {revision} has no gates"),
        1 => format!("revision {revision} has gate 1"),
        _ => format!("revision {revision} has gates 1 to {last}"),
    };
    if release.rollback {
        return format!("revision {revision} is being rolled back to, without gates");
    }
    match (&release.confirm_token, release.state) {
        (Some(token), _) => format!("{gates} and waits at \"{token}\"; write that, or \"{revision}/all\""),
        (None, ReleaseState::Completed) => format!("revision {revision} has completed"),
        (None, ReleaseState::Aborted) => {
            format!(
                "revision {revision} was aborted; to take it up again write spec.release.retry: \"{revision}\""
            )
        }
        (None, ReleaseState::Failed) => {
            format!("group {} has failed; status.message says how to go on", release.group)
        }
        (None, _) if release.waiting_since.is_some() => {
            format!("{gates} and waits at \"{revision}/{}\"; write that", release.group)
        }
        (None, _) => format!(
            "{gates}, and group {} is in hand; wait for status.release.confirmToken, or write \"{revision}/all\"",
            release.group
        ),
    }
}

fn refuse(verdict: &mut Verdict, token: &str, why: &str) {
    verdict.refuse("spec.release.confirm", format!("\"{token}\": {why}"));
}

fn abort(release: &ReleaseStatus, order: &str, verdict: &mut Verdict) {
    let known = newest(release);
    match order.parse::<i64>() {
        Ok(revision) if revision > known => verdict.refuse(
            "spec.release.abort",
            format!("\"{order}\": there is no such release; the newest is that of revision {known}"),
        ),
        Ok(revision) if revision < known || release.state == ReleaseState::Completed => verdict.warn(format!(
            "spec.release.abort \"{order}\" stops nothing: that release has ended; revision {known} serves or is on its way"
        )),
        _ => {}
    }
}

fn retry(release: &ReleaseStatus, order: &str, verdict: &mut Verdict) {
    if order.parse::<i64>().is_ok_and(|revision| revision > newest(release)) {
        verdict.refuse(
            "spec.release.retry",
            format!(
                "\"{order}\": there is no such revision; the newest release is that of revision {}",
                newest(release)
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::tests::object, *};

    fn release(state: &str, token: Option<&str>) -> Value {
        json!({
            "revision": 7, "fromRevision": 6, "state": state, "group": 2, "groupTotal": 4, "groups": [],
            "confirmToken": token, "confirmedThrough": 1,
            "waitingSince": (state == "WaitingForConfirmation").then_some("2026-01-01T00:00:00Z"),
        })
    }

    fn judged(release: &Value, orders: &Value) -> Verdict {
        let old = object(&json!({}), &json!({ "status": { "release": release } }));
        let new = object(&json!({}), &json!({ "spec": { "release": orders } }));
        let mut verdict = Verdict::default();
        judge(&old, &new, &mut verdict);
        verdict
    }

    fn confirmed(token: &str) -> Verdict {
        judged(&release("WaitingForConfirmation", Some("7/2")), &json!({ "confirm": token }))
    }

    #[test]
    fn the_gate_that_waits_and_all_gates_are_confirmed_without_a_word() {
        for token in ["7/2", "7/all", "8/all"] {
            assert_eq!(confirmed(token), Verdict::default(), "{token}");
        }
    }

    #[test]
    fn a_gate_that_does_not_wait_is_refused_with_the_one_that_does() {
        for token in ["7/3", "7/9", "8/1"] {
            let found = confirmed(token).problems;
            assert!(found[0].message.contains("has gates 1 to 3 and waits at \"7/2\""), "{token}: {found:?}");
        }
        let early = judged(&release("Executing", None), &json!({ "confirm": "7/2" })).problems;
        assert!(early[0].message.contains("group 2 is in hand"), "{early:?}");
    }

    #[test]
    fn what_has_passed_already_is_accepted_with_a_warning() {
        for token in ["7/1", "6/2", "6/all"] {
            let verdict = confirmed(token);
            assert!(verdict.problems.is_empty() && verdict.warnings.len() == 1, "{token}: {verdict:?}");
        }
    }

    #[test]
    fn orders_for_releases_that_do_not_exist_are_refused() {
        let running = release("Executing", None);
        for orders in [
            json!({ "abort": "8" }),
            json!({ "retry": "9" }),
            json!({ "rollback": { "abandon": 8, "to": 6 } }),
        ] {
            assert_eq!(judged(&running, &orders).problems.len(), 1, "{orders}");
        }
        let over = judged(&release("Completed", None), &json!({ "abort": "7" }));
        assert!(over.problems.is_empty() && over.warnings.len() == 1, "{over:?}");
        assert_eq!(judged(&running, &json!({ "rollback": { "abandon": 7, "to": 6 } })), Verdict::default());
    }

    #[test]
    fn an_order_that_stands_since_before_is_not_judged_again() {
        let waiting = release("WaitingForConfirmation", Some("7/2"));
        let with = |status: Value| {
            object(&json!({}), &json!({ "status": status, "spec": { "release": { "confirm": "7/9" } } }))
        };
        let mut verdict = Verdict::default();
        judge(&with(json!({ "release": waiting })), &with(json!({})), &mut verdict);
        assert_eq!(verdict, Verdict::default());
    }

    #[test]
    fn a_gate_that_waits_is_confirmed_while_paused_and_no_other() {
        let mut paused = release("Paused", None);
        paused["waitingSince"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(judged(&paused, &json!({ "confirm": "7/2" })), Verdict::default());
        let wrong = judged(&paused, &json!({ "confirm": "7/3" })).problems;
        assert!(wrong[0].message.contains("waits at \"7/2\""), "{wrong:?}");
    }

    #[test]
    fn a_rollback_from_a_revision_that_does_not_exist_is_refused_and_to_an_unknown_one_warned_of() {
        let found = judged(&release("Executing", None), &json!({ "rollback": { "abandon": 8, "to": 9 } }));
        let fields: Vec<&str> = found.problems.iter().map(|p| p.field.as_str()).collect();
        assert_eq!(fields, ["spec.release.rollback.abandon"]);
        assert!(found.problems[0].message.contains("the newest is 7"), "{found:?}");
        assert!(found.warnings.iter().any(|w| w.contains("rollback.to 9")), "{found:?}");
    }

    #[test]
    fn after_a_way_back_that_the_template_has_followed_the_revision_that_was_left_may_be_served_again() {
        let mut back = release("Completed", None);
        (back["rollback"], back["revision"]) = (json!(true), json!(6));
        assert!(judged(&back, &json!({ "rollback": { "abandon": 6, "to": 7 } })).problems.is_empty());
    }

    #[test]
    fn on_a_way_back_the_revision_that_is_left_may_be_tried_again_or_left_for_another() {
        let mut back = release("Completed", None);
        (back["rollback"], back["revision"], back["fromRevision"]) = (json!(true), json!(6), json!(7));
        for orders in [
            json!({ "retry": "7" }),
            json!({ "rollback": { "abandon": 7, "to": 5 } }),
            json!({ "abort": "7" }),
        ] {
            assert!(judged(&back, &orders).problems.is_empty(), "{orders}");
        }
        assert_eq!(judged(&back, &json!({ "retry": "8" })).problems.len(), 1);
    }
}

//! Who wrote what: the annotation `cafe.dev/authors`, in which every order is kept with the user who gave it.
//!
//! A stamp names the order that it is for. One that was left behind because the webhook was down when the order changed names nobody.

use cafe_crds::{
    authors::{PARTS, Stamp, Stamps, parse},
    time::Seconds,
};
use serde_json::Value;

/// Groups kept of a user: enough to tell a team, and no more than an annotation should hold.
const MOST_GROUPS: usize = 10;
/// Letters kept of a name: an issuer of identities may hand out any length, and all of an object's annotations share 256 kB.
const LONGEST_NAME: usize = 253;
/// Groups that everybody is in.
const EVERYBODY: [&str; 2] = ["system:authenticated", "system:serviceaccounts"];

/// The authenticated user of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Who {
    /// User name.
    pub(crate) user: String,
    /// Groups.
    pub(crate) groups: Vec<String>,
}

impl Who {
    /// A user by name and groups, as far as they are kept.
    pub(crate) fn of(user: &str, groups: &[String]) -> Self {
        let cut = |name: &str| name.chars().take(LONGEST_NAME).collect::<String>();
        Self { user: cut(user), groups: groups.iter().map(|group| cut(group)).collect() }
    }
}

/// The annotation as it is to be after a request of `who` that turns the spec `old` into `new`; none when there is nothing to say.
pub(crate) fn stamped(
    before: Option<&str>,
    old: Option<&Value>,
    new: &Value,
    who: &Who,
    at: Seconds,
) -> Option<String> {
    let mut stamps = read(before);
    for (part, pointers) in PARTS {
        let of = |spec: &Value| {
            pointers.iter().map(|p| spec.pointer(p).filter(|v| !v.is_null()).cloned()).collect::<Vec<_>>()
        };
        let now = of(new);
        let is_there = now.iter().any(Option::is_some);
        if old.map(of).as_ref() == Some(&now) {
            continue;
        }
        if is_there {
            let of = if part == "template" { None } else { now.into_iter().flatten().next() };
            stamps.insert(part.to_owned(), Stamp { user: who.user.clone(), groups: groups(who), at, of });
        } else {
            stamps.remove(part);
        }
    }
    if stamps.is_empty() { None } else { serde_json::to_string(&stamps).ok() }
}

/// Whether a request of `who` forges the annotation: it says something new that does not bear this user's name.
pub(crate) fn is_forged(before: Option<&str>, after: Option<&str>, who: &Who) -> bool {
    let (old, new) = (read(before), after.map(parse));
    match new {
        None => false,
        Some(None) => before != after,
        Some(Some(new)) => {
            new.iter().any(|(part, stamp)| old.get(part) != Some(stamp) && stamp.user != who.user)
        }
    }
}

/// Whether a change of template bears another's stamp: the webhook could not be asked for one, and was asked for its verdict a moment later.
pub(crate) fn lacks_author(after: Option<&str>, old: Option<&Value>, new: &Value, who: &Who) -> bool {
    let of =
        |spec: &Value| [spec.pointer("/template").cloned(), spec.pointer("/volumeClaimTemplates").cloned()];
    let changed = old.map(of).as_ref() != Some(&of(new));
    changed && read(after).get("template").is_none_or(|stamp| stamp.user != who.user)
}

fn groups(who: &Who) -> Vec<String> {
    let own = who.groups.iter().filter(|g| !EVERYBODY.contains(&g.as_str()));
    own.take(MOST_GROUPS).cloned().collect()
}

fn read(annotation: Option<&str>) -> Stamps {
    annotation.and_then(parse).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn who(user: &str) -> Who {
        Who { user: user.into(), groups: vec!["ops".into(), "system:authenticated".into()] }
    }

    fn at(second: i64) -> Seconds {
        Seconds(second)
    }

    fn read_back(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn each_order_bears_the_name_of_who_gave_it_and_nobody_elses_is_touched() {
        let created = json!({ "template": 1 });
        let first = stamped(None, None, &created, &who("ci"), at(1)).unwrap();
        let confirmed = json!({ "template": 1, "release": { "confirm": "7/2" } });
        let second = stamped(Some(&first), Some(&created), &confirmed, &who("alice"), at(2)).unwrap();
        let found = read_back(&second);
        assert_eq!(
            found["template"],
            json!({ "user": "ci", "groups": ["ops"], "at": "1970-01-01T00:00:01Z" })
        );
        assert_eq!(found["confirm"]["user"], "alice");
        assert_eq!(found["confirm"]["of"], "7/2");
        let again = stamped(Some(&second), Some(&confirmed), &confirmed, &who("bob"), at(3));
        assert_eq!(again.as_deref(), Some(second.as_str()), "what does not change keeps its author");
        let without = stamped(Some(&second), Some(&confirmed), &created, &who("bob"), at(4)).unwrap();
        assert_eq!(read_back(&without)["confirm"], Value::Null);
    }

    #[test]
    fn names_of_any_length_leave_a_short_stamp_that_is_nobodys_forgery() {
        let long = "x".repeat(100_000);
        let who = Who::of(&long, &[long.clone(), "ops".into()]);
        let spec = json!({ "template": 1 });
        let stamp = stamped(None, None, &spec, &who, at(1)).unwrap();
        assert!(stamp.len() < 1000, "{}", stamp.len());
        assert!(!is_forged(None, Some(&stamp), &who) && !lacks_author(Some(&stamp), None, &spec, &who));
    }

    #[test]
    fn what_a_client_writes_into_the_annotation_is_not_read() {
        let spec = json!({ "template": 1 });
        let forged = r#"{"template":{"user":"root","at":"1970-01-01T00:00:01Z"}}"#;
        let before = stamped(None, None, &spec, &who("ci"), at(1)).unwrap();
        assert_eq!(
            stamped(Some(&before), Some(&spec), &spec, &who("eve"), at(2)).as_deref(),
            Some(before.as_str())
        );
        assert!(is_forged(Some(&before), Some(forged), &who("eve")));
        assert!(is_forged(Some(&before), Some("{"), &who("eve")));
        assert!(!is_forged(Some(&before), Some(&before), &who("eve")));
        assert!(
            !is_forged(Some(&before), None, &who("eve")),
            "without a stamp there is a claim, marked as one"
        );
    }
}

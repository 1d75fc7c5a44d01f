//! What a release changes.

use cafe_crds::{
    deployment::ReleaseStatus,
    release::{CafeReleaseSpec, ImageChange},
};

use crate::{
    deployment::Snapshot,
    template::{ContainerImage, Facts},
};

/// The longest summary, in characters.
const LONGEST_SUMMARY: usize = 160;

/// What is known when the release starts.
pub(super) fn spec(s: &Snapshot<'_>, release: &ReleaseStatus, about: i64) -> CafeReleaseSpec {
    let is_own = !release.rollback;
    let from = release.from_revision.filter(|_| is_own);
    let target = s.revision(about);
    let none = Facts::default();
    let facts = |number: Option<i64>| number.and_then(|n| s.revision(n)).map_or(&none, |r| &r.facts);
    let (before, after) = (facts(from), facts(Some(about)));
    let images = images(before, after);
    let other_changes = from.is_some() && differs_otherwise(before, after);
    CafeReleaseSpec {
        deployment: s.deployment.name.to_string(),
        revision: about,
        from_revision: from,
        former_revisions: target.map(|r| former(about, &r.older)).unwrap_or_default(),
        summary: summary(&images, other_changes),
        images,
        other_changes,
        replicas: s.deployment.spec.replicas,
        started_at: release.started_at.filter(|_| is_own),
        started_by: release.started_by.clone().filter(|_| is_own),
    }
}

fn former(about: i64, older: &[i64]) -> Vec<i64> {
    older.iter().copied().filter(|n| *n != about).collect()
}

fn images(before: &Facts, after: &Facts) -> Vec<ImageChange> {
    let image = |facts: &Facts, name: &str| {
        facts.containers.iter().find(|c| *c.name == *name).map(|c| c.image.to_string())
    };
    let gone = before.containers.iter().filter(|c| image(after, &c.name).is_none());
    let change = |c: &ContainerImage| ImageChange {
        container: c.name.to_string(),
        from: image(before, &c.name),
        to: image(after, &c.name),
    };
    after.containers.iter().chain(gone).map(change).filter(|change| change.from != change.to).collect()
}

fn differs_otherwise(a: &Facts, b: &Facts) -> bool {
    a.rest != b.rest || a.labels != b.labels || a.annotations != b.annotations
}

fn summary(images: &[ImageChange], other_changes: bool) -> String {
    let other = other_changes.then(|| "other fields of the template".to_owned());
    let text = images.iter().map(one).chain(other).collect::<Vec<_>>().join(", ");
    match text.char_indices().nth(LONGEST_SUMMARY) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// `app: shop/web:1.8 -> 1.9`: the name of the image once, if it stays.
fn one(change: &ImageChange) -> String {
    let container = &change.container;
    match (&change.from, &change.to) {
        (Some(from), Some(to)) => {
            let same = |from: &str| from.rsplit_once(':').map(|(name, _)| format!("{name}:"));
            let to = same(from).and_then(|name| to.strip_prefix(&name)).unwrap_or(to);
            format!("{container}: {from} -> {to}")
        }
        (None, Some(to)) => format!("{container}: {to}"),
        (Some(from), None) => format!("{container}: {from} removed"),
        (None, None) => container.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(containers: &[(&str, &str)]) -> Facts {
        let one = |(name, image): &(&str, &str)| ContainerImage {
            name: (*name).into(),
            image: (*image).into(),
            sidecar: false,
        };
        Facts { containers: containers.iter().map(one).collect(), ..Facts::default() }
    }

    #[test]
    fn the_summary_names_what_changes_and_nothing_else() {
        let before = facts(&[("app", "reg:5000/shop/web:1.8"), ("log", "log:3"), ("old", "old:1")]);
        let after = facts(&[("app", "reg:5000/shop/web:1.9"), ("log", "log:3"), ("mesh", "mesh:2")]);
        assert_eq!(
            summary(&images(&before, &after), true),
            "app: reg:5000/shop/web:1.8 -> 1.9, mesh: mesh:2, old: old:1 removed, other fields of the template"
        );
    }

    #[test]
    fn an_image_of_another_name_or_a_digest_is_written_out() {
        let change =
            |from: &str, to: &str| summary(&images(&facts(&[("a", from)]), &facts(&[("a", to)])), false);
        assert_eq!(change("web:1", "shop/web:1"), "a: web:1 -> shop/web:1");
        assert_eq!(change("web@sha256:12", "web@sha256:34"), "a: web@sha256:12 -> 34");
        assert_eq!(change("web", "web:2"), "a: web -> web:2");
    }

    #[test]
    fn a_long_summary_is_cut() {
        let to = "x".repeat(500);
        assert_eq!(summary(&images(&facts(&[]), &facts(&[("a", &to)])), false).len(), LONGEST_SUMMARY + 3);
    }
}

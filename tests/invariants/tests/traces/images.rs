//! S11: one revision, one image.

use cafe_invariants::Rule::S11;

use super::story::Story;

#[test]
fn s11_pods_of_two_revisions_run_two_images() {
    Story::releasing().move_pod("a", "a1").holds(S11);
}

#[test]
fn s11_a_tag_that_was_moved_is_found() {
    let mut story = Story::new();
    story.pod("a1", |p| p.terminating = true).born("a3", "a", "v1");
    story.pod("a3", |p| p.containers[0].runs = "sha256:other".into());
    story.breaks(S11, "two pods of its revision run different bytes of one image");
}

//! Every order of events that the sizes allow, through the planner as shipped.

use cafe_model::{
    cases::{ABLATIONS, CASES},
    search::search,
    setup::Setup,
};

const THREADS: usize = 2;

#[test]
fn the_shipped_planner_keeps_its_promises_in_every_order_of_events() {
    for case in CASES {
        println!("{}", case.name);
        let report = search(case.setup, THREADS);
        println!("  {report}");
        if let Some(broken) = report.broken.first() {
            panic!("{}: {}\n{}", case.name, broken.promise, broken.story);
        }
        assert!(report.done, "{}: the goal is never reached", case.name);
        assert_eq!(report.states, case.states, "{}: `cargo xtask model` prints the new numbers", case.name);
    }
}

#[test]
fn each_rule_taken_away_is_missed_and_with_all_rules_the_same_search_finds_nothing() {
    for ablation in ABLATIONS {
        let report = search(ablation.setup, THREADS);
        let broken = report.broken.first().map(|b| b.promise);
        assert!(broken.is_some_and(|b| b.starts_with(ablation.breaks)), "{}: {broken:?}", ablation.name);
        let with_all = search(Setup { without: &[], ..ablation.setup }, THREADS);
        assert!(with_all.broken.is_empty(), "{}: {:?}", ablation.name, with_all.broken);
    }
}

//! The searches that are run, and how many states each has: the numbers change with the planner, and only with it.
//!
//! After a change of the planner that is meant: `cargo xtask model` prints the new numbers.

use crate::{
    setup::{Rule, Setup},
    state::Faults,
};

/// A search that must find nothing.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What it is about.
    pub name: &'static str,
    /// What is searched.
    pub setup: Setup,
    /// How many different states there are.
    pub states: usize,
}

/// A search that must find a broken promise, because rules are taken away.
#[derive(Clone, Copy, Debug)]
pub struct Ablation {
    /// What is taken away, in words.
    pub name: &'static str,
    /// What is searched; with all rules it finds nothing.
    pub setup: Setup,
    /// The promise that breaks.
    pub breaks: &'static str,
}

const fn faults(crashes: u8, lost: u8, changes: u8, pauses: u8, deaths: u8) -> Faults {
    Faults { crashes, lost, changes, pauses, deaths, ..Faults::NONE }
}

/// Run with every test.
pub const CASES: &[Case] = &[
    Case { name: "every kind of fault", setup: Setup::new(3, 1, faults(1, 1, 1, 1, 0)), states: 3_074_067 },
    Case { name: "two pods at once", setup: Setup::new(4, 2, faults(1, 1, 0, 0, 0)), states: 1_730_588 },
    Case {
        name: "a container that dies by itself",
        setup: Setup::new(3, 1, faults(1, 1, 0, 0, 1)),
        states: 735_100,
    },
    Case {
        name: "slices that lag",
        setup: Setup::new(3, 1, faults(1, 1, 1, 0, 0)).with_lagging_slices(),
        states: 871_542,
    },
    Case {
        name: "slices that lag behind a container that dies",
        setup: Setup::new(2, 1, faults(0, 0, 1, 0, 1)).with_lagging_slices(),
        states: 165_105,
    },
    Case {
        name: "a replica that stands by",
        setup: Setup::new(2, 1, faults(1, 0, 0, 0, 0)).with_standby(),
        states: 86_747,
    },
    Case {
        name: "a replica that stands by, in a pause",
        setup: Setup::new(2, 1, faults(1, 0, 0, 1, 0)).with_standby(),
        states: 1_232_081,
    },
    Case {
        name: "an abort and a rollback by order",
        setup: Setup::new(3, 1, faults(1, 1, 0, 0, 0)).with_orders(1, 1),
        states: 1_660_943,
    },
    Case {
        name: "an abort and a rollback by order in a pause",
        setup: Setup::new(3, 1, faults(0, 1, 0, 1, 0)).with_orders(1, 1),
        states: 864_892,
    },
    Case {
        name: "an abort, a rollback by order and a change of mind",
        setup: Setup::new(2, 1, faults(1, 0, 1, 0, 0)).with_orders(1, 1),
        states: 1_207_660,
    },
];

/// Run by `cargo xtask model --deep`.
pub const DEEP: &[Case] = &[
    Case {
        name: "a container that dies, and a change of mind",
        setup: Setup::new(2, 1, faults(1, 1, 1, 0, 1)),
        states: 3_867_832,
    },
    Case {
        name: "a replica that stands by, and a container that dies",
        setup: Setup::new(2, 1, faults(1, 0, 0, 0, 1)).with_standby(),
        states: 1_882_864,
    },
    Case {
        name: "every kind of fault, slices that lag",
        setup: Setup::new(3, 1, faults(1, 1, 1, 1, 0)).with_lagging_slices(),
        states: 8_088_679,
    },
    Case {
        name: "five pods, two at once",
        setup: Setup::new(5, 2, faults(1, 1, 0, 0, 0)),
        states: 8_872_709,
    },
    Case {
        name: "an abort and a rollback by order, and a container that dies",
        setup: Setup::new(2, 1, faults(1, 0, 0, 0, 1)).with_orders(1, 1),
        states: 3_865_147,
    },
    Case {
        name: "an abort, a rollback by order and a change of mind, answers lost",
        setup: Setup::new(2, 1, faults(1, 1, 1, 0, 0)).with_orders(1, 1),
        states: 4_414_281,
    },
    Case {
        name: "an abort, two pods at once",
        setup: Setup::new(4, 2, faults(1, 0, 0, 0, 0)).with_orders(1, 0),
        states: 4_381_505,
    },
];

/// Each rule taken away.
pub const ABLATIONS: &[Ablation] = &[
    Ablation {
        name: "R1 and R3",
        setup: Setup::new(3, 1, faults(0, 0, 0, 0, 1)).without(&[Rule::R1, Rule::R3]),
        breaks: "S1",
    },
    Ablation {
        name: "R3",
        setup: Setup::new(3, 1, faults(1, 0, 0, 0, 1)).without(&[Rule::R3]),
        breaks: "S1",
    },
    Ablation {
        name: "R5",
        setup: Setup::new(2, 1, faults(0, 0, 1, 0, 0)).without(&[Rule::R5]),
        breaks: "S3",
    },
    Ablation {
        name: "R2",
        setup: Setup::new(2, 1, faults(1, 1, 1, 0, 0)).without(&[Rule::R2]),
        breaks: "S3",
    },
    Ablation {
        name: "R4",
        setup: Setup::new(2, 1, faults(1, 1, 1, 0, 0)).without(&[Rule::R4]),
        breaks: "S1",
    },
    Ablation {
        name: "R1",
        setup: Setup::new(2, 1, faults(0, 0, 1, 0, 0)).without(&[Rule::R1]),
        breaks: "S1",
    },
    Ablation {
        name: "settle, with an EndpointSlice controller that lags",
        setup: Setup::new(2, 1, faults(0, 0, 0, 0, 1)).with_lagging_slices().without(&[Rule::Settle]),
        breaks: "S3",
    },
    Ablation {
        name: "the fence of the set, a part of R4",
        setup: Setup::new(2, 1, faults(1, 1, 0, 0, 1)).without(&[Rule::SetFence]),
        breaks: "S1",
    },
    Ablation {
        name: "the freeze of an abort",
        setup: Setup::new(3, 1, faults(0, 0, 0, 0, 0)).with_orders(1, 0).without(&[Rule::Freeze]),
        breaks: "S4",
    },
];

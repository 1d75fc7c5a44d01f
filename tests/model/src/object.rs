//! The objects, packed: a pod in nine bits, a set with its journal in thirty-two.

use std::fmt;

use crate::state::{MOST_PODS, Mask, bit};

/// A pod, as the API server has it or as a cache has it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Pod(u16);

impl Pod {
    const GATE: u16 = 1 << 2;
    const APP: u16 = 1 << 3;
    const RECORDED: u16 = 1 << 4;
    const BEHIND: u16 = 1 << 5;
    const RUN: u16 = 6;
    const LATE: u16 = 1 << 8;

    /// A pod that serves at `revision`.
    #[must_use]
    pub const fn serving(revision: u8) -> Self {
        let revision = revision as u16;
        Self(revision | Self::GATE | Self::APP | (revision << Self::RUN))
    }

    /// The revision its label and its containers' images in the spec say.
    #[must_use]
    pub const fn spec(self) -> u8 {
        (self.0 & 3) as u8
    }

    /// The revision of the container that runs.
    #[must_use]
    pub const fn run(self) -> u8 {
        ((self.0 >> Self::RUN) & 3) as u8
    }

    /// The gate is True; else it is False by a drain of ours.
    #[must_use]
    pub const fn gate(self) -> bool {
        self.0 & Self::GATE != 0
    }

    /// The container runs and is ready.
    #[must_use]
    pub const fn app(self) -> bool {
        self.0 & Self::APP != 0
    }

    /// The container that runs is among those that `cafe.dev/in-place` says ran before the update.
    #[must_use]
    pub const fn is_recorded(self) -> bool {
        self.0 & Self::RECORDED != 0
    }

    /// The kubelet has observed the last generation.
    #[must_use]
    pub const fn is_observed(self) -> bool {
        self.0 & Self::BEHIND == 0
    }

    /// The gate has moved since the pod was reserved.
    #[must_use]
    pub const fn is_late(self) -> bool {
        self.0 & Self::LATE != 0
    }

    /// Ready, as the kubelet reckons it from gate and container.
    #[must_use]
    pub const fn ready(self) -> bool {
        self.gate() && self.app()
    }

    const fn with(self, mask: u16, on: bool) -> Self {
        Self(if on { self.0 | mask } else { self.0 & !mask })
    }

    /// With this gate, moved now.
    #[must_use]
    pub const fn gated(self, gate: bool) -> Self {
        self.with(Self::GATE, gate).with(Self::LATE, true)
    }

    /// Reserved or released a moment ago: what its gate did before no longer counts.
    #[must_use]
    pub const fn on_time(self) -> Self {
        self.with(Self::LATE, false)
    }

    /// With a new image in its spec; the container that runs is recorded.
    #[must_use]
    pub const fn updated(self, to: u8) -> Self {
        let moved = Self((self.0 & !3) | to as u16);
        if !moved.app() {
            // Nothing runs: what starts next is of the new image.
            return moved.running(to, false);
        }
        moved.with(Self::RECORDED, true).with(Self::BEHIND, moved.run() == to)
    }

    /// The kubelet has observed the last generation.
    #[must_use]
    pub const fn observed(self) -> Self {
        self.with(Self::BEHIND, false)
    }

    /// With its container stopped.
    #[must_use]
    pub const fn stopped(self) -> Self {
        self.running(self.spec(), false)
    }

    /// With a new container, of the image its spec asks for.
    #[must_use]
    pub const fn started(self) -> Self {
        self.running(self.spec(), true)
    }

    const fn running(self, run: u8, app: bool) -> Self {
        let cleared = Self(self.0 & !(3 << Self::RUN) | ((run as u16) << Self::RUN));
        cleared.with(Self::RECORDED | Self::BEHIND, false).with(Self::APP, app)
    }

    /// All of it.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }
}

impl fmt::Debug for Pod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gate = if self.gate() { "open" } else { "shut" };
        write!(f, "v{} {gate}", self.spec())?;
        match self.app() {
            true if self.run() != self.spec() => write!(f, " runs v{}", self.run())?,
            true => {}
            false => write!(f, " stopped")?,
        }
        let mark = |on: bool, text: &'static str| if on { text } else { "" };
        write!(f, "{}{}", mark(self.is_recorded(), " recorded"), mark(!self.is_observed(), " unobserved"))?;
        write!(f, "{}", mark(self.is_late(), " late"))
    }
}

/// The InPlaceSet: what it asks for, and its journal.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Set(u32);

impl Set {
    const PAUSED: u32 = 1 << 2;
    const ACKNOWLEDGED: u32 = 1 << 3;
    const ENTRIES: u32 = 4;
    const ENTRY: u32 = 5;
    const PARTITION: u32 = 29;
    const SPEC: u32 = 7 | 7 << Self::PARTITION;

    /// Asks for a revision; nobody has looked at it yet.
    #[must_use]
    pub const fn asking(target: u8) -> Self {
        Self(target as u32)
    }

    /// The revision it asks for.
    #[must_use]
    pub const fn target(self) -> u8 {
        (self.0 & 3) as u8
    }

    /// `updateStrategy.paused`.
    #[must_use]
    pub const fn paused(self) -> bool {
        self.0 & Self::PAUSED != 0
    }

    /// `updateStrategy.partition`: pods that are kept off the revision it asks for. Only an abort keeps any.
    #[must_use]
    pub const fn partition(self) -> u8 {
        (self.0 >> Self::PARTITION) as u8
    }

    /// An abort keeps pods where they are.
    #[must_use]
    pub const fn is_aborted(self) -> bool {
        self.partition() > 0
    }

    /// `status.observedGeneration` is `metadata.generation`.
    #[must_use]
    pub const fn acknowledged(self) -> bool {
        self.0 & Self::ACKNOWLEDGED != 0
    }

    /// The pod's reservation: from which revision to which.
    #[must_use]
    pub const fn entry(self, pod: usize) -> Option<(u8, u8)> {
        let bits = self.0 >> (Self::ENTRIES + Self::ENTRY * pod as u32);
        if bits & 1 == 0 { None } else { Some((((bits >> 1) & 3) as u8, ((bits >> 3) & 3) as u8)) }
    }

    /// The pods that are reserved.
    #[must_use]
    pub fn reserved(self) -> Mask {
        (0..MOST_PODS).filter(|i| self.entry(*i).is_some()).fold(0, |mask, i| mask | bit(i))
    }

    /// With one more reservation.
    #[must_use]
    pub const fn reserving(self, pod: usize, from: u8, to: u8) -> Self {
        let bits = 1 | (from as u32) << 1 | (to as u32) << 3;
        Self(self.0 | bits << (Self::ENTRIES + Self::ENTRY * pod as u32))
    }

    /// The same spec with nothing in its status.
    #[must_use]
    pub const fn without_status(self) -> Self {
        Self(self.0 & Self::SPEC)
    }

    /// The same spec with the status of `other`.
    #[must_use]
    pub const fn with_status_of(self, other: Self) -> Self {
        Self(self.0 & Self::SPEC | other.0 & !Self::SPEC)
    }

    /// With its generation observed.
    #[must_use]
    pub const fn acknowledging(self) -> Self {
        Self(self.0 | Self::ACKNOWLEDGED)
    }

    /// Asking for another revision: a new generation, and the end of an abort.
    #[must_use]
    pub const fn retargeted(self, target: u8) -> Self {
        let lifted = if self.is_aborted() { self.taken_up() } else { self };
        Self(lifted.0 & !3 & !Self::ACKNOWLEDGED | target as u32)
    }

    /// Aborted, with so many pods kept where they are: a new generation.
    #[must_use]
    pub const fn aborted(self, partition: u8) -> Self {
        let taken_up = self.taken_up();
        Self(taken_up.0 | Self::PAUSED | (partition as u32) << Self::PARTITION)
    }

    /// Neither aborted nor paused: a new generation.
    #[must_use]
    pub const fn taken_up(self) -> Self {
        Self(self.0 & !(7 << Self::PARTITION) & !Self::PAUSED & !Self::ACKNOWLEDGED)
    }

    /// Paused or not: a new generation.
    #[must_use]
    pub const fn with_pause(self, paused: bool) -> Self {
        let rest = self.0 & !Self::PAUSED & !Self::ACKNOWLEDGED;
        Self(if paused { rest | Self::PAUSED } else { rest })
    }

    /// All of it.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = |on: bool, text: &'static str| if on { text } else { "" };
        write!(f, "v{}{}", self.target(), mark(self.paused(), " paused"))?;
        if self.is_aborted() {
            write!(f, " partition {}", self.partition())?;
        }
        write!(f, "{} journal", mark(!self.acknowledged(), " unacknowledged"))?;
        for (i, (from, to)) in (0..MOST_PODS).filter_map(|i| Some((i, self.entry(i)?))) {
            write!(f, " pod{i}:v{from}->v{to}")?;
        }
        Ok(())
    }
}

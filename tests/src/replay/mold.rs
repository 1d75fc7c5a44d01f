//! A real object as a mold: its copies are the same but for a few texts, and are written without building an object.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde_json::Value;

/// Surrounds the number of a slot; in no object that a cluster makes.
const MARK: char = '\u{e000}';

/// A text that is another one in each copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// `metadata.name`.
    Name,
    /// A uid.
    Uid,
    /// `metadata.resourceVersion`.
    Version,
    /// An address of a pod.
    Address,
    /// The name of a node.
    Node,
    /// The id of the container with this number.
    Container(u64),
}

#[derive(Debug)]
enum Piece {
    Same(Box<str>),
    Other(Slot),
}

/// The text of an object with holes in it.
#[derive(Debug)]
pub(super) struct Mold(Vec<Piece>);

/// What one copy fills them with.
#[derive(Debug)]
pub(super) struct Copy<'a> {
    /// The name up to the part that differs.
    pub(super) prefix: &'a str,
    /// Different for each copy of all objects of its kind.
    pub(super) number: u64,
    /// Tells the kinds apart: copies of two kinds have no uid in common.
    pub(super) kind: u64,
    /// The cell that its node is in, and how many nodes are there.
    pub(super) cell: &'a str,
    /// See there.
    pub(super) nodes: u64,
}

/// Puts a mark into a text of an object.
pub(super) fn mark(object: &mut Value, pointer: &str, slot: Slot, slots: &mut Vec<Slot>) -> Result<()> {
    let text = object.pointer_mut(pointer).with_context(|| format!("there is no {pointer} to copy"))?;
    *text = format!("{MARK}{}{MARK}", slots.len()).into();
    slots.push(slot);
    Ok(())
}

impl Mold {
    /// Reads a text with the marks of these slots.
    pub(super) fn of(text: &str, slots: &[Slot]) -> Result<Self> {
        let pieces = text.split(MARK).enumerate().map(|(at, piece)| -> Result<Piece> {
            if at % 2 == 0 {
                return Ok(Piece::Same(piece.into()));
            }
            let slot = slots.get(piece.parse::<usize>()?).context("a mark without a slot")?;
            Ok(Piece::Other(*slot))
        });
        Ok(Self(pieces.collect::<Result<_>>()?))
    }

    /// Writes one copy.
    pub(super) fn pour(&self, copy: &Copy<'_>, out: &mut String) {
        for piece in &self.0 {
            match piece {
                Piece::Same(text) => out.push_str(text),
                Piece::Other(slot) => copy.fill(*slot, out),
            }
        }
    }
}

impl Copy<'_> {
    fn fill(&self, slot: Slot, out: &mut String) {
        let number = self.number;
        let written = match slot {
            Slot::Name => write!(out, "{}-{number:05x}", self.prefix),
            Slot::Uid => write_uid(self.mixed(0), self.mixed(1), out),
            Slot::Version => write!(out, "{}", FIRST_VERSION + number),
            Slot::Address => {
                write!(out, "10.{}.{}.{}", (number >> 16) & 255, (number >> 8) & 255, number & 255)
            }
            Slot::Node => write!(out, "{}-{}", self.cell, 1 + number % self.nodes.max(1)),
            Slot::Container(at) => {
                let part = |part: u64| self.mixed(2 + 4 * at + part);
                let (a, b, c, d) = (part(0), part(1), part(2), part(3));
                write!(out, "containerd://{a:016x}{b:016x}{c:016x}{d:016x}")
            }
        };
        // Writing to a String does not fail.
        written.unwrap_or_default();
    }

    /// Numbers that look like chance and are the same each time.
    fn mixed(&self, salt: u64) -> u64 {
        mix(mix(self.number) ^ mix((self.kind << 32) | salt))
    }
}

/// As if the cluster had been in use for a while.
pub(super) const FIRST_VERSION: u64 = 1_000_000;

fn write_uid(high: u64, low: u64, out: &mut String) -> std::fmt::Result {
    let (time, node) = (high >> 32, low & 0xffff_ffff_ffff);
    write!(
        out,
        "{time:08x}-{:04x}-4{:03x}-a{:03x}-{node:012x}",
        (high >> 16) & 0xffff,
        high & 0xfff,
        low >> 52
    )
}

/// SplitMix64.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

//! Small identities: object uids, resource versions, revision hashes and drain operations.

use std::{fmt, str::FromStr};

/// A Kubernetes uid (always a UUID). Aligned like everything else that is kept of an object: by itself it would leave up to eight bytes unused
/// in each entry of a map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(Rust, packed(8))]
pub struct Uid(pub u128);

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let u = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            u >> 96,
            (u >> 80) & 0xffff,
            (u >> 64) & 0xffff,
            (u >> 48) & 0xffff,
            u & 0xffff_ffff_ffff
        )
    }
}

/// Text that is not an identity of the expected form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl FromStr for Uid {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let hex: String = text.chars().filter(|c| *c != '-').collect();
        if hex.len() != 32 {
            return Err(Malformed);
        }
        u128::from_str_radix(&hex, 16).map(Self).map_err(|_| Malformed)
    }
}

/// Digest of a revision's whole content (pod template and volume claim templates).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub u128);

/// The short name of a revision: ten hex digits, as in the pod label `cafe.dev/revision`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RevisionHash(pub u64);

impl RevisionHash {
    /// The hash of `digest`; `collisions` moves it aside when another content already holds it.
    #[must_use]
    pub fn of(digest: Digest, collisions: u32) -> Self {
        // The digest is uniform: its upper bits are as good a hash as any, and an odd multiplier keeps moves distinct.
        let moved = digest
            .0
            .wrapping_add(u128::from(collisions).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
        Self(u64::try_from(moved >> 88).unwrap_or_default())
    }
}

impl fmt::Display for RevisionHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:010x}", self.0)
    }
}

impl FromStr for RevisionHash {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text.len() != 10 {
            return Err(Malformed);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| Malformed)
    }
}

/// One drain of one pod: eight hex digits, new for each drain, so that an old answer is worthless for a new question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Op(pub u32);

impl Op {
    /// The operation that starts on pod `uid` as it was at resource version `rv`: deterministic, yet new for each drain.
    #[must_use]
    pub fn new(uid: Uid, rv: u64) -> Self {
        let mixed = mix(mix(uid.0 as u64) ^ mix((uid.0 >> 64) as u64) ^ rv);
        Self((mixed >> 32) as u32)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl FromStr for Op {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text.len() != 8 {
            return Err(Malformed);
        }
        u32::from_str_radix(text, 16).map(Self).map_err(|_| Malformed)
    }
}

/// A bijective mixer (the finaliser of splitmix64): spreads small differences over all bits.
#[must_use]
pub fn mix(value: u64) -> u64 {
    let a = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    b ^ (b >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_survives_its_text_form() {
        let text = "0a1b2c3d-0405-4607-8809-0a0b0c0d0e0f";
        assert_eq!(text.parse::<Uid>().unwrap().to_string(), text);
    }

    #[test]
    fn each_drain_of_a_pod_has_its_own_op() {
        let uid = Uid(7);
        assert_ne!(Op::new(uid, 1), Op::new(uid, 2));
        assert_eq!(Op::new(uid, 1), Op::new(uid, 1));
    }

    #[test]
    fn a_collision_moves_the_hash_aside() {
        let digest = Digest(u128::MAX / 3);
        assert_ne!(RevisionHash::of(digest, 0), RevisionHash::of(digest, 1));
        assert_eq!(RevisionHash::of(digest, 0).to_string().len(), 10);
    }
}

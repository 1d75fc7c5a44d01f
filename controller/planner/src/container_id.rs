//! The id of a container, in less than half the space of its text.

use std::fmt;

use crate::Text;

/// What common runtimes put before the digits.
const RUNTIMES: [&str; 3] = ["containerd://", "cri-o://", "docker://"];

/// What a kubelet reports as `containerID`, such as `containerd://` and 64 hexadecimal digits. Empty by default: there has been none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ContainerId(Form);

/// Each text has one form, so that ids are equal when their texts are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
enum Form {
    #[default]
    Empty,
    /// The digits of a container of one of [`RUNTIMES`].
    Known {
        runtime: u8,
        digits: [u8; 32],
    },
    Other(Text),
}

impl ContainerId {
    /// Whether there has been no container.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == Form::Empty
    }
}

impl From<&str> for ContainerId {
    fn from(text: &str) -> Self {
        if text.is_empty() {
            return Self::default();
        }
        Self(known(text).unwrap_or_else(|| Form::Other(text.into())))
    }
}

fn known(text: &str) -> Option<Form> {
    let (runtime, hex) = (0..).zip(RUNTIMES).find_map(|(i, name)| Some((i, text.strip_prefix(name)?)))?;
    let mut digits = [0; 32];
    if hex.len() != 2 * digits.len() {
        return None;
    }
    for (digit, pair) in digits.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *digit = pair.iter().try_fold(0, |byte, c| Some(byte << 4 | nibble(*c)?))?;
    }
    Some(Form::Known { runtime, digits })
}

/// Small letters alone: what is written differently is told as it was written.
fn nibble(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Empty => Ok(()),
            Form::Other(text) => f.write_str(text),
            Form::Known { runtime, digits } => {
                f.write_str(RUNTIMES.get(usize::from(*runtime)).unwrap_or(&""))?;
                digits.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_told_as_it_was_read_and_equal_to_itself_alone() {
        let digits = "0123456789abcdef".repeat(4);
        let mut texts: Vec<String> = RUNTIMES.iter().map(|runtime| format!("{runtime}{digits}")).collect();
        let others = ["", "sim://7/app/0", "containerd://", "containerd://12", "containerd://öö"];
        texts.extend(others.map(str::to_owned));
        texts.push(format!("containerd://{}", digits.to_uppercase()));
        texts.push(format!("containerd://{digits}0"));
        texts.push(format!("rkt://{digits}"));
        for (i, text) in texts.iter().enumerate() {
            let id = ContainerId::from(text.as_str());
            assert_eq!(id.to_string(), *text);
            assert_eq!(id.is_empty(), text.is_empty());
            for (j, other) in texts.iter().enumerate() {
                assert_eq!(id == ContainerId::from(other.as_str()), i == j, "{text} {other}");
            }
        }
    }

    #[test]
    fn it_is_smaller_than_its_text() {
        assert!(size_of::<ContainerId>() <= 40);
    }
}

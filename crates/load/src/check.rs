//! Conditions that must hold.

use serde::Serialize;

/// Something that must be true.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// The condition in words.
    pub says: String,
    /// Whether it held.
    pub held: bool,
    /// Whether it depends on how fast the machine is. Tests of proofs leave it out.
    pub is_timing: bool,
}

impl Check {
    /// A check of counts.
    pub fn count(says: impl Into<String>, held: bool) -> Self {
        Self { says: says.into(), held, is_timing: false }
    }

    /// A check of times or sizes.
    pub fn timing(says: impl Into<String>, held: bool) -> Self {
        Self { says: says.into(), held, is_timing: true }
    }

    /// The check as a line of a report or of a page.
    pub(crate) fn line(&self) -> String {
        format!("- {}: {}", if self.held { "held" } else { "**broken**" }, self.says)
    }
}

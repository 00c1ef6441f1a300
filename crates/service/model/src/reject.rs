//! A refused data line, with a reason that helps a user to correct it.

use std::fmt::{self, Write};

use serde::{Deserialize, Serialize};

/// Maximum length of the reason of a [`Reject`] in characters.
const MAX_REASON_CHARS: usize = 300;

/// A refused line: its number and the reason. The reason fits in 300 characters on one line,
/// whatever the file contains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    line: u64,
    reason: String,
}

impl Reject {
    /// Refuses the record that starts at physical line `line`. A longer reason is cut, and control
    /// characters in it are replaced by U+FFFD.
    pub fn new(line: u64, reason: impl fmt::Display) -> Self {
        Self { line, reason: clip(reason, MAX_REASON_CHARS) }
    }

    /// The physical line the record starts at, from 1 and with the header counted.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Why it was refused: 1 to 300 characters, no control characters.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// Writes `value` on one line of at most `max` characters, the last of them `…` if it was longer.
pub fn clip(value: impl fmt::Display, max: usize) -> String {
    let mut clipped = Clipped { text: String::new(), left: max };
    if write!(clipped, "{value}").is_err() {
        clipped.text.pop();
        clipped.text.push('…');
    }
    clipped.text
}

/// Stops the writer as soon as it is full, so that a long value is not even formatted.
struct Clipped {
    text: String,
    left: usize,
}

impl Write for Clipped {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            let breaks = c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
            self.text.push(if breaks { '\u{FFFD}' } else { c });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cuts_and_cleans() {
        assert_eq!(clip("abc", 3), "abc");
        assert_eq!(clip("äbcd", 3), "äb…");
        assert_eq!(clip("a\n\0b", 9), "a\u{FFFD}\u{FFFD}b");
    }

    proptest! {
        #[test]
        fn a_reason_is_bounded(reason in ".{0,400}|(?s).{0,400}") {
            let reject = Reject::new(1, &reason);
            prop_assert!(reject.reason().chars().count() <= MAX_REASON_CHARS);
            prop_assert!(!reject.reason().chars().any(char::is_control));
        }
    }
}

//! Which values of a key are secret.

use crate::mask::scan::end_of;
use crate::mask::word::is_random;

/// A shorter value of a weak name is a word with a number.
const SHORTEST_KEY: usize = 16;

/// Which values of a key are secret.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Secret {
    /// The rest of the line, whatever it is.
    Line,
    Any,
    /// All but a number: that is a count.
    NoNumber,
    /// Values that look like a key.
    Random,
}

impl Secret {
    pub(super) fn may_be(self, value: &str) -> bool {
        match self {
            Self::Line | Self::Any => true,
            Self::NoNumber => !is_number(value),
            Self::Random => is_random(value, SHORTEST_KEY),
        }
    }
}

/// Returns whether a value is a number, or a list that begins with one. Words for no value (`null`)
/// and placeholders (`?` in SQL) count as numbers.
fn is_number(value: &str) -> bool {
    let value = value.trim_start_matches(['[', '{', '(', ' ', '"', '\'']);
    let value = value.strip_prefix("Some(").unwrap_or(value);
    let value = &value[..end_of(value, 0, |char| char.is_whitespace() || "]}),\"'".contains(char))];
    let digits = value.strip_prefix('$').unwrap_or(value);
    let is_digits =
        digits.bytes().all(|byte| byte.is_ascii_digit() || b"._,%+-".contains(&byte)) && digits.len() < SHORTEST_KEY;
    is_digits || ["?", "null", "nil", "none", "true", "false"].iter().any(|word| value.eq_ignore_ascii_case(word))
}

//! Readings of yes-or-no questions.

use tidegate_perfmon::Reading;

/// Makes a reading of a yes-or-no question. The threshold between the two is one half.
pub(super) fn is_so(name: &'static str, answer: bool) -> Reading {
    Reading::new(name, if answer { 1.0 } else { 0.0 }, 0.5)
}

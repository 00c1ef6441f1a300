//! The size of long tests.

use std::env;

/// The variable that `cargo xtask prove` sets.
const VARIABLE: &str = "TIDEGATE_PROOF";

/// Returns `full` under `cargo xtask prove`, and `reduced` in an ordinary test run: the same code,
/// fewer rounds.
///
/// ```
/// let acquisitions = tidegate_testkit::scale(2_000, 100_000);
/// # assert!(acquisitions >= 2_000);
/// ```
pub fn scale(reduced: usize, full: usize) -> usize {
    if env::var_os(VARIABLE).is_some_and(|size| size == "full") { full } else { reduced }
}

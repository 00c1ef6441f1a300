//! Cells that a spreadsheet would take for formulas.

use std::borrow::Cow;

/// What a cell begins with that is run, also in their wide forms.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// Whether it begins with such a sign, behind however many apostrophes.
fn is_formula(text: &str) -> bool {
    text.trim_start_matches('\'').starts_with(FORMULA)
}

/// A text as a cell that no spreadsheet runs: behind one apostrophe more.
pub(crate) fn guarded(text: &str) -> Cow<'_, str> {
    if is_formula(text) { format!("'{text}").into() } else { text.into() }
}

/// The text of such a cell. A foreign file's `'=x` is `=x`, as whoever typed it into a spreadsheet has meant it.
pub(super) fn unguarded(cell: &str) -> &str {
    match cell.trim_start().strip_prefix('\'') {
        Some(text) if is_formula(text) => text,
        _ => cell,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_guarded_text_is_no_formula_and_is_the_same_again(text in "[ab'=+@＝-]{0,8}") {
            let cell = guarded(&text);
            prop_assert!(!cell.starts_with(FORMULA), "{cell}");
            prop_assert_eq!(unguarded(&cell), &text);
        }
    }

    #[test]
    fn an_ordinary_apostrophe_stays() {
        for text in ["", "'", "'twas", "a=b", "''a"] {
            assert_eq!(guarded(text), text);
            assert_eq!(unguarded(text), text);
        }
        assert_eq!(unguarded(" '-1"), "-1");
    }
}

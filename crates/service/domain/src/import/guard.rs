//! Cells that a spreadsheet would take for formulas.

use std::borrow::Cow;

/// Characters that make a spreadsheet run a cell as a formula, also in their full-width forms.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// Whether the text begins with such a character, after any number of apostrophes.
fn is_formula(text: &str) -> bool {
    text.trim_start_matches('\'').starts_with(FORMULA)
}

/// Returns the text as a cell that no spreadsheet runs, with one more apostrophe.
pub(crate) fn guarded(text: &str) -> Cow<'_, str> {
    if is_formula(text) { format!("'{text}").into() } else { text.into() }
}

/// Returns the text of such a cell. `'=x` in a file from elsewhere becomes `=x`: the apostrophe is
/// how a user enters that text in a spreadsheet.
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

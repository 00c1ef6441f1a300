//! Writes lines of CSV.

use std::fmt::Write;

/// Appends these cells as a line, without its line ending. Cells with text from users must be
/// [guarded](crate::import::guarded) first.
pub(crate) fn push_line<'a>(text: &mut String, cells: impl IntoIterator<Item = &'a str>) {
    for (number, cell) in cells.into_iter().enumerate() {
        if number > 0 {
            text.push(',');
        }
        if cell.contains(['"', ',', ';', '\n', '\r', ' ']) {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "\"{}\"", cell.replace('"', "\"\""));
        } else {
            text.push_str(cell);
        }
    }
}

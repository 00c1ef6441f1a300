//! A line of CSV as we write it.

use std::fmt::Write;

/// Adds these cells as a line, without its end. Cells of people's texts are to be [guarded](crate::import::guarded) before.
pub(crate) fn push_line<'a>(text: &mut String, cells: impl IntoIterator<Item = &'a str>) {
    for (number, cell) in cells.into_iter().enumerate() {
        if number > 0 {
            text.push(',');
        }
        if cell.contains(['"', ',', ';', '\n', '\r', ' ']) {
            // A text takes whatever it is given.
            let _ = write!(text, "\"{}\"", cell.replace('"', "\"\""));
        } else {
            text.push_str(cell);
        }
    }
}

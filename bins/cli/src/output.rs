//! Output: tables for people, JSON for scripts, complaints on standard error.

mod cell;
mod table;

use std::io::{self, ErrorKind, Write};

pub(crate) use self::cell::{Kind, cell, plain};
pub(crate) use self::table::{Column, below, card, column, generic, table};
use crate::failure::Failure;

/// Prints a text with a line break at its end.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    let mut printed = output.write_all(text.as_bytes());
    if !text.ends_with('\n') {
        printed = printed.and_then(|()| output.write_all(b"\n"));
    }
    printed.and_then(|()| output.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::ReaderGone,
        _ => Failure::Output(error),
    })
}

/// Prints why the command failed, and what to do next.
pub(crate) fn complain(failure: &Failure) {
    if matches!(failure, Failure::ReaderGone) {
        return;
    }
    write_error(&format!("error: {failure}"));
    if let Some(hint) = failure.hint() {
        write_error(&format!("hint: {hint}"));
    }
}

/// Prints a note beside the output.
pub(crate) fn note(text: &str) {
    write_error(&format!("note: {text}"));
}

/// Writes a line to standard error. If that is closed as well, the line is lost.
fn write_error(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

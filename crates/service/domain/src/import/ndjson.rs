//! Splits an NDJSON stream into lines, and reads a schedule from each.

use std::io::{self, Read};

use tidegate_model::import::{Position, Reject};
use tidegate_model::schedule::{RawSchedule, ScheduleDraft};

use super::entry::{Entry, Malformation, Malformed, Record, text_of};
use super::window::{RECORD_CAP, Window};

/// The lines of an NDJSON stream that are not blank.
///
/// Position, memory, cost and failed reads are as for `Records`. A line that contains only white
/// space is blank. A malformed line never affects another line.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    window: Window<R>,
}

impl<R: Read> Lines<R> {
    /// Reads the lines of `reader`, whose next byte is the one at `position` of the file.
    pub(crate) fn new(reader: R, position: Position) -> Self {
        Self { window: Window::new(reader, position, RECORD_CAP) }
    }

    fn next_entry(&mut self) -> io::Result<Option<Entry<String>>> {
        loop {
            let view = self.window.view()?;
            if view.bytes.is_empty() {
                return Ok(None);
            }
            let (line, whole) = match view.bytes.iter().position(|&byte| byte == b'\n') {
                Some(feed) => (&view.bytes[..feed], Some(feed + 1)),
                None if view.ends => (view.bytes, Some(view.bytes.len())),
                None => (view.bytes, None),
            };
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let content =
                if line.len() > RECORD_CAP { Err(Malformation::TooLong) } else { text_of(line).map(str::to_owned) };
            let start = self.window.position();
            match whole {
                Some(whole) => self.window.advance(whole),
                None => self.window.skip_line()?,
            }
            let end = self.window.position();
            return Ok(Some(match content {
                Ok(content) if content.trim_ascii().is_empty() => continue,
                Ok(content) => Entry::Record(Record { start, end, content }),
                Err(reason) => Entry::Malformed(Malformed { start, end, reason }),
            }));
        }
    }
}

impl<R: Read> Iterator for Lines<R> {
    type Item = io::Result<Entry<String>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_entry().transpose()
    }
}

/// Reads the schedule of a line: one JSON object, in the format of the API.
pub(super) fn draft(record: &Record<String>) -> Result<ScheduleDraft, Reject> {
    let line = record.start.line;
    // serde would also accept an array with the fields in order.
    if !record.content.trim_ascii_start().starts_with('{') {
        return Err(Reject::new(line, "is not a JSON object"));
    }
    let raw: RawSchedule =
        serde_json::from_str(&record.content).map_err(|error| Reject::new(line, json_fault(&error)))?;
    ScheduleDraft::try_new(&raw).map_err(|errors| Reject::new(line, errors))
}

/// Returns the parser's message without its line number, which is always 1.
fn json_fault(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(fault) => format!("column {}: {fault}", error.column()),
        None => text,
    }
}

#[cfg(test)]
#[path = "ndjson_tests.rs"]
mod tests;

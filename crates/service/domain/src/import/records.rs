//! Splits a CSV stream into records, strictly, and can resume at any of them.

use std::io::{self, Read};

use tidegate_model::import::Position;

use super::entry::{Entry, Malformation, Malformed, Record, text_of};
use super::scan::{Scan, Scanned, scan};
use super::window::{RECORD_CAP, Window};

/// The records of a CSV stream: RFC 4180, with LF accepted beside CRLF.
///
/// A byte order mark at the very start is skipped. Blank lines are skipped too, but counted. Bytes
/// that are not a record become [`Entry::Malformed`]. A reader that starts at the `end` of any
/// entry returns the same entries as one that starts at the beginning.
///
/// Memory: a fixed window of twice the cap. Cost: each byte is read once. A record with a broken
/// structure is scanned at most up to the cap, and its first line is skipped. After a failed read
/// every further one fails: open the file again at the last entry's end.
///
/// This does not use the `csv` crate to find records, because that crate silently accepts broken
/// quotes: a quote that is never closed makes the rest of the file one field. It does not use the
/// crate to unescape valid records either: its parser cannot be pointed at new bytes, and building
/// one takes 30 µs per record. The tests compare the two.
#[derive(Debug)]
pub(crate) struct Records<R> {
    window: Window<R>,
    cap: usize,
    examined: u64,
}

impl<R: Read> Records<R> {
    /// Reads the records of `reader`, whose next byte is the one at `position` of the file.
    pub(crate) fn new(reader: R, position: Position) -> Self {
        Self::with_cap(reader, position, RECORD_CAP)
    }

    fn with_cap(reader: R, position: Position, cap: usize) -> Self {
        Self { window: Window::new(reader, position, cap), cap, examined: 0 }
    }

    /// Returns how many bytes the search for record ends has inspected: the cost stated above.
    #[cfg(test)]
    fn examined(&self) -> u64 {
        self.examined
    }

    fn next_entry(&mut self) -> io::Result<Option<Entry<Vec<String>>>> {
        loop {
            let view = self.window.view()?;
            if view.bytes.is_empty() {
                return Ok(None);
            }
            let Scanned { found, examined } = scan(view, self.cap);
            self.examined += examined as u64;
            let (content, whole) = match found {
                Scan::Record { content: 0, whole } => {
                    self.window.advance(whole);
                    continue;
                }
                Scan::Record { content, whole } => (fields_of(&view.bytes[..content]), Some(whole)),
                Scan::Broken(reason) => (Err(reason), None),
            };
            let start = self.window.position();
            match whole {
                Some(whole) => self.window.advance(whole),
                None => self.window.skip_line()?,
            }
            let end = self.window.position();
            return Ok(Some(match content {
                Ok(content) => Entry::Record(Record { start, end, content }),
                Err(reason) => Entry::Malformed(Malformed { start, end, reason }),
            }));
        }
    }
}

impl<R: Read> Iterator for Records<R> {
    type Item = io::Result<Entry<Vec<String>>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_entry().transpose()
    }
}

/// Splits and unescapes a record with a valid structure.
fn fields_of(bytes: &[u8]) -> Result<Vec<String>, Malformation> {
    let mut rest = text_of(bytes)?;
    let mut fields = Vec::new();
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (inside, after) = quoted.split_at(closing_quote(quoted));
                (inside.replace("\"\"", "\""), after.strip_prefix('"').unwrap_or(after))
            }
            None => {
                let (field, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
                (field.to_owned(), after)
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok(fields),
        }
    }
}

/// Returns the position of the closing quote of a field: the first quote that is not doubled.
fn closing_quote(quoted: &str) -> usize {
    let bytes = quoted.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'"', Some(b'"')) => at += 2,
            (b'"', _) => break,
            _ => at += 1,
        }
    }
    at
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;

//! Refuses a wrong header as soon as it has arrived, not only after the whole upload.

use super::Format;
use super::csv::{Header, HeaderError};
use super::error::ImportError;
use super::window::{BYTE_ORDER_MARK, RECORD_CAP};

/// After this many bytes of blank lines without a header, no more bytes are kept.
const MOST_HELD: usize = 2 * RECORD_CAP;

/// Checks an upload while it arrives, piece by piece.
///
/// It refuses the same uploads as a check of the whole file, but perhaps with another error. The
/// exception is a file that begins with more than 128 KiB of blank lines: the import job decides
/// about that.
///
/// Memory: 128 KiB and a piece. Cost: each byte is inspected once, until the header is known.
#[derive(Debug)]
pub struct HeaderCheck(State);

#[derive(Debug)]
enum State {
    Looking(Beginning),
    Decided,
}

impl HeaderCheck {
    /// Begins the check of an upload. NDJSON has no header, so it is never refused here.
    pub fn new(format: Format) -> Self {
        Self(match format {
            Format::Csv => State::Looking(Beginning::default()),
            Format::Ndjson => State::Decided,
        })
    }

    /// Adds the next bytes of the upload.
    ///
    /// # Errors
    ///
    /// If the header is wrong.
    pub fn see(&mut self, piece: &[u8]) -> Result<(), HeaderError> {
        let State::Looking(beginning) = &mut self.0 else { return Ok(()) };
        beginning.held.extend_from_slice(piece);
        let Some(decisive) = beginning.decisive() else {
            if beginning.held.len() > MOST_HELD {
                self.0 = State::Decided;
            }
            return Ok(());
        };
        let header = Header::read(&beginning.held[..decisive]);
        self.0 = State::Decided;
        refusal(header)
    }

    /// Ends the check. The upload may have ended before its header did.
    ///
    /// # Errors
    ///
    /// If the header is wrong.
    pub fn end(self) -> Result<(), HeaderError> {
        match self.0 {
            State::Looking(beginning) => refusal(Header::read(&beginning.held[..])),
            State::Decided => Ok(()),
        }
    }
}

/// Only the header can be wrong: reading bytes in memory cannot fail.
fn refusal(header: Result<Header, ImportError>) -> Result<(), HeaderError> {
    match header {
        Err(ImportError::Header(error)) => Err(error),
        _ => Ok(()),
    }
}

/// The first bytes, and how many of them were already inspected.
#[derive(Debug, Default)]
struct Beginning {
    held: Vec<u8>,
    line: usize,
    seen: usize,
}

impl Beginning {
    /// Returns how many of the bytes decide about the header: a whole line that is not blank, or
    /// more of a line than a record may have.
    fn decisive(&mut self) -> Option<usize> {
        loop {
            let Some(feed) = self.held[self.seen..].iter().position(|&byte| byte == b'\n') else {
                self.seen = self.held.len();
                return (self.unmarked(self.seen).len() > RECORD_CAP + 1).then_some(self.seen);
            };
            let feed = self.seen + feed;
            self.seen = feed + 1;
            if !matches!(self.unmarked(feed), b"" | b"\r") {
                return Some(self.seen);
            }
            self.line = self.seen;
        }
    }

    /// Returns the current line up to `end`, without a byte order mark at the start of the file.
    fn unmarked(&self, end: usize) -> &[u8] {
        let line = &self.held[self.line..end];
        if self.line == 0 { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) } else { line }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::import::Malformation;

    const LINE: &str = "title,starts_at,ends_at,recurrence,attendees\n";

    fn csv() -> HeaderCheck {
        HeaderCheck::new(Format::Csv)
    }

    fn is_decided(check: &HeaderCheck) -> bool {
        matches!(check.0, State::Decided)
    }

    #[test]
    fn a_header_is_decided_by_its_own_line() {
        let mut check = csv();
        for byte in LINE.as_bytes() {
            assert!(!is_decided(&check));
            check.see(&[*byte]).unwrap();
        }
        assert!(is_decided(&check));
        check.see(b"a,\"half of a rec").unwrap();

        assert!(matches!(csv().see(b"\n\r\ntitle\n"), Err(HeaderError::Columns { .. })));
        let long = "x".repeat(RECORD_CAP + 2);
        let reason = Malformation::TooLong;
        assert_eq!(csv().see(long.as_bytes()), Err(HeaderError::Malformed { line: 1, reason }));
        HeaderCheck::new(Format::Ndjson).see(b"title\n").unwrap();
    }

    #[test]
    fn an_upload_that_ends_within_its_header_is_judged_at_its_end() {
        let ended = |text: &str| {
            let mut check = csv();
            check.see(text.as_bytes()).unwrap();
            check.end()
        };
        assert_eq!(ended(LINE.trim_end()), Ok(()));
        assert_eq!(ended(""), Err(HeaderError::Missing));
        assert_eq!(ended("\n\r\n"), Err(HeaderError::Missing));
        assert!(matches!(ended("title,starts_at"), Err(HeaderError::Columns { .. })));
        HeaderCheck::new(Format::Ndjson).end().unwrap();
    }

    #[test]
    fn endless_blank_lines_are_not_held() {
        let mut check = csv();
        for _ in 0..=MOST_HELD {
            check.see(b"\n").unwrap();
        }
        assert!(is_decided(&check));
    }

    proptest! {
        #[test]
        fn a_file_is_refused_where_a_look_at_the_whole_of_it_would_refuse_it(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..80),
                "(\u{FEFF})?(\r?\n)?\"?title\n?\"?,starts_at,ends_at,recurrence,(\")?attendees\"?\r?\n?.{0,9}"
                    .prop_map(String::into_bytes),
            ],
            piece in 1usize..90,
        ) {
            let mut check = csv();
            let seen: Result<(), HeaderError> = bytes.chunks(piece).try_for_each(|piece| check.see(piece));
            let whole = Header::read(&bytes[..]);
            match seen {
                Err(_) => prop_assert!(whole.is_err()),
                Ok(()) => prop_assert_eq!(check.end().is_ok(), whole.is_ok()),
            }
        }
    }
}

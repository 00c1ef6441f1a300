//! A bounded window over a byte stream that tracks its position in the file.

use std::io::{self, ErrorKind, Read};

use tidegate_model::import::Position;

/// Maximum length of a record or line in bytes, without its line ending.
pub(crate) const RECORD_CAP: usize = 64 * 1024;

/// Length of the longest line ending, CRLF.
const ENDING: usize = 2;

/// Some editors and spreadsheets write it before UTF-8 text.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The bytes ahead, as the window shows them.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    /// The bytes ahead, at most a full record and its line ending.
    pub(super) bytes: &'a [u8],
    /// Whether the stream ends with `bytes`.
    pub(super) ends: bool,
}

/// Reads each byte of the stream once. The buffer is twice the cap, so moving the rest to the front
/// copies each byte at most once. After a failed read, every further one fails.
#[derive(Debug)]
pub(super) struct Window<R> {
    reader: R,
    buffer: Box<[u8]>,
    from: usize,
    to: usize,
    exhausted: bool,
    failed: bool,
    position: Position,
    view: usize,
}

impl<R: Read> Window<R> {
    /// Creates a window over `reader`, whose next byte is the one at `position`.
    pub(super) fn new(reader: R, position: Position, cap: usize) -> Self {
        let view = cap + ENDING;
        // At least a byte order mark, which must be visible as a whole.
        let buffer = vec![0; (2 * view).max(BYTE_ORDER_MARK.len())].into_boxed_slice();
        Self { reader, buffer, from: 0, to: 0, exhausted: false, failed: false, position, view }
    }

    /// Returns the position of the next unread byte.
    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// Returns the bytes ahead without moving. A byte order mark at the very start is skipped.
    pub(super) fn view(&mut self) -> io::Result<View<'_>> {
        if self.position.byte == 0 {
            self.fill(BYTE_ORDER_MARK.len())?;
            if self.ahead().starts_with(BYTE_ORDER_MARK) {
                self.advance(BYTE_ORDER_MARK.len());
            }
        }
        self.fill(self.view)?;
        let ahead = self.ahead();
        let bytes = &ahead[..ahead.len().min(self.view)];
        Ok(View { bytes, ends: self.exhausted && bytes.len() == ahead.len() })
    }

    /// Moves over `count` bytes of the last view.
    pub(super) fn advance(&mut self, count: usize) {
        let passed = &self.buffer[self.from..self.from + count];
        let lines = passed.iter().filter(|&&byte| byte == b'\n').count();
        self.position.byte += count as u64;
        self.position.line += lines as u64;
        self.from += count;
    }

    /// Moves past the next line feed, or to the end of the stream.
    pub(super) fn skip_line(&mut self) -> io::Result<()> {
        loop {
            self.fill(1)?;
            let ahead = self.ahead();
            if let Some(feed) = ahead.iter().position(|&byte| byte == b'\n') {
                self.advance(feed + 1);
                return Ok(());
            }
            if ahead.is_empty() {
                return Ok(());
            }
            self.advance(ahead.len());
        }
    }

    fn ahead(&self) -> &[u8] {
        &self.buffer[self.from..self.to]
    }

    /// Reads until `wanted` bytes are ahead or the stream ends.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        if self.failed {
            // The position of the stream after a failed read is unknown. Returning no bytes would
            // look like its end.
            return Err(io::Error::other("an earlier read failed; open the file again"));
        }
        if self.exhausted || self.to - self.from >= wanted {
            return Ok(());
        }
        self.buffer.copy_within(self.from..self.to, 0);
        self.to -= self.from;
        self.from = 0;
        while self.to < wanted {
            match self.reader.read(&mut self.buffer[self.to..]) {
                Ok(0) => {
                    self.exhausted = true;
                    break;
                }
                Ok(count) => self.to += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failed = true;
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

//! A bounded window over a byte stream that knows its place in the file.

use std::io::{self, ErrorKind, Read};

use tidegate_model::import::Position;

/// Bytes a record or line may have, without the line ending that closes it.
pub(crate) const RECORD_CAP: usize = 64 * 1024;

/// What the longest line ending, CRLF, adds to a record.
const ENDING: usize = 2;

/// What some editors and spreadsheets put before UTF-8.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What the window shows of the bytes ahead.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    /// The bytes ahead, no more than a full record and its line ending.
    pub(super) bytes: &'a [u8],
    /// Whether the stream ends with `bytes`.
    pub(super) ends: bool,
}

/// Reads each byte of the stream once and holds twice the cap, so that moving the rest to the front
/// costs at most one copy of each byte. After a failed read, every further one fails.
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
    /// A window over `reader`, whose next byte is the one at `position`.
    pub(super) fn new(reader: R, position: Position, cap: usize) -> Self {
        let view = cap + ENDING;
        // Never less than a byte order mark, which must be seen whole.
        let buffer = vec![0; (2 * view).max(BYTE_ORDER_MARK.len())].into_boxed_slice();
        Self { reader, buffer, from: 0, to: 0, exhausted: false, failed: false, position, view }
    }

    /// Where the next unread byte stands.
    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// Shows the bytes ahead without moving; at the very start, a byte order mark is passed first.
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
            // Where the failed read left the stream is unknown, and silence would look like its
            // end.
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

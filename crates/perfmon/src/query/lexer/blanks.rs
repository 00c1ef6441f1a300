//! What stands between tokens.

use super::super::class::{BLANK, DOLLAR, QUOTE, is};
use super::{Dialect, Lexer, Unreadable};

impl Lexer<'_> {
    /// Skips blanks and comments.
    pub(super) fn skip_blanks(&mut self) -> Result<(), Unreadable> {
        loop {
            let Some(first) = self.peek(0) else { return Ok(()) };
            match (first, self.peek(1)) {
                (byte, _) if is(Some(byte), BLANK) => self.at += 1,
                (b'-', Some(b'-')) => {
                    let rest = &self.bytes()[self.at..];
                    let length = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
                    self.at += length;
                    swallowed_nothing(&rest[..length])?;
                }
                (b'/', Some(b'*')) => self.skip_comment()?,
                _ => return Ok(()),
            }
        }
    }

    fn skip_comment(&mut self) -> Result<(), Unreadable> {
        let start = self.at;
        let mut depth = 0_u32;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(b'/'), Some(b'*')) if depth == 0 || self.dialect == Dialect::Postgres => {
                    depth += 1;
                    self.at += 2;
                }
                (Some(b'*'), Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return swallowed_nothing(&self.bytes()[start..self.at]);
                    }
                }
                (Some(_), _) => self.at += 1,
                (None, _) => return Err(Unreadable),
            }
        }
    }
}

/// Rejects a comment that contains a quote or a dollar sign: it may have swallowed the end of a
/// string without its start.
fn swallowed_nothing(comment: &[u8]) -> Result<(), Unreadable> {
    if comment.iter().any(|&byte| is(Some(byte), QUOTE | DOLLAR)) { Err(Unreadable) } else { Ok(()) }
}

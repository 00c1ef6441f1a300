//! Words: keywords, names, and the prefixes of literals.

use super::super::class::{self, CAPITAL, DIGIT, DOLLAR, FOREIGN, QUOTE, is};
use super::{Dialect, Keyword, Lexer, Token, Unreadable};

/// A name is kept only if it is as short as PostgreSQL's; what is longer may be anything.
const LONGEST_NAME: usize = 63;
/// This many digits in a row are not part of a name but a number whose start was lost.
const DIGITS: usize = 5;
/// The same for hexadecimal digits at its end.
const HEX_DIGITS: usize = 7;

impl<'a> Lexer<'a> {
    pub(super) fn word(&mut self) -> Result<Token<'a>, Unreadable> {
        let start = self.at;
        let rest = &self.bytes()[start..];
        let (length, classes) = class::word(rest);
        self.at = start + length;
        let name = self.text(start, self.at)?;
        if classes & DOLLAR != 0 {
            return Err(Unreadable); // legal, but it may be the end of a `$tag$` string
        }
        if is(self.peek(0), QUOTE) || (self.peek(0) == Some(b'&') && is(self.peek(1), QUOTE)) {
            return self.prefixed(name);
        }
        if let Some(keyword) = Keyword::begins(rest, length) {
            return Ok(Token::Keyword(keyword));
        }
        // Typographic quotes and blanks are letters to no reader.
        if classes & FOREIGN != 0 && !name.chars().all(|char| char.is_alphanumeric() || char == '_') {
            return Err(Unreadable);
        }
        let digits = if classes & DIGIT != 0 { most_digits(name) } else { 0 };
        Ok(if is_suspect(name, digits) { Token::Hidden } else { Token::Name(name, classes & CAPITAL == 0) })
    }

    /// A word with a quote right behind it.
    fn prefixed(&mut self, prefix: &str) -> Result<Token<'a>, Unreadable> {
        let lower = prefix.as_bytes().first().map(u8::to_ascii_lowercase);
        let is_one = prefix.len() == 1;
        match (self.dialect, lower, self.peek(0), self.peek(1)) {
            (_, Some(b'x'), Some(b'\''), _) if is_one => self.string(false),
            (Dialect::Postgres, Some(b'b' | b'n'), Some(b'\''), _) if is_one => self.string(false),
            (Dialect::Postgres, Some(b'e'), Some(b'\''), _) if is_one => self.string(true),
            (Dialect::Postgres, Some(b'u'), Some(b'&'), Some(b'\'')) if is_one => {
                self.at += 1;
                self.string(false)
            }
            (Dialect::Postgres, Some(b'u'), Some(b'&'), Some(b'"')) if is_one => {
                self.at += 1;
                self.quoted(b'"').map(|_| Token::Hidden)
            }
            // `a&'x'` is an operator behind a name, but a name and a quote is nothing.
            (_, _, Some(b'&'), _) if !is_one || lower != Some(b'u') => self.bare(prefix),
            _ => Err(Unreadable),
        }
    }

    /// A name whose operator was looked at already.
    fn bare(&self, name: &str) -> Result<Token<'a>, Unreadable> {
        let name = self.text(self.at - name.len(), self.at)?;
        Ok(if !name.is_ascii() || is_suspect(name, most_digits(name)) {
            Token::Hidden
        } else {
            Token::Name(name, false)
        })
    }
}

/// Whether a word may be what is left of a literal; `digits` are the most in a row.
pub(super) fn is_suspect(name: &str, digits: usize) -> bool {
    let ends_in_hex = || name.bytes().rev().take_while(u8::is_ascii_hexdigit).count() >= HEX_DIGITS;
    digits >= DIGITS || name.len() > LONGEST_NAME || ends_in_hex()
}

pub(super) fn most_digits(name: &str) -> usize {
    let mut row = 0;
    let rows = name.bytes().map(|byte| {
        row = if byte.is_ascii_digit() { row + 1 } else { 0 };
        row
    });
    rows.max().unwrap_or(0)
}

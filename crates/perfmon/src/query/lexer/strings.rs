//! What stands between quotes: strings, and names that may be strings.

use super::super::class::{BLANK, DIGIT, QUOTE, START, WORD, is};
use super::words::{is_suspect, most_digits};
use super::{Dialect, Lexer, Token, Unreadable};

impl<'a> Lexer<'a> {
    /// From the opening quote on. `escapes` if a backslash takes the next byte's meaning away.
    pub(super) fn string(&mut self, escapes: bool) -> Result<Token<'a>, Unreadable> {
        loop {
            self.at += 1;
            self.skip_to_quote(b'\'', escapes)?;
            // PostgreSQL goes on with a string behind a line break.
            let mut ahead = 0;
            let mut is_on_a_new_line = false;
            while is(self.peek(ahead), BLANK) {
                is_on_a_new_line |= matches!(self.peek(ahead), Some(b'\n' | b'\r'));
                ahead += 1;
            }
            let goes_on = is_on_a_new_line && self.dialect == Dialect::Postgres && self.peek(ahead) == Some(b'\'');
            if !goes_on {
                break;
            }
            self.at += ahead;
        }
        self.ends_here(Token::Value)
    }

    /// To behind the closing quote; a doubled one is one of the text.
    fn skip_to_quote(&mut self, quote: u8, escapes: bool) -> Result<(), Unreadable> {
        loop {
            let rest = self.bytes().get(self.at..).ok_or(Unreadable)?;
            let found = rest.iter().position(|&byte| byte == quote || (escapes && byte == b'\\'));
            self.at += found.ok_or(Unreadable)?;
            if self.peek(0) == Some(b'\\') || self.peek(1) == Some(quote) {
                self.at += 2;
            } else {
                self.at += 1;
                return Ok(());
            }
        }
    }

    /// From the opening quote of a name on.
    pub(super) fn quoted(&mut self, close: u8) -> Result<Token<'a>, Unreadable> {
        let start = self.at + 1;
        self.at = start;
        self.skip_to_quote(close, false)?;
        let name = self.text(start, self.at - 1)?;
        if name.bytes().any(|byte| is(Some(byte), QUOTE)) {
            return Err(Unreadable); // a string that lost a quote
        }
        let first = name.bytes().next();
        let is_plain = name.bytes().all(|byte| byte.is_ascii() && is(Some(byte), WORD)) && is(first, START);
        self.ends_here(match (self.dialect, close) {
            _ if !is_plain || is_suspect(name, most_digits(name)) => Token::Hidden,
            (Dialect::Sqlite, b'"') => Token::Doubtful(name),
            _ => Token::Quoted(name),
        })
    }

    pub(super) fn dollar(&mut self) -> Result<Token<'a>, Unreadable> {
        if self.dialect == Dialect::Sqlite {
            return self.parameter();
        }
        let start = self.at;
        self.at += 1;
        if is(self.peek(0), DIGIT) {
            self.skip_while(|byte| byte.is_ascii_digit());
            return self.ends_here(Token::Value);
        }
        if is(self.peek(0), START) {
            self.skip_while(|byte| is(Some(byte), START | DIGIT));
        }
        if self.peek(0) != Some(b'$') {
            return Err(Unreadable);
        }
        self.at += 1;
        let tag = &self.bytes()[start..self.at];
        loop {
            let rest = &self.bytes()[self.at..];
            self.at += rest.iter().position(|&byte| byte == b'$').ok_or(Unreadable)?;
            if self.bytes()[self.at..].starts_with(tag) {
                self.at += tag.len();
                return self.ends_here(Token::Value);
            }
            self.at += 1;
        }
    }
}

//! Numbers and parameters.

use super::super::class::{DIGIT, WORD, is};
use super::{Lexer, Token, Unreadable};

impl<'a> Lexer<'a> {
    pub(super) fn number(&mut self) -> Result<Token<'a>, Unreadable> {
        if self.peek(0) == Some(b'0') && matches!(self.peek(1), Some(b'x' | b'X' | b'o' | b'O' | b'b' | b'B')) {
            self.at += 2;
            self.skip_while(|byte| byte.is_ascii_hexdigit() || byte == b'_');
            return self.ends_here(Token::Value);
        }
        let is_digit = |byte: u8| byte.is_ascii_digit() || byte == b'_';
        self.skip_while(is_digit);
        if self.peek(0) == Some(b'.') {
            self.at += 1;
            self.skip_while(is_digit);
        }
        if matches!(self.peek(0), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.peek(1), Some(b'+' | b'-')));
            if is(self.peek(1 + sign), DIGIT) {
                self.at += 1 + sign;
                self.skip_while(is_digit);
            }
        }
        self.ends_here(Token::Value)
    }

    /// A parameter of SQLite; its name is not shown.
    pub(super) fn parameter(&mut self) -> Result<Token<'a>, Unreadable> {
        let is_numbered = self.peek(0) == Some(b'?');
        self.at += 1;
        let start = self.at;
        self.skip_while(|byte| is(Some(byte), if is_numbered { DIGIT } else { WORD }));
        if start == self.at && !is_numbered {
            return Err(Unreadable);
        }
        self.ends_here(Token::Value)
    }
}

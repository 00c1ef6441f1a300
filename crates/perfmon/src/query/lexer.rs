//! A statement as tokens, or nothing at all.
//!
//! Text that is not terminated, does not fit its dialect or is in an unusual place ends the
//! reading. One quote too many or too few turns inside into outside for the rest of the statement,
//! so no part of such a statement can be trusted.

mod blanks;
mod numbers;
mod strings;
mod words;

use super::class::{BLANK, DIGIT, OPERATOR, QUOTE, START, WORD, is};
use super::dialect::Dialect;
use super::keyword::Keyword;

/// One token; positions are those of the bytes it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Keyword(Keyword),
    /// A bare name, and whether it has no capital ASCII letter.
    Name(&'a str, bool),
    /// A quoted name, without its quotes, of letters, digits and underscores alone.
    Quoted(&'a str),
    /// The same in double quotes of SQLite, where it may be a string.
    Doubtful(&'a str),
    /// A quoted name with anything else in it, or a word that may be what is left of a literal.
    Hidden,
    /// A string, a number or a parameter.
    Value,
    /// Also the points and colons of slices.
    Operator(&'a str),
    Open(u8),
    Close(u8),
    Comma,
    Semicolon,
    Dot,
    /// `::`
    Cast,
}

/// Why there are no more tokens: the rest can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// Reads one token after the other, each byte once, and allocates nothing.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'a> {
    sql: &'a str,
    at: usize,
    dialect: Dialect,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(sql: &'a str, dialect: Dialect) -> Self {
        Self { sql, at: 0, dialect }
    }

    /// The next token; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Token<'a>>, Unreadable> {
        self.skip_blanks()?;
        let Some(first) = self.peek(0) else { return Ok(None) };
        let token = match first {
            b'\'' => self.string(false)?,
            b'"' => self.quoted(b'"')?,
            b'`' if self.dialect == Dialect::Sqlite => self.quoted(b'`')?,
            b'[' if self.dialect == Dialect::Sqlite => self.quoted(b']')?,
            b'(' | b'[' => self.single(Token::Open(first)),
            b')' | b']' => self.single(Token::Close(first)),
            b',' => self.single(Token::Comma),
            b';' => self.single(Token::Semicolon),
            b'.' if is(self.peek(1), DIGIT) => self.number()?,
            b'.' => self.single(Token::Dot),
            b'$' => self.dollar()?,
            b':' => self.colon()?,
            b'?' | b'@' if self.dialect == Dialect::Sqlite => self.parameter()?,
            _ if is(Some(first), DIGIT) => self.number()?,
            _ if is(Some(first), START) => self.word()?,
            _ if is(Some(first), OPERATOR) => self.operator()?,
            _ => return Err(Unreadable),
        };
        Ok(Some(token))
    }

    /// Whether a number comes next, for the minus before it.
    pub(super) fn number_follows(&self) -> bool {
        let mut ahead = 0;
        while is(self.peek(ahead), BLANK) {
            ahead += 1;
        }
        let point = usize::from(self.peek(ahead) == Some(b'.'));
        is(self.peek(ahead + point), DIGIT)
    }

    /// Whether the quoted name of `length` bytes that was just read begins right behind `name.`.
    pub(super) fn is_qualified(&self, length: usize) -> bool {
        let before = &self.bytes()[..self.at - length - 2];
        matches!(before, [.., end, b'.'] if *end == b']' || is(Some(*end), WORD | QUOTE))
    }

    /// Returns whether a point and a name follow without a blank: the name just read then qualifies
    /// that one.
    pub(super) fn qualifies(&self) -> bool {
        if self.peek(0) != Some(b'.') {
            return false;
        }
        match self.peek(1) {
            Some(b'*' | b'"' | b'`' | b'[') => true,
            next if is(next, START) => {
                let mut ahead = self.clone();
                ahead.at += 1;
                matches!(ahead.word(), Ok(Token::Name(..)))
            }
            _ => false,
        }
    }

    fn bytes(&self) -> &'a [u8] {
        self.sql.as_bytes()
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes().get(self.at + ahead).copied()
    }

    /// Between two ASCII bytes, so always text.
    fn text(&self, start: usize, end: usize) -> Result<&'a str, Unreadable> {
        self.sql.get(start..end).ok_or(Unreadable)
    }

    fn single(&mut self, token: Token<'a>) -> Token<'a> {
        self.at += 1;
        token
    }

    fn skip_while(&mut self, takes: impl Fn(u8) -> bool) {
        while self.peek(0).is_some_and(&takes) {
            self.at += 1;
        }
    }

    /// Rejects a literal or a quoted name that is directly followed by a word or a quote: it was
    /// cut out of other text.
    fn ends_here(&self, token: Token<'a>) -> Result<Token<'a>, Unreadable> {
        if is(self.peek(0), WORD | QUOTE) { Err(Unreadable) } else { Ok(token) }
    }

    fn colon(&mut self) -> Result<Token<'a>, Unreadable> {
        match (self.dialect, self.peek(1)) {
            (Dialect::Sqlite, _) => self.parameter(),
            (Dialect::Postgres, Some(b':')) => {
                self.at += 2;
                Ok(Token::Cast)
            }
            (Dialect::Postgres, Some(b'=')) => {
                self.at += 2;
                Ok(Token::Operator(":="))
            }
            (Dialect::Postgres, _) => Ok(self.single(Token::Operator(":"))),
        }
    }

    /// Reads an operator like PostgreSQL: as long as possible, but not into a comment. A sign at
    /// its end is an operator of its own, unless a character before it is not an arithmetic one.
    fn operator(&mut self) -> Result<Token<'a>, Unreadable> {
        let rest = &self.bytes()[self.at..];
        let mut length = 1;
        while is(rest.get(length).copied(), OPERATOR) {
            // A parameter of SQLite may follow without a blank.
            let is_parameter = self.dialect == Dialect::Sqlite && matches!(rest[length], b'?' | b'@');
            if is_parameter || matches!(rest[length..], [b'-', b'-', ..] | [b'/', b'*', ..]) {
                break;
            }
            length += 1;
        }
        let is_free = rest[..length]
            .iter()
            .any(|byte| matches!(byte, b'~' | b'!' | b'@' | b'#' | b'%' | b'^' | b'&' | b'|' | b'?'));
        while length > 1 && matches!(rest[length - 1], b'+' | b'-') && (!is_free || self.dialect == Dialect::Sqlite) {
            length -= 1;
        }
        if rest[..length].windows(2).any(|pair| pair == b"*/") {
            return Err(Unreadable); // the end of a comment that lost its beginning
        }
        let operator = self.text(self.at, self.at + length)?;
        self.at += length;
        Ok(Token::Operator(match operator {
            "!=" => "<>",
            "==" => "=",
            other => other,
        }))
    }
}

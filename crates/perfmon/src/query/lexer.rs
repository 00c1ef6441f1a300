//! A statement as tokens, or nothing at all.
//!
//! Whatever doesn't end, doesn't fit its dialect or stands where no writer puts it ends the reading. A quote too many or too few shifts
//! everything behind it from inside to outside, so that nothing of such a statement can be believed.

use super::dialect::Dialect;
use super::keyword::Keyword;

/// A name is kept only if it is as short as PostgreSQL's; what is longer may be anything.
const LONGEST_NAME: usize = 63;
/// As many digits in a row are no part of a name but a number whose beginning was lost.
const DIGITS: usize = 5;
/// The same for hexadecimal digits at its end.
const HEX_DIGITS: usize = 7;

/// One token; positions are those of the bytes it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Keyword(Keyword),
    /// A bare name.
    Name(&'a str),
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

const BLANK: u8 = 1;
const START: u8 = 2; // of a word
const DIGIT: u8 = 4;
const OPERATOR: u8 = 8;
const DOLLAR: u8 = 16;
const QUOTE: u8 = 32; // of any dialect
const FOREIGN: u8 = 64; // not ASCII
const WORD: u8 = START | DIGIT | DOLLAR;

#[expect(clippy::cast_possible_truncation, reason = "a byte")]
static CLASS: [u8; 256] = {
    let (mut class, mut byte) = ([0; 256], 0);
    while byte < 256 {
        class[byte] = match byte as u8 {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => BLANK,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => START,
            0x80.. => START | FOREIGN,
            b'0'..=b'9' => DIGIT,
            b'$' => DOLLAR,
            b'\'' | b'"' | b'`' => QUOTE,
            b'+' | b'-' | b'*' | b'/' | b'<' | b'>' | b'=' | b'~' | b'!' | b'@' | b'#' | b'%' | b'^' | b'&' | b'|'
            | b'?' => OPERATOR,
            _ => 0,
        };
        byte += 1;
    }
    class
};

fn is(byte: Option<u8>, class: u8) -> bool {
    byte.is_some_and(|byte| CLASS[usize::from(byte)] & class != 0)
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

    /// Whether a point and a name follow without a blank: what was just read names where that one is.
    pub(super) fn qualifies(&self) -> bool {
        if self.peek(0) != Some(b'.') {
            return false;
        }
        match self.peek(1) {
            Some(b'*' | b'"' | b'`' | b'[') => true,
            next if is(next, START) => {
                let mut ahead = self.clone();
                ahead.at += 1;
                matches!(ahead.word(), Ok(Token::Name(_)))
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

    /// Skips blanks and comments.
    fn skip_blanks(&mut self) -> Result<(), Unreadable> {
        loop {
            match (self.peek(0), self.peek(1)) {
                (byte, _) if is(byte, BLANK) => self.at += 1,
                (Some(b'-'), Some(b'-')) => {
                    let rest = &self.bytes()[self.at..];
                    let length = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
                    self.at += length;
                    swallowed_nothing(&rest[..length])?;
                }
                (Some(b'/'), Some(b'*')) => self.skip_comment()?,
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

    /// From the opening quote on. `escapes` if a backslash takes the next byte's meaning away.
    fn string(&mut self, escapes: bool) -> Result<Token<'a>, Unreadable> {
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
    fn quoted(&mut self, close: u8) -> Result<Token<'a>, Unreadable> {
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

    /// A literal or a quoted name that runs into a word or another quote was cut out of something else.
    fn ends_here(&self, token: Token<'a>) -> Result<Token<'a>, Unreadable> {
        if is(self.peek(0), WORD | QUOTE) { Err(Unreadable) } else { Ok(token) }
    }

    fn number(&mut self) -> Result<Token<'a>, Unreadable> {
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

    fn skip_while(&mut self, takes: impl Fn(u8) -> bool) {
        while self.peek(0).is_some_and(&takes) {
            self.at += 1;
        }
    }

    fn word(&mut self) -> Result<Token<'a>, Unreadable> {
        let start = self.at;
        let (mut packed, mut classes, mut length) = (0_u128, 0, 0);
        for &byte in &self.bytes()[start..] {
            let class = CLASS[usize::from(byte)];
            if class & WORD == 0 {
                break;
            }
            classes |= class;
            length += 1;
            packed = packed << 8 | u128::from(byte.to_ascii_lowercase());
        }
        self.at = start + length;
        let name = self.text(start, self.at)?;
        if classes & DOLLAR != 0 {
            return Err(Unreadable); // legal, but it may be the end of a `$tag$` string
        }
        if is(self.peek(0), QUOTE) || (self.peek(0) == Some(b'&') && is(self.peek(1), QUOTE)) {
            return self.prefixed(name);
        }
        if let Some(keyword) = Keyword::find(packed, name.len()) {
            return Ok(Token::Keyword(keyword));
        }
        // Typographic quotes and blanks are letters to no reader.
        if classes & FOREIGN != 0 && !name.chars().all(|char| char.is_alphanumeric() || char == '_') {
            return Err(Unreadable);
        }
        let digits = if classes & DIGIT != 0 { most_digits(name) } else { 0 };
        Ok(if is_suspect(name, digits) { Token::Hidden } else { Token::Name(name) })
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
        Ok(if !name.is_ascii() || is_suspect(name, most_digits(name)) { Token::Hidden } else { Token::Name(name) })
    }

    fn dollar(&mut self) -> Result<Token<'a>, Unreadable> {
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

    /// A parameter of SQLite; its name is nobody's business.
    fn parameter(&mut self) -> Result<Token<'a>, Unreadable> {
        let is_numbered = self.peek(0) == Some(b'?');
        self.at += 1;
        let start = self.at;
        self.skip_while(|byte| is(Some(byte), if is_numbered { DIGIT } else { WORD }));
        if start == self.at && !is_numbered {
            return Err(Unreadable);
        }
        self.ends_here(Token::Value)
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

    /// As PostgreSQL reads it: as long as can be, but not into a comment, and a sign at its end is one of its own unless a
    /// character before it belongs to no arithmetic.
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

/// A comment with a quote or a dollar sign in it may have swallowed the end of a string that lost its beginning.
fn swallowed_nothing(comment: &[u8]) -> Result<(), Unreadable> {
    if comment.iter().any(|&byte| is(Some(byte), QUOTE | DOLLAR)) { Err(Unreadable) } else { Ok(()) }
}

/// Whether a word may be what is left of a literal; `digits` are the most in a row.
fn is_suspect(name: &str, digits: usize) -> bool {
    let ends_in_hex = || name.bytes().rev().take_while(u8::is_ascii_hexdigit).count() >= HEX_DIGITS;
    digits >= DIGITS || name.len() > LONGEST_NAME || ends_in_hex()
}

fn most_digits(name: &str) -> usize {
    let mut row = 0;
    let rows = name.bytes().map(|byte| {
        row = if byte.is_ascii_digit() { row + 1 } else { 0 };
        row
    });
    rows.max().unwrap_or(0)
}

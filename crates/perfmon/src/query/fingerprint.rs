//! What statements that differ in their values have in common.

use std::fmt;
use std::hash::Hasher;
use std::mem;

use foldhash::quality::FixedState;
use serde::{Serialize, Serializer};

use super::dialect::Dialect;
use super::keyword::Keyword;
use super::lexer::{Lexer, Token, Unreadable};
use super::lists::Lists;
use super::skeleton;

/// A longer statement is not read at all, so that nobody waits for a megabyte.
const LONGEST_READ: usize = 1 << 20;
/// A statement is rarely longer after its lists are collapsed. A longer one is not read to its end.
const LONGEST_WRITTEN: usize = 64 << 10;
/// What is kept of a statement's text, in bytes.
const LONGEST_SHOWN: usize = 4 << 10;
/// Ends a text that was cut.
pub(super) const CUT: &str = " …";

/// Names a shape: statements with the same one differ in values, blanks, case and comments only.
///
/// The same for all processes of one build. Shown as sixteen hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Its number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    pub(super) fn of(text: &[u8]) -> Self {
        let mut hasher = std::hash::BuildHasher::build_hasher(&FixedState::default());
        hasher.write(text);
        Self(hasher.finish())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads a statement in one pass and writes its shape into `text`, whose room is used again.
///
/// In the shape every literal and parameter is `?`, comments are removed, unquoted words are lower
/// case, and blanks are normalised. In the lists after `IN`, `ARRAY` and `VALUES` only one of
/// several equal items stays. `NULL`, `TRUE` and `FALSE` are values, except after `IS` and `NOT`.
/// `-5` equals `5` where an operand is expected, and `!=` is written as `<>`.
///
/// It fails closed. A statement that cannot be read becomes the keywords before its first literal
/// and `…`. It cannot be read if it is not terminated, does not begin like a statement, or contains
/// syntax that its dialect does not know. The same applies to a comment or a quoted name with a
/// quote in it, and to a word with a dollar sign. Names that could be literals also become `?`: in
/// SQLite `"x"` wherever a name is optional; quoted names with other characters than letters,
/// digits and underscores; words with five digits in a row or that end with seven hexadecimal
/// digits; the arguments of `SET`, `PRAGMA`, `ALTER` and `ATTACH`.
///
/// Some secrets cannot be recognised: a literal that lost *both* its quotes, and a comment line
/// that lost its two dashes, look like words to any reader.
///
/// The text is cut after 4 KiB; the fingerprint is of the whole. Costs about 3 to 4 ns a byte. It
/// does not allocate if `text` has a capacity of the statement's length.
///
/// ```
/// use tidegate_perfmon::{Dialect, fingerprint};
///
/// let mut text = String::new();
/// let sql = "SELECT name FROM users WHERE id IN (1, 2) AND key = 'tk_secret'";
/// let one = fingerprint(sql, Dialect::Postgres, &mut text);
/// assert_eq!(text, "select name from users where id in (?) and key = ?");
/// let sql = "select name from users where id in (7) and key = $1 -- me";
/// let other = fingerprint(sql, Dialect::Postgres, &mut text);
/// assert_eq!(one, other);
/// ```
pub fn fingerprint(sql: &str, dialect: Dialect, text: &mut String) -> Fingerprint {
    let mut bytes = mem::take(text).into_bytes();
    bytes.clear();
    let mut shape = Shape::new(bytes);
    let is_read = sql.len() <= LONGEST_READ && {
        shape.out.reserve(sql.len().min(LONGEST_WRITTEN) + 16);
        shape.read(Lexer::new(sql, dialect)).is_ok()
    };
    // Only whole words of a text were written, so it is valid UTF-8 itself. If it ever is not, it
    // is not shown.
    match (is_read, String::from_utf8(shape.out)) {
        (true, Ok(written)) => *text = written,
        (_, written) => {
            *text = written.unwrap_or_default();
            skeleton::write(sql, text);
        }
    }
    let fingerprint = Fingerprint::of(text.as_bytes());
    if text.len() > LONGEST_SHOWN {
        text.truncate(text.floor_char_boundary(LONGEST_SHOWN - CUT.len()));
        text.push_str(CUT);
    }
    fingerprint
}

/// What was written last, as far as the next token cares.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Keyword(Keyword),
    Name,
    Hidden,
    Value,
    Operator,
    Open,
    Close,
    Comma,
    /// Behind a name that is shown, or behind anything else.
    Dot {
        of_a_name: bool,
    },
    Cast,
}

struct Shape {
    out: Vec<u8>,
    last: Last,
    before: Last,
    lists: Lists,
    /// What the present statement began with.
    statement: Option<Keyword>,
    /// From here on its bare words are values.
    are_words_values: bool,
    is_semicolon_due: bool,
}

impl Shape {
    fn new(out: Vec<u8>) -> Self {
        Self {
            out,
            last: Last::Nothing,
            before: Last::Nothing,
            lists: Lists::default(),
            statement: None,
            are_words_values: false,
            is_semicolon_due: false,
        }
    }

    fn read(&mut self, mut lexer: Lexer<'_>) -> Result<(), Unreadable> {
        while let Some(token) = lexer.next()? {
            self.take(token, &lexer)?;
            if self.out.len() > LONGEST_WRITTEN {
                return Err(Unreadable);
            }
        }
        self.lists.end(&mut self.out)?;
        if self.out.is_empty() { Err(Unreadable) } else { Ok(()) }
    }

    fn take(&mut self, token: Token<'_>, lexer: &Lexer<'_>) -> Result<(), Unreadable> {
        if self.statement.is_none() {
            self.begin(token)?;
        }
        match token {
            Token::Keyword(_) | Token::Name(..) | Token::Quoted(_) | Token::Doubtful(_) if self.are_words_values => {
                self.value(Last::Hidden);
            }
            Token::Keyword(keyword) if matches!(self.last, Last::Dot { .. }) => self.name(keyword.as_str(), true),
            Token::Keyword(keyword) => self.keyword(keyword),
            Token::Name(name, is_small) => self.name(name, is_small),
            Token::Quoted(name) => self.quoted(name),
            Token::Doubtful(name) if self.is_name(name, lexer) => self.quoted(name),
            Token::Doubtful(_) | Token::Hidden => self.value(Last::Hidden),
            Token::Value if matches!(self.last, Last::Dot { .. }) => return Err(Unreadable),
            Token::Value => self.value(Last::Value),
            Token::Operator("-") if self.expects_an_operand() && lexer.number_follows() => {}
            Token::Operator(operator) => {
                self.space();
                self.out.extend_from_slice(operator.as_bytes());
                self.are_words_values |= gives_words(self.statement) && operator == "=";
                self.set(Last::Operator);
            }
            Token::Open(bracket) => self.open(bracket),
            Token::Close(bracket) => {
                self.lists.close(&mut self.out, bracket)?;
                self.set(Last::Close);
            }
            Token::Comma => {
                self.lists.comma(&mut self.out);
                self.set(Last::Comma);
            }
            Token::Semicolon => {
                self.lists.end(&mut self.out)?;
                self.is_semicolon_due = !self.out.is_empty();
                (self.statement, self.are_words_values) = (None, false);
                self.set(Last::Nothing);
            }
            Token::Dot => self.dot()?,
            Token::Cast => {
                self.lists.before_token(&mut self.out, false);
                self.out.extend_from_slice(b"::");
                self.set(Last::Cast);
            }
        }
        Ok(())
    }

    /// What comes before the first keyword of a statement, and that one.
    fn begin(&mut self, token: Token<'_>) -> Result<(), Unreadable> {
        match token {
            Token::Keyword(keyword) if keyword.starts_a_statement() => {
                self.statement = Some(keyword);
            }
            Token::Open(b'(') | Token::Semicolon => {}
            _ => return Err(Unreadable),
        }
        if self.is_semicolon_due && token != Token::Semicolon {
            self.is_semicolon_due = false;
            self.out.extend_from_slice(b"; ");
        }
        Ok(())
    }

    fn name(&mut self, name: &str, is_small: bool) {
        self.space();
        let start = self.out.len();
        self.out.extend_from_slice(name.as_bytes());
        if !is_small {
            self.out[start..].make_ascii_lowercase();
        }
        self.set(Last::Name);
    }

    /// In quotes only where it would mean something else without.
    fn quoted(&mut self, name: &str) {
        let is_small = !name.bytes().any(|byte| byte.is_ascii_uppercase());
        if is_small && Keyword::named(name).is_none() {
            return self.name(name, true);
        }
        self.space();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b'"');
        self.set(Last::Name);
    }

    fn keyword(&mut self, keyword: Keyword) {
        let is_constant = [Keyword::NULL, Keyword::TRUE, Keyword::FALSE].contains(&keyword);
        let is_tested = matches!(self.last, Last::Keyword(Keyword::IS | Keyword::NOT));
        if is_constant && !is_tested {
            return self.value(Last::Value);
        }
        self.space();
        self.out.extend_from_slice(keyword.as_str().as_bytes());
        self.are_words_values |= keyword == Keyword::ATTACH || (gives_words(self.statement) && keyword == Keyword::TO);
        if keyword == Keyword::VALUES {
            self.lists.values();
        }
        self.set(Last::Keyword(keyword));
    }

    fn value(&mut self, kind: Last) {
        self.space();
        self.out.push(b'?');
        self.set(kind);
    }

    fn open(&mut self, bracket: u8) {
        let is_list = matches!(self.last, Last::Keyword(Keyword::IN | Keyword::ARRAY));
        let is_apart = bracket == b'(' && matches!(self.last, Last::Keyword(_) | Last::Operator | Last::Comma);
        self.lists.before_token(&mut self.out, bracket == b'(');
        if is_apart && self.last != Last::Comma {
            self.out.push(b' ');
        }
        self.out.push(bracket);
        self.lists.open(&self.out, bracket, is_list);
        self.are_words_values |= self.statement == Some(Keyword::PRAGMA);
        self.set(Last::Open);
    }

    fn dot(&mut self) -> Result<(), Unreadable> {
        match self.last {
            Last::Name | Last::Hidden | Last::Close | Last::Keyword(_) => {}
            _ => return Err(Unreadable),
        }
        self.out.push(b'.');
        self.set(Last::Dot { of_a_name: self.last == Last::Name });
        Ok(())
    }

    /// The blank before a token, and the comma before an item.
    fn space(&mut self) {
        self.lists.before_token(&mut self.out, false);
        if !matches!(self.last, Last::Nothing | Last::Open | Last::Dot { .. } | Last::Cast | Last::Comma) {
            self.out.push(b' ');
        }
    }

    fn set(&mut self, last: Last) {
        self.before = mem::replace(&mut self.last, last);
    }

    fn expects_an_operand(&self) -> bool {
        match self.last {
            Last::Keyword(keyword) => keyword != Keyword::END && keyword != Keyword::NULL,
            Last::Nothing | Last::Operator | Last::Open | Last::Comma => true,
            _ => false,
        }
    }

    /// Whether what SQLite may take for a string must be a name where it stands.
    fn is_name(&self, name: &str, lexer: &Lexer<'_>) -> bool {
        match self.last {
            // `IS NOT DISTINCT FROM "x"` compares.
            Last::Keyword(Keyword::FROM) => self.before != Last::Keyword(Keyword::DISTINCT),
            Last::Keyword(Keyword::INTO | Keyword::JOIN | Keyword::TABLE | Keyword::UPDATE) => true,
            Last::Dot { of_a_name: true } => lexer.is_qualified(name.len()),
            _ => lexer.qualifies(),
        }
    }
}

/// Whether a statement takes bare words for values, behind `=` or `TO`.
fn gives_words(statement: Option<Keyword>) -> bool {
    matches!(statement, Some(Keyword::ALTER | Keyword::PRAGMA | Keyword::SET))
}

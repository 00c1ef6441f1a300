//! What statements that differ in their values have in common.

use std::fmt;
use std::hash::Hasher;
use std::mem;

use foldhash::quality::FixedState;
use serde::{Serialize, Serializer};

use super::dialect::Dialect;
use super::lexer::Lexer;
use super::shape::{LONGEST_WRITTEN, Shape};
use super::skeleton::{self, CUT};

/// A longer statement is not read at all, so that no caller waits for a megabyte.
const LONGEST_READ: usize = 1 << 20;
/// The most bytes of a statement's text that are kept.
const LONGEST_SHOWN: usize = 4 << 10;

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

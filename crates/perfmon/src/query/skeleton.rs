//! What may be shown of a statement that can't be read.

use super::class::{BLANK, is};
use super::keyword::Keyword;

/// Ends a text that was cut.
pub(super) const CUT: &str = " …";
/// More keywords add no information.
const MOST: usize = 12;

/// Writes the keywords before the first literal, quote or comment into `text`.
///
/// Keywords come from our own list, so no word of the statement is shown, wherever it was. Its hash
/// is not shown either: for a short secret the hash is as good as the secret, and each statement
/// would be a shape of its own.
pub(super) fn write(sql: &str, text: &mut String) {
    text.clear();
    let (mut rest, mut left) = (sql.as_bytes(), MOST);
    while left > 0 && rest.first().is_some_and(|&byte| is_plain(byte)) {
        let letters = rest.iter().position(|&byte| !is_letter(byte)).unwrap_or(rest.len());
        if let Some(keyword) = Keyword::begins(rest, letters) {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(keyword.as_str());
            left -= 1;
        }
        rest = &rest[letters.max(1)..];
    }
    text.push_str(CUT);
}

/// Opens no literal, name or comment in any dialect.
fn is_plain(byte: u8) -> bool {
    is_letter(byte) || is(Some(byte), BLANK) && byte != 0x0b || matches!(byte, b'(' | b')' | b',' | b'.' | b'*' | b'=')
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

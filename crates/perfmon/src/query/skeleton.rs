//! What may be shown of a statement that can't be read.

use super::fingerprint::CUT;
use super::keyword::Keyword;

/// More keywords tell no more.
const MOST: usize = 12;

/// Writes the keywords before the first literal, quote or comment into `text`.
///
/// Keywords are words of our own list, so that none of the statement's is shown, wherever they stood. Nor is its hash: of a short
/// secret a hash is as good as the secret, and each statement would be a shape of its own.
pub(super) fn write(sql: &str, text: &mut String) {
    text.clear();
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let end = sql.bytes().position(|byte| !is_plain(byte)).unwrap_or(sql.len());
    let words = sql.as_bytes()[..end].split(|&byte| !is_word(byte));
    for keyword in words.filter_map(|word| Keyword::named(std::str::from_utf8(word).ok()?)).take(MOST) {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(keyword.as_str());
    }
    text.push_str(CUT);
}

/// Opens no literal, name or comment in any dialect.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphabetic()
        || byte.is_ascii_whitespace()
        || matches!(byte, b'_' | b'(' | b')' | b',' | b'.' | b'*' | b'=')
}

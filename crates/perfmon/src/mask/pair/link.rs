//! What stands between a key and its value.

use crate::mask::scan::{is_word, skip_blanks};

/// Between key and value; `%3D` and `%3A` as in a URL within a URL.
const SIGNS: [&str; 6] = ["=>", ":=", "=", ":", "%3d", "%3a"];
/// Prefixes of a quoted text in SQL and in programs: `E'…'`.
const KINDS_OF_TEXT: &[u8] = b"bBeEnNrRuUxX";

pub(super) fn is_key(char: char) -> bool {
    is_word(char) || matches!(char, '-' | '.')
}

/// The characters between a key and its value.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Link {
    /// `=` right behind the key, or blanks behind an option's.
    Assigned,
    /// `:` and a blank, as in a sentence.
    Said,
    /// Any other sign.
    Sign,
    /// Blanks, before a quote.
    Clause,
    /// The end of a tag: `<password>`.
    Tag,
}

/// Returns where the value of the key at `start..end` begins, if one follows.
pub(super) fn start_of_value(text: &str, start: usize, end: usize) -> Option<(usize, Link)> {
    if let Some(behind) = end_of_tag(text, start, end) {
        return Some((behind, Link::Tag));
    }
    let key_end = end_of_name(text, end);
    let behind = skip_blanks(text, key_end);
    let may_be_sign = matches!(text.as_bytes().get(behind)?, b'=' | b':' | b'%');
    if may_be_sign && let Some(sign) = SIGNS.iter().find(|sign| starts_with(&text[behind..], sign)) {
        let value = skip_blanks(text, behind + sign.len());
        let is_close = behind == key_end;
        let link = match *sign {
            "=" | "%3d" if is_close => Link::Assigned,
            ":" if is_close && value > behind + sign.len() => Link::Said,
            _ => Link::Sign,
        };
        return Some((value, link));
    }
    if behind == key_end {
        return None;
    }
    if text[start..].starts_with("--") {
        return Some((behind, Link::Assigned));
    }
    let is_quoted = opening(text, behind).is_some() || end_of_dollars(text, behind).is_some();
    is_quoted.then_some((behind, Link::Clause))
}

/// Returns the position after the closing of a key, `"key"`, also as `\"key\"` in a nested text,
/// and after its indexes: `key[]`, `key[0]`.
fn end_of_name(text: &str, end: usize) -> usize {
    const LONGEST: usize = 32;
    let bytes = text.as_bytes();
    let mut at = end;
    loop {
        match bytes.get(at) {
            Some(b'"' | b'\'' | b'\\' | b'`' | b']') => at += 1,
            Some(b'[') => {
                let place = bytes[at + 1..].iter().take(LONGEST).position(|byte| !is_place(*byte));
                match place {
                    Some(length) if bytes[at + 1 + length] == b']' => at += length + 2,
                    _ => return at,
                }
            }
            _ => return at,
        }
    }
}

fn is_place(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'"' | b'\'')
}

/// Returns the quote that opens a text at `start`, and its position: after backslashes, or after
/// the prefix of the text.
pub(super) fn opening(text: &str, start: usize) -> Option<(usize, char)> {
    let bytes = text.as_bytes();
    let is_kind = bytes.get(start).is_some_and(|byte| KINDS_OF_TEXT.contains(byte));
    // `U&'…'`, with numbers of characters in it.
    let kind = if is_kind { 1 + usize::from(bytes.get(start + 1) == Some(&b'&')) } else { 0 };
    let backslashes = bytes[start + kind..].iter().take_while(|&&byte| byte == b'\\').count();
    let at = start + kind + backslashes;
    match bytes.get(at)? {
        quote @ (b'"' | b'\'') => Some((at, char::from(*quote))),
        b'`' if !is_kind => Some((at, '`')),
        _ => None,
    }
}

/// Behind the `$$` or `$tag$` that opens a text of PostgreSQL at `start`.
pub(super) fn end_of_dollars(text: &str, start: usize) -> Option<usize> {
    const LONGEST: usize = 63;
    let tag = text[start..].strip_prefix('$')?;
    let length = tag.bytes().take(LONGEST + 1).position(|byte| !byte.is_ascii_alphanumeric() && byte != b'_')?;
    let is_tag = tag[length..].starts_with('$') && !tag.starts_with(|char: char| char.is_ascii_digit());
    is_tag.then_some(start + length + 2)
}

/// Behind the tag that the key at `start..end` opens: `<password>`, `<a:password b="c">`.
fn end_of_tag(text: &str, start: usize, end: usize) -> Option<usize> {
    const LONGEST: usize = 256;
    if !matches!(text.as_bytes().get(end)?, b'>' | b' ') {
        return None;
    }
    let before = &text[..start];
    before.strip_suffix(':').map_or(before, |before| before.trim_end_matches(is_key)).strip_suffix('<')?;
    let close = text.as_bytes()[end..].iter().take(LONGEST).position(|byte| matches!(byte, b'<' | b'>'))?;
    let is_open = text[end + close..].starts_with('>') && !text[..end + close].ends_with('/');
    is_open.then_some(end + close + 1)
}

fn starts_with(text: &str, sign: &str) -> bool {
    text.as_bytes().get(..sign.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(sign.as_bytes()))
}

//! Where the value of a key ends.

use std::ops::Range;

use super::link::{Link, end_of_dollars, opening};
use super::secret::Secret;
use crate::mask::scan::end_of;

/// The ends that several values may share: looked up once.
#[derive(Default)]
pub(super) struct Ends {
    line: usize,
    word: usize,
    block: usize,
}

impl Ends {
    fn of_line(&mut self, text: &str, start: usize) -> usize {
        if self.line <= start {
            self.line = end_of(text, start, |char| char == '\n');
        }
        self.line
    }

    /// Returns the end of a CDATA block.
    fn of_block(&mut self, text: &str, start: usize) -> usize {
        const CLOSE: &str = "]]>";
        if self.block <= start {
            self.block = text[start..].find(CLOSE).map_or(text.len(), |length| start + length + CLOSE.len());
        }
        self.block
    }

    fn of_word(&mut self, text: &str, start: usize) -> usize {
        if self.word <= start {
            self.word = end_of(text, start, |char| {
                char.is_whitespace() || matches!(char, '&' | ',' | ';' | ')' | '}' | ']' | '"' | '\'')
            });
        }
        self.word
    }
}

/// The backslashes of the quote at the end of `before`, if there is one.
pub(super) fn escape_of_quote(before: &str) -> Option<&str> {
    let before = before.strip_suffix('"')?;
    Some(&before[before.trim_end_matches('\\').len()..])
}

/// The kind of secret is passed with the backslashes of the quote that opened right before its key,
/// if there is one.
pub(super) fn value_at(
    text: &str,
    start: usize,
    (secret, quote): (Secret, Option<&str>),
    link: Link,
    ends: &mut Ends,
) -> Range<usize> {
    if link == Link::Tag {
        return within_tags(text, start, ends);
    }
    if let Some((quote_at, quote)) = opening(text, start) {
        let inside = quote_at + 1;
        let escape = text[start..quote_at].trim_start_matches(|char| char != '\\');
        // The kind goes with it: it may as well be the secret, as in `'token=b'`.
        let has_kind = escape.len() < quote_at - start;
        return if has_kind { start } else { inside }..end_of_quoted(text, inside, quote, escape);
    }
    if let Some(inside) = end_of_dollars(text, start) {
        let end = text[inside..].find(&text[start..inside]).map_or(text.len(), |length| inside + length);
        return inside..end;
    }
    match text[start..].chars().next() {
        // A list or an object ends with the line: its brackets are not counted, because they may be
        // part of the secret.
        Some('[' | '{') => start..ends.of_line(text, start),
        // A quote may be part of the secret (`Cookie: a="b"; c=d`). It closes only a quote that was
        // opened before the key.
        _ if secret == Secret::Line => match quote {
            Some(escape) => start..end_of_quoted(&text[..ends.of_line(text, start)], start, '"', escape),
            None => start..end_of(text, start, |char| matches!(char, '\n' | '\r')),
        },
        _ => start..ends.of_word(text, start),
    }
}

/// Returns the content of a tag. If no tag closes it, it may be a sentence:
/// `login <user> <password>, then`.
fn within_tags(text: &str, start: usize, ends: &mut Ends) -> Range<usize> {
    if text[start..].starts_with("<![CDATA[") {
        return start..ends.of_block(text, start);
    }
    let end = end_of(text, start, |char| char == '<');
    if text[end..].starts_with("</") {
        start..end
    } else if text[start..].starts_with(char::is_alphanumeric) {
        start..ends.of_line(text, start)
    } else {
        start..start
    }
}

/// Returns where the quote that opened before `start` closes: at a quote with the same number of
/// backslashes before it. Doubled quotes do not close it.
fn end_of_quoted(text: &str, start: usize, quote: char, escape: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = start;
    while at < bytes.len() {
        let backslashes = bytes[at..].iter().take_while(|&&byte| byte == b'\\').count();
        let behind = at + backslashes;
        if bytes.get(behind) == Some(&(quote as u8)) {
            if backslashes == escape.len() {
                if bytes.get(behind + 1) != Some(&(quote as u8)) || !escape.is_empty() {
                    return at;
                }
                at = behind + 2;
            } else {
                at = behind + 1;
            }
        } else {
            at = behind + 1;
        }
    }
    text.len()
}

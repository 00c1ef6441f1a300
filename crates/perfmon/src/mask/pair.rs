//! Values of keys that name a secret.

use std::ops::Range;

use super::{end_of, is_word, skip_blanks};

/// What such a key's name contains, once `-`, `_` and `.` are left out of it.
const NAMES: [&str; 17] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "authorization",
    "cookie",
    "session",
    "signature",
    "cvv",
    "cvc",
    "pincode",
];
/// What its last part is: too short to be looked for within a name.
const LAST_PARTS: [&str; 5] = ["pass", "sig", "jwt", "otp", "pin"];
/// Headers whose value is the rest of the line.
const LINES: [&str; 3] = ["cookie", "authorization", "passphrase"];
/// Between key and value; `%3D` and `%3A` as in a URL within a URL.
const SIGNS: [&str; 6] = ["=>", ":=", "=", ":", "%3d", "%3a"];

pub(super) fn find(text: &str, secrets: &mut Vec<Range<usize>>) {
    let mut at = 0;
    while at < text.len() {
        let start = end_of(text, at, is_key);
        let end = end_of(text, start, |char| !is_key(char));
        at = text.ceil_char_boundary(end.max(at + 1));
        // Where it is a secret's is asked last: most words have no value.
        if let Some(value) = start_of_value(text, start, end)
            && let Some(name) = secret_name(&text[start..end])
        {
            let value = value_at(text, value, name);
            // Keys within a value are gone with it.
            at = at.max(value.end);
            secrets.push(value);
        }
    }
}

fn is_key(char: char) -> bool {
    is_word(char) || matches!(char, '-' | '.')
}

/// Which secret a key names. Numbers of tokens are none.
fn secret_name(key: &str) -> Option<&'static str> {
    const LONGEST: usize = 64;
    let mut plain = [0; LONGEST];
    let mut length = 0;
    // Of a long key the end counts: `x.y.z.password`.
    let start = key.len().saturating_sub(LONGEST);
    for byte in key.as_bytes()[start..].iter().filter(|byte| byte.is_ascii_alphanumeric()) {
        plain[length] = byte.to_ascii_lowercase();
        length += 1;
    }
    let plain = std::str::from_utf8(&plain[..length]).ok()?;
    if plain.ends_with("tokens") || plain.ends_with("sessions") {
        return None;
    }
    let last_part = key.rsplit(['-', '_', '.']).next().unwrap_or_default();
    let is_last_part = |name: &&str| last_part.eq_ignore_ascii_case(name);
    NAMES.into_iter().find(|name| plain.contains(name)).or_else(|| LAST_PARTS.into_iter().find(is_last_part))
}

/// Where the value of the key that stands at `start..end` begins, if one follows.
fn start_of_value(text: &str, start: usize, end: usize) -> Option<usize> {
    // `"key"`, also as `\"key\"` in a text within a text.
    let key_end = end_of(text, end, |char| !matches!(char, '"' | '\'' | '\\' | '`' | ']'));
    let behind = skip_blanks(text, key_end);
    if let Some(sign) = SIGNS.iter().find(|sign| starts_with(&text[behind..], sign)) {
        return Some(skip_blanks(text, behind + sign.len()));
    }
    let is_option = text[start..].starts_with("--");
    let is_followed = behind > key_end && text[behind..].starts_with(|char| is_option || matches!(char, '\'' | '"'));
    is_followed.then_some(behind)
}

fn value_at(text: &str, start: usize, name: &str) -> Range<usize> {
    let first = text[start..].trim_start_matches('\\');
    let quote_at = text.len() - first.len();
    match first.chars().next() {
        Some(quote @ ('"' | '\'' | '`')) => {
            let inside = quote_at + 1;
            inside..end_of_quoted(text, inside, quote, &text[start..quote_at])
        }
        // A list or an object: to the end of the line rather than counting brackets that may be of the secret.
        Some('[' | '{') => start..end_of(text, start, |char| char == '\n'),
        _ if LINES.contains(&name) => start..end_of(text, start, |char| matches!(char, '\n' | '\r' | '"')),
        _ => {
            start..end_of(text, start, |char| {
                char.is_whitespace() || matches!(char, '&' | ',' | ';' | ')' | '}' | ']' | '"' | '\'')
            })
        }
    }
}

/// Where the quote that opened before `start` closes: at one with as many backslashes before it as that had. Doubled ones don't close.
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

fn starts_with(text: &str, sign: &str) -> bool {
    text.as_bytes().get(..sign.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(sign.as_bytes()))
}

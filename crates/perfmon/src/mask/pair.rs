//! Values of keys that name a secret.

use std::ops::Range;

use super::word::is_random;
use super::{end_of, is_word, skip_blanks};

/// What such a key's name contains, once `-`, `_` and `.` are left out of it.
static NAMES: [Name; 27] = [
    Name::new("password"),
    Name::new("passwd"),
    Name::new("passphrase"),
    Name::new("passcode"),
    Name::new("passkey"),
    Name::new("pwd"),
    Name::new("secret"),
    Name::new("token"),
    Name::new("apikey"),
    Name::new("authkey"),
    Name::new("accesskey"),
    Name::new("privatekey"),
    Name::new("signingkey"),
    Name::new("encryptionkey"),
    Name::new("masterkey"),
    Name::new("credential"),
    Name::new("authorization"),
    Name::new("clientassertion"),
    Name::new("samlresponse"),
    Name::new("codeverifier"),
    Name::new("cookie"),
    Name::new("session"),
    Name::new("sessid"),
    Name::new("signature"),
    Name::new("cvv"),
    Name::new("cvc"),
    Name::new("pincode"),
];
/// What its last part is: too short to be looked for within a name.
const LAST_PARTS: [&str; 13] =
    ["pass", "pw", "sig", "hmac", "jwt", "otp", "pin", "psk", "sid", "csrf", "xsrf", "creds", "bearer"];
/// Names of secrets that are those of counts too.
const COUNTS: [&str; 2] = ["tokens", "sessions"];
/// Last parts of names of secrets and of much else.
const WEAK_PARTS: [&str; 2] = ["key", "auth"];
/// Keys that open nothing.
const ORDINARY_KEYS: [&str; 9] =
    ["cache", "foreign", "partition", "primary", "public", "routing", "row", "sort", "unique"];
/// Codes that anybody may know.
const ORDINARY_CODES: [&str; 24] = [
    "area", "bar", "close", "country", "currency", "err", "error", "exit", "http", "key", "lang", "language", "locale",
    "op", "postal", "qr", "reason", "response", "result", "return", "source", "sql", "status", "zip",
];
/// Headers whose value is the rest of the line.
const LINES: [&str; 3] = ["cookie", "authorization", "passphrase"];
/// Between key and value; `%3D` and `%3A` as in a URL within a URL.
const SIGNS: [&str; 6] = ["=>", ":=", "=", ":", "%3d", "%3a"];
/// What is shorter behind a weak name is a word with a number.
const SHORTEST_KEY: usize = 16;

pub(super) fn find(text: &str, secrets: &mut Vec<Range<usize>>) {
    let mut at = 0;
    while at < text.len() {
        let start = end_of(text, at, is_key);
        let end = end_of(text, start, |char| !is_key(char));
        at = text.ceil_char_boundary(end.max(at + 1));
        // Where it is a secret's is asked last: most words have no value.
        if let Some((value, is_assigned)) = start_of_value(text, start, end)
            && let Some(kind) = kind_of(&text[start..end], is_assigned)
        {
            let value = value_at(text, value, kind);
            if kind.may_be(&text[value.clone()]) {
                // Keys within a value are gone with it.
                at = at.max(value.end);
                secrets.push(value);
            }
        }
    }
}

fn is_key(char: char) -> bool {
    is_word(char) || matches!(char, '-' | '.')
}

/// Which values of a key are secret.
#[derive(Clone, Copy, PartialEq)]
enum Secret {
    /// The rest of the line, whatever it is.
    Line,
    Any,
    /// All but a number: that is a count.
    NoNumber,
    /// What looks like a key.
    Random,
}

impl Secret {
    fn may_be(self, value: &str) -> bool {
        match self {
            Self::Line | Self::Any => true,
            Self::NoNumber => !is_number(value),
            Self::Random => is_random(value, SHORTEST_KEY),
        }
    }
}

/// What of a key's values is secret, if any; `is_assigned` says that its sign is `=`, without a blank before it.
fn kind_of(key: &str, is_assigned: bool) -> Option<Secret> {
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
    if COUNTS.iter().any(|name| plain.ends_with(name)) {
        return Some(Secret::NoNumber);
    }
    let letters = letters(plain);
    let is_within = |name: &&Name| name.letters & !letters == 0 && plain.contains(name.text);
    if let Some(name) = NAMES.iter().find(is_within) {
        return Some(if LINES.contains(&name.text) { Secret::Line } else { Secret::Any });
    }
    let (before, last) = split_last(key);
    let is_one_of = |part: &str, names: &[&str]| names.iter().any(|name| part.eq_ignore_ascii_case(name));
    if is_one_of(last, &LAST_PARTS) {
        return Some(Secret::Any);
    }
    let before = split_last(before).1;
    if is_one_of(last, &WEAK_PARTS) {
        let secret = if is_assigned { Secret::NoNumber } else { Secret::Random };
        return (!is_one_of(before, &ORDINARY_KEYS)).then_some(secret);
    }
    if is_one_of(last, &["code"]) {
        let secret = if before.is_empty() { Secret::Random } else { Secret::Any };
        return (!is_one_of(before, &ORDINARY_CODES)).then_some(secret);
    }
    None
}

/// A name, and which letters it has: what lacks one of them doesn't contain it.
struct Name {
    text: &'static str,
    letters: u32,
}

impl Name {
    const fn new(text: &'static str) -> Self {
        Self { text, letters: letters(text) }
    }
}

/// A bit for each letter that is in a text of small ones and digits.
const fn letters(text: &str) -> u32 {
    let bytes = text.as_bytes();
    let (mut letters, mut at) = (0, 0);
    while at < bytes.len() {
        if bytes[at].is_ascii_lowercase() {
            letters |= 1 << (bytes[at] - b'a');
        }
        at += 1;
    }
    letters
}

/// The last part of a name, as of `oauth_code` or `oauthCode`, and what stands before it.
fn split_last(name: &str) -> (&str, &str) {
    let bytes = name.as_bytes();
    for at in (0..bytes.len()).rev() {
        if matches!(bytes[at], b'-' | b'_' | b'.') {
            return (&name[..at], &name[at + 1..]);
        }
        if at > 0 && bytes[at].is_ascii_uppercase() && bytes[at - 1].is_ascii_lowercase() {
            return name.split_at(at);
        }
    }
    ("", name)
}

/// Whether a value is a number, also the first of a list, or stands for none or for one that is told apart, as `?` in SQL.
fn is_number(value: &str) -> bool {
    let value = value.trim_start_matches(['[', '{', '(', ' ', '"', '\'']);
    let value = value.strip_prefix("Some(").unwrap_or(value);
    let value = &value[..end_of(value, 0, |char| char.is_whitespace() || "]}),\"'".contains(char))];
    let digits = value.strip_prefix('$').unwrap_or(value);
    let is_digits =
        digits.bytes().all(|byte| byte.is_ascii_digit() || b"._,%+-".contains(&byte)) && digits.len() < SHORTEST_KEY;
    is_digits || ["?", "null", "nil", "none", "true", "false"].iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// Where the value of the key that stands at `start..end` begins, if one follows, and whether a `=` right behind the key or its being an option
/// says that it is one.
fn start_of_value(text: &str, start: usize, end: usize) -> Option<(usize, bool)> {
    // `"key"`, also as `\"key\"` in a text within a text.
    let key_end = end_of(text, end, |char| !matches!(char, '"' | '\'' | '\\' | '`' | ']'));
    let behind = skip_blanks(text, key_end);
    let may_be_sign = matches!(text.as_bytes().get(behind)?, b'=' | b':' | b'%');
    if may_be_sign && let Some(sign) = SIGNS.iter().find(|sign| starts_with(&text[behind..], sign)) {
        let is_assigned = behind == key_end && matches!(*sign, "=" | "%3d");
        return Some((skip_blanks(text, behind + sign.len()), is_assigned));
    }
    let is_option = text[start..].starts_with("--");
    let is_followed = behind > key_end && text[behind..].starts_with(|char| is_option || matches!(char, '\'' | '"'));
    is_followed.then_some((behind, is_option))
}

fn value_at(text: &str, start: usize, secret: Secret) -> Range<usize> {
    let first = text[start..].trim_start_matches('\\');
    let quote_at = text.len() - first.len();
    match first.chars().next() {
        Some(quote @ ('"' | '\'' | '`')) => {
            let inside = quote_at + 1;
            inside..end_of_quoted(text, inside, quote, &text[start..quote_at])
        }
        // A list or an object: to the end of the line rather than counting brackets that may be of the secret.
        Some('[' | '{') => start..end_of(text, start, |char| char == '\n'),
        _ if secret == Secret::Line => start..end_of(text, start, |char| matches!(char, '\n' | '\r' | '"')),
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

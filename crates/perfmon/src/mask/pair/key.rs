//! Names of keys that are those of a secret.

use super::link::Link;
use super::secret::Secret;
use crate::mask::scan::is_word;

/// Parts of the names of such keys, without `-`, `_` and `.`.
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
/// Last parts of such names: too short to be looked up within a name.
const LAST_PARTS: [&str; 13] =
    ["pass", "pw", "sig", "hmac", "jwt", "otp", "pin", "psk", "sid", "csrf", "xsrf", "creds", "bearer"];
/// Names of secrets that are those of counts too.
const COUNTS: [&str; 2] = ["tokens", "sessions"];
/// Last parts of names of secrets and of much else.
const WEAK_PARTS: [&str; 2] = ["key", "auth"];
/// Keys that open nothing.
const ORDINARY_KEYS: [&str; 9] =
    ["cache", "foreign", "partition", "primary", "public", "routing", "row", "sort", "unique"];
/// Codes that are not secret.
const ORDINARY_CODES: [&str; 24] = [
    "area", "bar", "close", "country", "currency", "err", "error", "exit", "http", "key", "lang", "language", "locale",
    "op", "postal", "qr", "reason", "response", "result", "return", "source", "sql", "status", "zip",
];
/// Headers whose value is the rest of the line.
const LINES: [&str; 3] = ["cookie", "authorization", "passphrase"];
/// The most bytes between `IDENTIFIED` and `BY`.
const LONGEST_CLAUSE: usize = 64;

/// Returns which values of the key at `start..end` are secret, if any.
pub(super) fn kind_of(text: &str, start: usize, end: usize, link: Link) -> Option<Secret> {
    let key = &text[start..end];
    const LONGEST: usize = 64;
    let mut plain = [0; LONGEST];
    let mut length = 0;
    // Of a long key the end counts: `x.y.z.password`.
    let tail = key.len().saturating_sub(LONGEST);
    for byte in key.as_bytes()[tail..].iter().filter(|byte| byte.is_ascii_alphanumeric()) {
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
        let before = if before.is_empty() { word_before(text, start) } else { before };
        let secret = if link == Link::Assigned { Secret::NoNumber } else { Secret::Random };
        return (!is_one_of(before, &ORDINARY_KEYS)).then_some(secret);
    }
    if is_one_of(last, &["code"]) {
        let secret = if before.is_empty() { Secret::Random } else { Secret::Any };
        return (!is_one_of(before, &ORDINARY_CODES)).then_some(secret);
    }
    (link == Link::Clause && is_one_of(key, &["by", "as"]) && is_identified(text, start)).then_some(Secret::Any)
}

/// The word before a blank before `at`: as `cache` of `cache key`.
fn word_before(text: &str, at: usize) -> &str {
    const LONGEST: usize = 16;
    let before = &text[text.ceil_char_boundary(at.saturating_sub(LONGEST))..at];
    before.strip_suffix(' ').map_or("", |before| &before[before.trim_end_matches(is_word).len()..])
}

/// Returns whether `IDENTIFIED`, perhaps `WITH` a method, comes before `BY`.
fn is_identified(text: &str, at: usize) -> bool {
    let before = &text[text.ceil_char_boundary(at.saturating_sub(LONGEST_CLAUSE))..at];
    before.split(|char: char| !is_word(char)).any(|word| word.eq_ignore_ascii_case("identified"))
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

/// Splits off the last part of a name, as of `oauth_code` or `oauthCode`.
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

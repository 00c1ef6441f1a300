//! Values of keys that name a secret.

use std::ops::Range;

use super::scan::{end_of, is_word, skip_blanks};
use super::word::is_random;

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
/// Names that are words too: what is said of such a thing stands behind `: ` as its value would.
const SPOKEN: [&str; 8] = ["credential", "credentials", "pass", "pin", "session", "sessions", "signature", "token"];
/// What is said of them.
const SAID: [&str; 28] = [
    "accepted",
    "active",
    "closed",
    "created",
    "denied",
    "ended",
    "error",
    "expired",
    "fail",
    "failed",
    "found",
    "invalid",
    "issued",
    "missing",
    "not",
    "ok",
    "opened",
    "refreshed",
    "refused",
    "rejected",
    "renewed",
    "required",
    "revoked",
    "skipped",
    "started",
    "stopped",
    "unknown",
    "valid",
];
/// Headers whose value is the rest of the line.
const LINES: [&str; 3] = ["cookie", "authorization", "passphrase"];
/// Between key and value; `%3D` and `%3A` as in a URL within a URL.
const SIGNS: [&str; 6] = ["=>", ":=", "=", ":", "%3d", "%3a"];
/// What is shorter behind a weak name is a word with a number.
const SHORTEST_KEY: usize = 16;
/// Within so many bytes before `BY` a user is `IDENTIFIED`.
const LONGEST_CLAUSE: usize = 64;
/// What may stand before the quote of a text in SQL and in programs: `E'…'`.
const KINDS_OF_TEXT: &[u8] = b"bBeEnNrRuUxX";

pub(super) fn find(text: &str, secrets: &mut Vec<Range<usize>>) {
    let mut at = 0;
    let mut lines = Ends::default();
    while at < text.len() {
        let start = end_of(text, at, is_key);
        let end = end_of(text, start, |char| !is_key(char));
        at = text.ceil_char_boundary(end.max(at + 1));
        let Some((start_of_value, link)) = start_of_value(text, start, end) else { continue };
        // Whether it is a secret's is asked last: most words have no value.
        let Some(kind) = kind_of(text, start, end, link) else { continue };
        let value = value_at(text, start_of_value, (kind, escape_of_quote(&text[..start])), link, &mut lines);
        let is_quoted = value.start > start_of_value;
        let is_in_dollars = is_quoted && text[..value.start].ends_with('$');
        if (is_in_dollars || kind.may_be(&text[value.clone()]))
            && (is_quoted || !is_told(text, &text[start..end], &value, link))
        {
            // Keys within a value are gone with it.
            at = at.max(value.end);
            secrets.push(value);
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

/// What of the values of the key at `start..end` is secret, if any.
fn kind_of(text: &str, start: usize, end: usize, link: Link) -> Option<Secret> {
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

/// Whether what stands before `BY` is the `IDENTIFIED`, perhaps `WITH` a method, of a user.
fn is_identified(text: &str, at: usize) -> bool {
    let before = &text[text.ceil_char_boundary(at.saturating_sub(LONGEST_CLAUSE))..at];
    before.split(|char: char| !is_word(char)).any(|word| word.eq_ignore_ascii_case("identified"))
}

/// Whether a value that no quote holds stands for one, or is rather said of what the key names.
fn is_told(text: &str, key: &str, place: &Range<usize>, link: Link) -> bool {
    let value = &text[place.clone()];
    if link == Link::Said {
        let said = value.trim_end_matches(['.', '!']);
        let is_one_of = |part: &str, names: &[&str]| names.iter().any(|name| part.eq_ignore_ascii_case(name));
        // What databases say of a statement, behind a word of it.
        if (said == "syntax" && text[place.end..].starts_with(" error"))
            || (is_one_of(key, &SPOKEN) && is_one_of(said, &SAID))
        {
            return true;
        }
    }
    is_placeholder(value)
}

/// `?`, `$1`, also with a type behind it.
fn is_placeholder(value: &str) -> bool {
    let value = value.split_once("::").map_or(value, |(value, _)| value);
    let is_numbered = |digits: &str| digits.len() <= 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
    value.strip_prefix('?').is_some_and(is_numbered)
        || value.strip_prefix('$').is_some_and(|digits| !digits.is_empty() && is_numbered(digits))
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

/// What stands between a key and its value.
#[derive(Clone, Copy, PartialEq)]
enum Link {
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

/// Where the value of the key that stands at `start..end` begins, if one follows.
fn start_of_value(text: &str, start: usize, end: usize) -> Option<(usize, Link)> {
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

/// Behind what closes a key, `"key"`, also as `\"key\"` in a text within a text, and behind its places: `key[]`, `key[0]`.
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

/// The quote that opens a text at `start`, and where it stands: behind backslashes, or behind the kind of the text.
fn opening(text: &str, start: usize) -> Option<(usize, char)> {
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
fn end_of_dollars(text: &str, start: usize) -> Option<usize> {
    const LONGEST: usize = 63;
    let tag = text[start..].strip_prefix('$')?;
    let length = tag.bytes().take(LONGEST + 1).position(|byte| !byte.is_ascii_alphanumeric() && byte != b'_')?;
    let is_tag = tag[length..].starts_with('$') && !tag.starts_with(|char: char| char.is_ascii_digit());
    is_tag.then_some(start + length + 2)
}

/// Where what several values may share ends: looked for once.
#[derive(Default)]
struct Ends {
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

    /// Of what tags hold as it is, with its own end.
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
fn escape_of_quote(before: &str) -> Option<&str> {
    let before = before.strip_suffix('"')?;
    Some(&before[before.trim_end_matches('\\').len()..])
}

/// The kind of secret comes with the backslashes of the quote that opened right before its key, if one did.
fn value_at(
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
        // A list or an object: to the end of the line rather than counting brackets that may be of the secret.
        Some('[' | '{') => start..ends.of_line(text, start),
        // A quote may be of the secret (`Cookie: a="b"; c=d`), and closes only what one before the key has opened.
        _ if secret == Secret::Line => match quote {
            Some(escape) => start..end_of_quoted(&text[..ends.of_line(text, start)], start, '"', escape),
            None => start..end_of(text, start, |char| matches!(char, '\n' | '\r')),
        },
        _ => start..ends.of_word(text, start),
    }
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

/// What a tag holds. Where no other closes it, that may be a sentence as well: `login <user> <password>, then`.
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

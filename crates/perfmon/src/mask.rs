//! Text that may hold secrets, without them.

mod address;
mod card;
mod pair;
mod scheme;
mod token;
mod url;

use std::borrow::Cow;
use std::ops::Range;

/// What stands in a secret's place.
const MASK: &str = "****";

/// Takes out of a text what looks like a secret, and puts `****` in its place:
///
/// - what follows `Bearer`, `Basic` and the like;
/// - the value of a key that names a secret (`password`, `token`, `secret`, `api_key`, `cookie`, `session` and so on), as `key=value`, `key: value`,
///   `"key":"value"`, `--key value` or `KEY 'value'`; of the headers `Cookie`, `Set-Cookie` and `Authorization` the whole line;
/// - keys and tokens that are known by their beginning, such as `tk_…`, and those of JSON (`eyJ…`);
/// - user and password of a URL;
/// - e-mail addresses;
/// - numbers of cards: 13 to 19 digits, also in groups, whose check digit is right;
/// - private keys in PEM.
///
/// It fails closed: what doesn't end (a quote, a key block) is taken out to the text's end. It takes too much rather than too little, but it
/// can't know a secret that looks like any word: what is not to be shown at all should not be given to it.
///
/// Nothing is allocated where there is nothing to take out. Costs a few passes, about 10 ns a byte.
///
/// ```
/// assert_eq!(tidegate_perfmon::mask("login of ada@example.org, token=abc123 failed"), "login of ****, token=**** failed");
/// ```
pub fn mask(text: &str) -> Cow<'_, str> {
    let mut secrets = Vec::new();
    // The URLs first: what stands before the `@` of one is no address.
    for find in [url::find, address::find, card::find, pair::find, scheme::find, token::find] {
        find(text, &mut secrets);
    }
    secrets.retain(|secret: &Range<usize>| !secret.is_empty() && &text[secret.clone()] != MASK);
    if secrets.is_empty() {
        return Cow::Borrowed(text);
    }
    secrets.sort_unstable_by_key(|secret| (secret.start, secret.end));
    let mut masked = String::with_capacity(text.len());
    let mut shown = 0;
    for secret in secrets {
        if secret.start >= shown {
            masked.push_str(&text[shown..secret.start]);
            masked.push_str(MASK);
        }
        shown = shown.max(secret.end);
    }
    masked.push_str(&text[shown..]);
    Cow::Owned(masked)
}

/// The words that begin with one of `needles`, in small ASCII letters, in whatever case: where, and with which.
fn beginnings<'a>(text: &'a str, needles: &'static [&'static str]) -> impl Iterator<Item = (usize, &'static str)> + 'a {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().filter_map(move |(at, byte)| {
        let is_start = byte.is_ascii_alphabetic() && (at == 0 || !bytes[at - 1].is_ascii_alphanumeric());
        let begins = |needle: &&&str| {
            bytes.get(at..at + needle.len()).is_some_and(|here| here.eq_ignore_ascii_case(needle.as_bytes()))
        };
        let needle = if is_start { needles.iter().find(begins) } else { None };
        needle.filter(|_| begins_a_word(text, at)).map(|needle| (at, *needle))
    })
}

/// Where what begins at `start` ends: at the first character that `ends` it, or with the text.
fn end_of(text: &str, start: usize, ends: impl Fn(char) -> bool) -> usize {
    text[start..].find(ends).map_or(text.len(), |length| start + length)
}

/// Behind the blanks at `start`.
fn skip_blanks(text: &str, start: usize) -> usize {
    end_of(text, start, |char| !matches!(char, ' ' | '\t'))
}

/// Whether a character may be part of a word, of whatever language.
fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

/// Whether no word goes on before `at`.
fn begins_a_word(text: &str, at: usize) -> bool {
    !text[..at].chars().next_back().is_some_and(is_word)
}

//! Credentials behind the name of their scheme.

use std::ops::Range;

use super::scan::end_of;
use super::word::{Needle, Needles, is_prose, is_random};

/// How surely a name is that of a scheme.
#[derive(Clone, Copy, PartialEq)]
enum Name {
    /// Nothing but what is said of the scheme itself is no credential behind it.
    Sure,
    /// It is also a word, behind which other words stand: a plan is basic.
    Likely,
    /// It is a word for the most part, behind which only what looks like a key is taken for one.
    Word,
}

const fn of(text: &'static str, means: Name) -> Needle<Name> {
    Needle { text, means }
}

static SCHEMES: Needles<Name> = Needles::new(&[
    of("apikey", Name::Sure),
    of("basic", Name::Likely),
    of("bearer", Name::Sure),
    of("digest", Name::Likely),
    of("dpop", Name::Sure),
    of("negotiate", Name::Likely),
    of("ntlm", Name::Sure),
    of("oauth", Name::Word),
    of("token", Name::Word),
]);
/// A key is longer than most words, and than a word with a number.
const SHORTEST_KEY: usize = 12;
/// As long as that is no word, whatever is in it.
const LONG: usize = 24;
/// Base64 of less is hardly a name and a password.
const SHORTEST_PAIR: usize = 8;
/// Words that follow a scheme and are not credentials.
const SAID: [&str; 32] = [
    "and",
    "auth",
    "authentication",
    "authorization",
    "credential",
    "credentials",
    "expired",
    "failed",
    "for",
    "from",
    "has",
    "header",
    "headers",
    "in",
    "invalid",
    "is",
    "missing",
    "must",
    "not",
    "of",
    "or",
    "realm",
    "refused",
    "rejected",
    "required",
    "scheme",
    "schemes",
    "token",
    "tokens",
    "was",
    "with",
    "without",
];

pub(super) fn find(text: &str, secrets: &mut Vec<Range<usize>>) {
    let mut end = 0;
    for (at, scheme) in SCHEMES.find_in(text) {
        if at < end {
            continue; // gone with the one before
        }
        let behind = at + scheme.text.len();
        // Also the forms of a blank in a URL.
        let start = end_of(text, behind, |char| !char.is_whitespace() && char != '+');
        if start == behind {
            continue;
        }
        let credentials = start..end_of(text, start, |char| {
            char.is_whitespace() || matches!(char, '"' | '\'' | ',' | ';' | '&' | '<' | '>' | ')' | '}' | ']')
        });
        if scheme.means.may_precede(&text[credentials.clone()]) {
            end = credentials.end;
            secrets.push(credentials);
        }
    }
}

impl Name {
    fn may_precede(self, text: &str) -> bool {
        match self {
            Self::Sure => {
                let said = text.trim_end_matches(['.', ':', '!', '?']);
                !SAID.iter().any(|word| said.eq_ignore_ascii_case(word)) && !is_header(text)
            }
            Self::Likely => {
                let is_little = text.len() < SHORTEST_PAIR && !text.bytes().any(|byte| byte.is_ascii_uppercase());
                !is_little && !is_prose(text)
            }
            Self::Word => text.len() >= LONG || is_random(text, SHORTEST_KEY),
        }
    }
}

/// Whether a header begins: on the next line, that is.
fn is_header(text: &str) -> bool {
    text.strip_suffix(':').is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-'))
}

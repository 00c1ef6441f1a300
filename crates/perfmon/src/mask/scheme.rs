//! Credentials behind the name of their scheme.

use std::ops::Range;

use super::end_of;
use super::word::{Needle, Needles, is_random};

/// How far the name of a scheme tells one.
#[derive(Clone, Copy, PartialEq)]
enum Name {
    Sure,
    /// It is also a word, behind which only what looks like a key is taken for one.
    Word,
}

const fn of(text: &'static str, means: Name) -> Needle<Name> {
    Needle { text, means }
}

static SCHEMES: Needles<Name> = Needles::new(&[
    of("apikey", Name::Sure),
    of("basic", Name::Sure),
    of("bearer", Name::Sure),
    of("digest", Name::Sure),
    of("dpop", Name::Sure),
    of("negotiate", Name::Sure),
    of("ntlm", Name::Sure),
    of("oauth", Name::Word),
    of("token", Name::Word),
]);
/// A key is longer than most words, and than a word with a number.
const SHORTEST_KEY: usize = 12;
/// As long as that is no word, whatever is in it.
const LONG: usize = 24;
/// Between scheme and credentials, also as it stands in a URL.
const BLANKS: [&str; 3] = [" ", "\t", "+"];

pub(super) fn find(text: &str, secrets: &mut Vec<Range<usize>>) {
    let mut end = 0;
    for (at, scheme) in SCHEMES.find_in(text) {
        if at < end {
            continue; // gone with the one before
        }
        let behind = at + scheme.text.len();
        let mut start = behind;
        while let Some(blank) = BLANKS.iter().find(|blank| text[start..].starts_with(**blank)) {
            start += blank.len();
        }
        if start == behind {
            continue;
        }
        let credentials = start..end_of(text, start, |char| {
            char.is_whitespace() || matches!(char, '"' | '\'' | ',' | ';' | '&' | '<' | '>' | ')' | '}' | ']')
        });
        let is_key = |text: &str| text.len() >= LONG || is_random(text, SHORTEST_KEY);
        if scheme.means == Name::Sure || is_key(&text[credentials.clone()]) {
            end = credentials.end;
            secrets.push(credentials);
        }
    }
}

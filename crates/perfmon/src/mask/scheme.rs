//! Credentials behind the name of their scheme.

use std::ops::Range;

use super::{begins_a_word, end_of, places};

const SCHEMES: [&str; 4] = ["bearer", "basic", "digest", "negotiate"];
/// Between scheme and credentials, also as it stands in a URL.
const BLANKS: [&str; 4] = [" ", "\t", "%20", "+"];

pub(super) fn find(text: &str, secrets: &mut Vec<Range<usize>>) {
    for scheme in SCHEMES {
        let mut end = 0;
        for at in places(text, scheme).filter(|&at| begins_a_word(text, at)) {
            if at < end {
                continue; // gone with the one before
            }
            let behind = at + scheme.len();
            let mut start = behind;
            while let Some(blank) = BLANKS.iter().find(|blank| text[start..].starts_with(**blank)) {
                start += blank.len();
            }
            if start > behind {
                secrets.push(
                    start..end_of(text, start, |char| {
                        char.is_whitespace()
                            || matches!(char, '"' | '\'' | ',' | ';' | '&' | '<' | '>' | ')' | '}' | ']')
                    }),
                );
            }
        }
    }
}

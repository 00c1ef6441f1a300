//! Credentials behind the name of their scheme.

use std::ops::Range;

use super::{beginnings, end_of};

const SCHEMES: [&str; 5] = ["bearer", "basic", "digest", "negotiate", "apikey"];
/// Between scheme and credentials, also as it stands in a URL.
const BLANKS: [&str; 4] = [" ", "\t", "%20", "+"];

pub(super) fn find(text: &str, secrets: &mut Vec<Range<usize>>) {
    let mut end = 0;
    for (at, scheme) in beginnings(text, &SCHEMES) {
        if at < end {
            continue; // gone with the one before
        }
        let behind = at + scheme.len();
        let mut start = behind;
        while let Some(blank) = BLANKS.iter().find(|blank| text[start..].starts_with(**blank)) {
            start += blank.len();
        }
        if start > behind {
            end = end_of(text, start, |char| {
                char.is_whitespace() || matches!(char, '"' | '\'' | ',' | ';' | '&' | '<' | '>' | ')' | '}' | ']')
            });
            secrets.push(start..end);
        }
    }
}

//! Users and passwords of URLs.

use std::ops::Range;

use super::end_of;

/// What is longer, from `://` on, is cut there.
const LONGEST: usize = 2_048;

pub(super) fn find(text: &str, secrets: &mut Vec<Range<usize>>) {
    for (at, _) in text.match_indices("://") {
        let start = at + "://".len();
        let text = &text[..text.floor_char_boundary(start + LONGEST)];
        let end = end_of(text, start, |char| char.is_whitespace() || matches!(char, '"' | '<' | '>'));
        let authority = end_of(&text[..end], start, |char| matches!(char, '/' | '?' | '#'));
        let has_port = text[start..authority]
            .rsplit_once(':')
            .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
        let is_bracketed = text[start..authority].ends_with(']');
        // A password may hold what ends an authority, if whoever wrote it was careless.
        let looks_cut = text[start..authority].contains(':') && !has_port && !is_bracketed;
        let within = if text[start..authority].contains('@') || looks_cut { end } else { authority };
        if let Some(sign) = text[start..within].rfind('@') {
            secrets.push(start..start + sign);
        } else if looks_cut && within == text.len() {
            // `://user:pass`, where the text was cut.
            secrets.push(start..within);
        }
    }
}

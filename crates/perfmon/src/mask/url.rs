//! Users and passwords of URLs.

use std::ops::Range;

use super::scan::end_of;

pub(super) fn find(text: &str, secrets: &mut Vec<Range<usize>>) {
    // The end of the URL's characters, which nested URLs share, and their last `@`: looked up once.
    let (mut end, mut last_sign) = (0, None);
    let mut shown = 0;
    for (at, _) in text.match_indices("://") {
        if at < shown {
            continue; // gone with the one before
        }
        let start = at + "://".len();
        if start > end || end == 0 {
            end = end_of(text, start, |char| char.is_whitespace() || matches!(char, '"' | '<' | '>'));
            last_sign = text[start..end].rfind('@').map(|sign| start + sign);
        }
        let authority = end_of(&text[..end], start, |char| matches!(char, '/' | '?' | '#'));
        let has_port = text[start..authority]
            .rsplit_once(':')
            .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
        let is_bracketed = text[start..authority].ends_with(']');
        // A carelessly written password may contain a character that ends an authority.
        let looks_cut = text[start..authority].contains(':') && !has_port && !is_bracketed;
        let has_user = looks_cut || text[start..authority].contains('@');
        if let Some(sign) = last_sign.filter(|&sign| has_user && sign >= start) {
            secrets.push(start..sign);
            shown = sign;
        } else if looks_cut && end == text.len() {
            // `://user:pass`, where the text was cut.
            secrets.push(start..end);
            shown = end;
        }
    }
}

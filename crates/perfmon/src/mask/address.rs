//! E-mail addresses.

use std::ops::Range;

use super::scan::end_of;

const SIGN: &str = "@";

/// A longer text before the sign is not an address; its end is masked all the same.
const LONGEST_LOCAL: usize = 256;

/// `secrets` are those of URLs: what ends right before a sign there is no address.
pub(super) fn find(text: &str, secrets: &mut Vec<Range<usize>>) {
    let mut users: Vec<usize> = secrets.iter().map(|secret| secret.end).collect();
    users.sort_unstable();
    for (at, _) in text.match_indices(SIGN).filter(|(at, _)| users.binary_search(at).is_err()) {
        let from = text.ceil_char_boundary(at.saturating_sub(LONGEST_LOCAL));
        let local = text[from..at].trim_end_matches(is_local);
        let start = from + local.len();
        let domain = at + SIGN.len();
        let end = end_of(text, domain, |char| !is_domain(char));
        // A sentence's end is not the domain's.
        let end = text[..end].trim_end_matches(['.', '-']).len();
        if start < at && end > domain {
            secrets.push(start..end);
        }
    }
}

fn is_local(char: char) -> bool {
    char.is_alphanumeric()
        || matches!(char, '.' | '_' | '%' | '+' | '-' | '!' | '#' | '$' | '~' | '^' | '|' | '{' | '}')
}

fn is_domain(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '.' | '-')
}

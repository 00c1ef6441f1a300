//! Keys and tokens that are known by how they begin.

use std::ops::Range;

use super::{begins_a_word, end_of, places};

/// Ours first, then those of services whose keys end up in logs.
const BEGINNINGS: [&str; 13] =
    ["tk_", "sk_", "sk-", "pk_", "rk_", "ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "akia"];
/// Behind its beginning a key is longer than that.
const SHORTEST: usize = 6;
/// How the head of a JSON Web Token begins: `{"` in base64.
const JSON_WEB_TOKEN: &str = "eyj";
const PEM: &str = "-----begin ";
/// Within so many bytes a block says what it is.
const LONGEST_LABEL: usize = 64;
const PEM_END: &str = "-----end ";

pub(super) fn find(text: &str, secrets: &mut Vec<Range<usize>>) {
    let is_part = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-');
    for beginning in BEGINNINGS {
        let mut end = 0;
        for at in places(text, beginning).filter(|&at| begins_a_word(text, at)) {
            if at < end {
                continue; // looked at with the one before
            }
            end = end_of(text, at, |char| !is_part(char));
            if end - at >= beginning.len() + SHORTEST {
                secrets.push(at..end);
            }
        }
    }
    let mut end = 0;
    for at in places(text, JSON_WEB_TOKEN).filter(|&at| begins_a_word(text, at) && text[at..].starts_with("eyJ")) {
        if at >= end {
            end = end_of(text, at, |char| !is_part(char) && !matches!(char, '.' | '=' | '+' | '/'));
            secrets.push(at..end);
        }
    }
    let mut end = 0;
    for at in places(text, PEM) {
        if at < end {
            continue;
        }
        let head = text.floor_char_boundary(at + LONGEST_LABEL);
        let is_private = text[at..head].to_ascii_lowercase().contains("private");
        if is_private {
            // Without an end it goes to the text's.
            end = places(&text[at..], PEM_END).next().map_or(text.len(), |end| {
                let end = at + end;
                let label = end + PEM_END.len();
                text[label..].find("-----").map_or(text.len(), |length| label + length + "-----".len())
            });
            secrets.push(at..end);
        }
    }
}

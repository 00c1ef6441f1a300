//! Keys and tokens that are known by how they begin.

use std::ops::Range;

use super::{beginnings, end_of};

/// Those of all, ours, then those of services whose keys end up in logs.
const BEGINNINGS: [&str; 21] = [
    JSON_WEB_TOKEN,
    "tk_",
    "sk_",
    "sk-",
    "pk_",
    "rk_",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "xapp-",
    "ghu_",
    "ghr_",
    "hf_",
    "whsec_",
    "aiza",
    "akia",
];
/// Behind its beginning a key is longer than that.
const SHORTEST: usize = 6;
/// How the head of a JSON Web Token begins: `{"` in base64.
const JSON_WEB_TOKEN: &str = "eyj";
const PEM: &str = "-----BEGIN ";
/// Within so many bytes a block says what it is.
const LONGEST_LABEL: usize = 64;
const PEM_END: &str = "-----END ";
const DASHES: &str = "-----";

pub(super) fn find(text: &str, secrets: &mut Vec<Range<usize>>) {
    find_keys(text, secrets);
    find_blocks(text, secrets);
}

fn find_keys(text: &str, secrets: &mut Vec<Range<usize>>) {
    let is_part = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-');
    let mut end = 0;
    for (at, beginning) in beginnings(text, &BEGINNINGS) {
        if at < end {
            continue; // looked at with the one before
        }
        if beginning == JSON_WEB_TOKEN {
            end = end_of(text, at, |char| !is_part(char) && !matches!(char, '.' | '=' | '+' | '/'));
        } else {
            end = end_of(text, at, |char| !is_part(char));
        }
        if end - at >= beginning.len() + SHORTEST {
            secrets.push(at..end);
        }
    }
}

fn find_blocks(text: &str, secrets: &mut Vec<Range<usize>>) {
    let mut end = 0;
    for (at, _) in text.match_indices(PEM) {
        let label = &text[at..text.floor_char_boundary(at + LONGEST_LABEL)];
        if at < end || !label.contains("PRIVATE") {
            continue;
        }
        // Without an end it goes to the text's.
        end = text[at..].find(PEM_END).map_or(text.len(), |length| {
            let label = at + length + PEM_END.len();
            text[label..].find(DASHES).map_or(text.len(), |length| label + length + DASHES.len())
        });
        secrets.push(at..end);
    }
}

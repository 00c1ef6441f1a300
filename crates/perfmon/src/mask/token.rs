//! Keys and tokens that are known by how they begin.

use std::ops::Range;

use super::scan::end_of;
use super::word::{Needle, Needles, is_prose};

/// The characters after a prefix.
#[derive(Clone, Copy)]
enum Rest {
    /// Letters, digits, `_` and `-`: no word begins like that.
    Any,
    /// The same, but words: names begin like that.
    NoWords,
    /// Letters, digits, `_` and `-`, with `.`, `=`, `+` and `/`: parts of base64.
    Parts,
    /// Letters and digits, with a digit among them or of some length: words do begin like that.
    Random,
    /// As `Random`, all in capitals: it is a word else.
    Capitals,
    /// As `Parts`, of some length, behind capitals.
    Long,
}

const fn of(text: &'static str, means: Rest) -> Needle<Rest> {
    Needle { text, means }
}

/// Ours, that of JSON Web Tokens (`{"` in base64), and those of services whose keys end up in logs.
static BEGINNINGS: Needles<Rest> = Needles::new(&[
    of("age-secret-key-", Rest::Any),
    of("aiza", Rest::Any),
    of("akia", Rest::Any),
    of("asia", Rest::Capitals),
    of("dckr_pat_", Rest::Any),
    of("dop_v1_", Rest::Any),
    of("eyj", Rest::Parts),
    of("gho_", Rest::Any),
    of("ghp_", Rest::Any),
    of("ghr_", Rest::Any),
    of("ghs_", Rest::Any),
    of("ghu_", Rest::Any),
    of("github_pat_", Rest::Any),
    of("glcbt-", Rest::Any),
    of("gldt-", Rest::Any),
    of("gloas-", Rest::Any),
    of("glpat-", Rest::Parts),
    of("glptt-", Rest::Any),
    of("glrt-", Rest::Any),
    of("glsa_", Rest::Any),
    of("gocspx-", Rest::Any),
    of("gsk_", Rest::Random),
    of("hf_", Rest::NoWords),
    of("hvs.", Rest::Any),
    of("lin_api_", Rest::Any),
    of("npm_", Rest::Random),
    of("nvapi-", Rest::Any),
    of("pk_", Rest::NoWords),
    of("pypi-ag", Rest::Any),
    of("rk_", Rest::NoWords),
    of("rubygems_", Rest::Random),
    of("sg.", Rest::Long),
    of("shpat_", Rest::Any),
    of("sk-", Rest::NoWords),
    of("sk_", Rest::NoWords),
    of("sntrys_", Rest::Parts),
    of("tk_", Rest::Any),
    of("whsec_", Rest::Any),
    of("xapp-", Rest::Any),
    of("xoxa-", Rest::Any),
    of("xoxb-", Rest::Any),
    of("xoxc-", Rest::Any),
    of("xoxd-", Rest::Parts),
    of("xoxe-", Rest::Any),
    of("xoxe.", Rest::Parts),
    of("xoxo-", Rest::Any),
    of("xoxp-", Rest::Any),
    of("xoxr-", Rest::Any),
    of("xoxs-", Rest::Any),
    of("ya29.", Rest::Parts),
]);
/// Behind its beginning a key is longer than that.
const SHORTEST: usize = 6;
/// As long as that a word hardly is, nor a name of one part.
const LONG: usize = 16;
const PEM: &str = "-----BEGIN ";
/// The most bytes in which a block names its kind.
const LONGEST_LABEL: usize = 64;
const PEM_END: &str = "-----END ";
const DASHES: &str = "-----";

pub(super) fn find_keys(text: &str, secrets: &mut Vec<Range<usize>>) {
    let mut end = 0;
    for (at, beginning) in BEGINNINGS.find_in(text) {
        if at < end {
            continue; // looked at with the one before
        }
        let start = at + beginning.text.len();
        end = end_of(text, start, |char| !beginning.means.may_have(char));
        if beginning.means.is_key(&text[at..start], &text[start..end]) {
            secrets.push(at..end);
        }
    }
}

impl Rest {
    fn may_have(self, char: char) -> bool {
        char.is_ascii_alphanumeric()
            || match self {
                Self::Any | Self::NoWords => matches!(char, '_' | '-'),
                Self::Parts | Self::Long => matches!(char, '_' | '-' | '.' | '=' | '+' | '/'),
                Self::Random | Self::Capitals => false,
            }
    }

    fn is_key(self, beginning: &str, rest: &str) -> bool {
        let is_small = |byte: u8| byte.is_ascii_lowercase();
        let is_random = || rest.len() >= LONG || rest.bytes().any(|byte| byte.is_ascii_digit());
        let is_key = match self {
            Self::Any | Self::Parts => true,
            Self::NoWords => !is_prose(rest),
            Self::Random => is_random(),
            Self::Capitals => !beginning.bytes().chain(rest.bytes()).any(is_small) && is_random(),
            // A name of a host has a point sooner.
            Self::Long => !beginning.bytes().any(is_small) && rest.find('.').unwrap_or(rest.len()) >= LONG,
        };
        is_key && rest.len() >= SHORTEST
    }
}

/// Private keys in PEM.
pub(super) fn find_blocks(text: &str, secrets: &mut Vec<Range<usize>>) {
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

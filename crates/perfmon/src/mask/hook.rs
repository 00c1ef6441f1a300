//! Addresses that are secrets themselves: a client that knows one may call it.

use std::ops::Range;

use super::scan::end_of;
use super::word::{Needle, Needles};

/// The text before the secret part, and whether the following text is a secret: after some of
/// these, ordinary words may follow.
static PLACES: Needles<fn(&str) -> bool> = Needles::new(&[
    Needle { text: "api/webhooks/", means: |path| is_number_and_key(path, '/') },
    // `bot123456:ABC…/sendMessage`
    Needle { text: "bot", means: |path| is_number_and_key(path, ':') },
    Needle { text: "hooks.slack.com/", means: |path| path.len() >= SHORTEST },
    Needle { text: "hooks.zapier.com/hooks/", means: |path| path.len() >= SHORTEST },
    Needle { text: "outlook.office.com/webhook/", means: |path| path.len() >= SHORTEST },
    Needle { text: "outlook.office365.com/webhook/", means: |path| path.len() >= SHORTEST },
    Needle { text: "services/t", means: is_workspace },
    Needle { text: "webhook.office.com/", means: |path| path.len() >= SHORTEST },
]);
/// The shortest part of a webhook's secret.
const SHORTEST: usize = 6;
/// As long as that a word hardly is.
const LONG: usize = 20;

pub(super) fn find(text: &str, secrets: &mut Vec<Range<usize>>) {
    let mut end = 0;
    for (at, place) in PLACES.find_in(text) {
        if at < end {
            continue; // looked at with the one before
        }
        let start = at + place.text.len();
        end = end_of(text, start, |char| char.is_whitespace() || "\"'`<>&,;?)]}".contains(char));
        if (place.means)(&text[start..end]) {
            secrets.push(start..end);
        }
    }
}

/// `T…/B…/…`, behind the `T`: a workspace, a hook and its key. Names in capitals have no digits.
fn is_workspace(path: &str) -> bool {
    let is_id =
        |id: &str| id.len() >= SHORTEST && id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    let mut parts = path.splitn(3, '/');
    let (Some(workspace), Some(hook), Some(key)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let has_digit = |part: &str| part.bytes().any(|byte| byte.is_ascii_digit());
    let is_key = key.len() >= LONG && key.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_id(workspace) && is_id(hook) && key.len() >= SHORTEST && (has_digit(workspace) || has_digit(hook) || is_key)
}

fn is_number_and_key(path: &str, sign: char) -> bool {
    path.split_once(sign).is_some_and(|(number, key)| {
        number.len() >= SHORTEST && number.bytes().all(|byte| byte.is_ascii_digit()) && key.len() >= SHORTEST
    })
}

//! Addresses that are a secret by themselves: whoever knows them may call.

use std::ops::Range;

use super::end_of;
use super::word::{Needle, Needles};

/// What stands before the secret part, and whether what follows is one: words of some are anybody's.
static PLACES: Needles<fn(&str) -> bool> = Needles::new(&[
    Needle { text: "api/webhooks/", means: |path| is_number_and_key(path, '/') },
    // `bot123456:ABC…/sendMessage`
    Needle { text: "bot", means: |path| is_number_and_key(path, ':') },
    Needle { text: "hooks.slack.com/", means: |path| path.len() >= SHORTEST },
    Needle { text: "services/t", means: is_workspace },
    Needle { text: "webhook.office.com/", means: |path| path.len() >= SHORTEST },
]);
/// Of a secret of a hook no part is shorter.
const SHORTEST: usize = 6;

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

/// `T…/B…/…`, behind the `T`: a workspace, a hook and its key.
fn is_workspace(path: &str) -> bool {
    let is_id =
        |id: &str| id.len() >= SHORTEST && id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    let mut parts = path.splitn(3, '/');
    parts.next().is_some_and(is_id)
        && parts.next().is_some_and(is_id)
        && parts.next().is_some_and(|key| key.len() >= SHORTEST)
}

fn is_number_and_key(path: &str, sign: char) -> bool {
    path.split_once(sign).is_some_and(|(number, key)| {
        number.len() >= SHORTEST && number.bytes().all(|byte| byte.is_ascii_digit()) && key.len() >= SHORTEST
    })
}

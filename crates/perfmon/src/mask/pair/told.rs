//! What is said of a secret rather than being one.

use std::ops::Range;

use super::link::Link;

/// Names that are also ordinary words: their status may follow `: ` like a value.
const SPOKEN: [&str; 8] = ["credential", "credentials", "pass", "pin", "session", "sessions", "signature", "token"];
/// Words for their status.
const SAID: [&str; 28] = [
    "accepted",
    "active",
    "closed",
    "created",
    "denied",
    "ended",
    "error",
    "expired",
    "fail",
    "failed",
    "found",
    "invalid",
    "issued",
    "missing",
    "not",
    "ok",
    "opened",
    "refreshed",
    "refused",
    "rejected",
    "renewed",
    "required",
    "revoked",
    "skipped",
    "started",
    "stopped",
    "unknown",
    "valid",
];

/// Whether a value that no quote holds stands for one, or is rather said of what the key names.
pub(super) fn is_told(text: &str, key: &str, place: &Range<usize>, link: Link) -> bool {
    let value = &text[place.clone()];
    if link == Link::Said {
        let said = value.trim_end_matches(['.', '!']);
        let is_one_of = |part: &str, names: &[&str]| names.iter().any(|name| part.eq_ignore_ascii_case(name));
        // What databases say of a statement, behind a word of it.
        if (said == "syntax" && text[place.end..].starts_with(" error"))
            || (is_one_of(key, &SPOKEN) && is_one_of(said, &SAID))
        {
            return true;
        }
    }
    is_placeholder(value)
}

/// `?`, `$1`, also with a type behind it.
fn is_placeholder(value: &str) -> bool {
    let value = value.split_once("::").map_or(value, |(value, _)| value);
    let is_numbered = |digits: &str| digits.len() <= 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
    value.strip_prefix('?').is_some_and(is_numbered)
        || value.strip_prefix('$').is_some_and(|digits| !digits.is_empty() && is_numbered(digits))
}

//! One value of an answer, as text on a terminal.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use bytesize::ByteSize;
use serde_json::Value;

/// Text in place of a value that is missing.
const NOTHING: &str = "-";
/// Times that are shown: up to the year 9999.
const LAST_UNIX_MS: u64 = 253_402_300_799_999;
/// Maximum number of characters of a cell. `--json` has all of them.
const LONGEST: usize = 2_000;

/// The meaning of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A text, or whatever else as JSON.
    Text,
    /// A count or another number.
    Number,
    Bytes,
    Millis,
    Seconds,
    /// A share from 0 to 1.
    Share,
    /// Milliseconds since 1970.
    UnixMillis,
    /// Texts with commas between.
    List,
    /// The number of items of a list.
    Length,
}

impl Kind {
    /// Whether it is aligned to the right.
    pub(super) const fn is_number(self) -> bool {
        !matches!(self, Self::Text | Self::UnixMillis | Self::List)
    }
}

/// A value as text.
pub(crate) fn cell(value: &Value, kind: Kind) -> String {
    let shown = match kind {
        Kind::Text => None,
        Kind::Number => value.as_f64().filter(|_| value.is_f64()).map(rounded),
        Kind::Bytes => value.as_u64().map(|bytes| ByteSize(bytes).to_string()),
        Kind::Millis => value.as_f64().map(|millis| format!("{} ms", rounded(millis))),
        Kind::Seconds => value.as_f64().map(|seconds| format!("{} s", rounded(seconds))),
        Kind::Share => value.as_f64().map(|share| format!("{:.1} %", share * 100.0)),
        Kind::UnixMillis => value.as_u64().filter(|millis| *millis <= LAST_UNIX_MS).map(time),
        Kind::List => value.as_array().map(|items| list(items)),
        Kind::Length => value.as_array().map(|items| items.len().to_string()),
    };
    shown.unwrap_or_else(|| match value {
        Value::Null => NOTHING.to_owned(),
        Value::String(text) if text.is_empty() => NOTHING.to_owned(),
        Value::String(text) => cut(text),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => cut(&other.to_string()),
    })
}

/// The beginning of a text that may have a megabyte, such as the result of a job.
fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => plain(&text[..end]) + "…",
        None => plain(text),
    }
}

fn list(items: &[Value]) -> String {
    let items: Vec<_> = items.iter().map(|item| cell(item, Kind::Text)).collect();
    if items.is_empty() { NOTHING.to_owned() } else { items.join(", ") }
}

/// Two places behind the point, and none that are 0.
fn rounded(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn time(millis: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(millis)).to_string()
}

/// A text of the server without what would steer the terminal: line breaks, escapes, and marks that
/// turn the direction of writing.
pub(crate) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        let steers = character.is_control()
            || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if steers {
            let _ = write!(shown, "{}", character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_of_the_server_does_not_steer_the_terminal() {
        let text = cell(&json!("a\u{1b}[2Jb\r\nc\u{9b}d\u{202e}e"), Kind::Text);
        assert!(text.starts_with('a') && text.ends_with('e'), "{text}");
        assert!(!text.chars().any(|character| character.is_control() || character == '\u{202e}'), "{text}");
    }

    #[test]
    fn each_kind_shows_what_it_was_not_meant_for_as_it_is() {
        let kinds = [
            Kind::Text,
            Kind::Number,
            Kind::Bytes,
            Kind::Millis,
            Kind::Seconds,
            Kind::Share,
            Kind::UnixMillis,
            Kind::List,
            Kind::Length,
        ];
        for kind in kinds {
            assert_eq!(cell(&Value::Null, kind), "-");
            assert_eq!(cell(&json!("odd"), kind), "odd");
            assert_eq!(cell(&json!({"a": 1}), kind), r#"{"a":1}"#);
            assert!(!cell(&json!(u64::MAX), kind).is_empty());
            assert!(!cell(&json!(f64::MAX), kind).is_empty());
        }
    }

    #[test]
    fn a_long_text_is_cut() {
        let text = cell(&json!("ä".repeat(1_000_000)), Kind::Text);
        assert_eq!(text.chars().count(), LONGEST + 1);
        assert!(text.ends_with('…'));
    }

    #[test]
    fn values_are_shown_in_their_unit() {
        assert_eq!(cell(&json!(0.25), Kind::Share), "25.0 %");
        assert_eq!(cell(&json!(1.5), Kind::Millis), "1.5 ms");
        assert_eq!(cell(&json!(0), Kind::UnixMillis), "1970-01-01T00:00:00Z");
        assert_eq!(cell(&json!(["a", "b"]), Kind::List), "a, b");
        assert_eq!(cell(&json!(1_048_576), Kind::Bytes), "1.0 MiB");
    }
}

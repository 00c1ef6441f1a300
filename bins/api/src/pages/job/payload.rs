//! A job's payload and result, without secrets.

use std::borrow::Cow;

use maud::{Markup, html};
use serde_json::Value;
use tidegate_perfmon::mask;

use super::super::text;

/// Maximum number of characters shown.
const SHOWN: usize = 16 * 1024;
const MASK: &str = "****";
/// Parts of field names whose values are secret, in lower case and without separators.
const SECRET: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "authorization",
    "cookie",
    "credential",
    "privatekey",
    "accesskey",
    "signature",
    "session",
];

/// Formats JSON with two masks: for names of fields, and for texts that look like secrets.
pub(super) fn show(what: &str, json: &str) -> Markup {
    let masked = masked(json);
    let shown = text::visible(&masked);
    html! {
        pre tabindex="0" role="region" aria-label=(what) { (text::beginning(&shown, SHOWN)) }
        @if shown.chars().nth(SHOWN).is_some() { p.note { "The first " (SHOWN) " characters of " (shown.chars().count()) "." } }
    }
}

fn masked(json: &str) -> String {
    match serde_json::from_str::<Value>(json) {
        Ok(mut value) => {
            hide(&mut value);
            serde_json::to_string_pretty(&value).unwrap_or_else(|_| MASK.to_owned())
        }
        Err(_) => mask(json).into_owned(),
    }
}

fn hide(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(masked) = mask(text) {
                *text = masked;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::Object(fields) => {
            for (name, value) in fields {
                if is_secret(name) {
                    *value = MASK.into();
                } else {
                    hide(value);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn is_secret(name: &str) -> bool {
    let plain: String = name.chars().filter(|char| char.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    plain == "key" || plain == "auth" || SECRET.iter().any(|word| plain.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_shows_no_secret() {
        let shown = masked(
            r#"{"user": "ada", "Password": "hunter2", "nested": [{"api_key": {"a": "hunter2"}, "x-auth-token": ["hunter2"]}],
                "key": "hunter2", "SetCookie": 7, "text": "log in with token=hunter2 please", "url": "https://ada:hunter2@db.example/x",
                "monkey": "seen", "count": 7}"#,
        );
        assert!(!shown.contains("hunter2"), "{shown}");
        for seen in ["\"user\": \"ada\"", "\"monkey\": \"seen\"", "\"count\": 7", "\"SetCookie\": \"****\""] {
            assert!(shown.contains(seen), "{seen}: {shown}");
        }
        assert!(!masked("not JSON, password=hunter2").contains("hunter2"));
    }

    #[test]
    fn long_or_hostile_text_is_cut_and_escaped() {
        let long = format!("{{\"a\": \"{}\\u202e<script>\"}}", "x".repeat(20_000));
        let shown = show("Payload", &long).into_string();
        assert!(shown.len() < 2 * SHOWN && shown.contains("The first 16384 characters of"), "{}", shown.len());
        let shown = show("Payload", "{\"a\": \"\u{202e}<script>\"}").into_string();
        assert!(shown.contains("\\u{202e}&lt;script&gt;"), "{shown}");
    }
}

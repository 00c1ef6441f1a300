//! `Cache-Control` in requests and responses.

use std::time::Duration;

use http::header::{CACHE_CONTROL, HeaderMap, PRAGMA};

/// Longest time that a directive can name; larger values are clamped to it (RFC 9111, 1.2.2).
const LONGEST: u64 = 1 << 31;

/// The directives of all `Cache-Control` lines, names in lower case.
///
/// Text that is not a directive is skipped. Text that is not ASCII still yields its directives: a
/// `private` must not be missed because of a character beside it.
#[derive(Debug, Default)]
pub(super) struct Directives(Vec<(String, Option<String>)>);

impl Directives {
    /// Returns the directives of a response.
    pub(super) fn of_response(headers: &HeaderMap) -> Self {
        let mut found = Vec::new();
        for line in headers.get_all(CACHE_CONTROL) {
            read(&String::from_utf8_lossy(line.as_bytes()), &mut found);
        }
        Self(found)
    }

    /// Returns a request's directives. `Pragma: no-cache` counts without a `Cache-Control`.
    pub(super) fn of_request(headers: &HeaderMap) -> Self {
        let mut directives = Self::of_response(headers);
        let says_no_cache = |line: &http::HeaderValue| {
            let mut found = Vec::new();
            read(&String::from_utf8_lossy(line.as_bytes()), &mut found);
            Self(found).has("no-cache")
        };
        if !headers.contains_key(CACHE_CONTROL) && headers.get_all(PRAGMA).iter().any(says_no_cache) {
            directives.0.push(("no-cache".to_owned(), None));
        }
        directives
    }

    /// Whether the directive is there, with an argument or without.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// Returns the seconds of a directive. A value that is not a number counts as zero, and so do
    /// two different values: both mean "already stale".
    pub(super) fn seconds(&self, name: &str) -> Option<Duration> {
        let mut named = self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| seconds(value.as_deref()));
        let first = named.next()?;
        Some(if named.all(|other| other == first) { first } else { Duration::ZERO })
    }
}

fn seconds(value: Option<&str>) -> Duration {
    let digits = value.map(str::trim).filter(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()));
    // Only digits, but not a number: it is too large.
    digits.map_or(Duration::ZERO, |digits| Duration::from_secs(digits.parse().unwrap_or(LONGEST).min(LONGEST)))
}

/// Parses `name`, `name=token` and `name="text"`, separated by commas outside of quotes.
fn read(line: &str, into: &mut Vec<(String, Option<String>)>) {
    let mut rest = line.chars();
    let (mut name, mut value) = (String::new(), None::<String>);
    let mut finish = |name: &mut String, value: &mut Option<String>| {
        let known = name.trim().to_ascii_lowercase();
        if !known.is_empty() {
            into.push((known, value.take().map(|text| text.trim().to_owned())));
        }
        name.clear();
        *value = None;
    };
    while let Some(next) = rest.next() {
        match (next, &mut value) {
            (',', _) => finish(&mut name, &mut value),
            ('=', None) => value = Some(String::new()),
            ('"', Some(text)) => {
                while let Some(quoted) = rest.next() {
                    match quoted {
                        '"' => break,
                        '\\' => text.extend(rest.next()),
                        other => text.push(other),
                    }
                }
            }
            (other, Some(text)) => text.push(other),
            (other, None) => name.push(other),
        }
    }
    finish(&mut name, &mut value);
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(lines: &[&[u8]]) -> Directives {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CACHE_CONTROL, HeaderValue::from_bytes(line).unwrap());
        }
        Directives::of_response(&headers)
    }

    #[test]
    fn names_have_no_case_and_lines_add_up() {
        let read = of(&[b"Private , MAX-AGE=60", b"No-Store"]);
        assert!(read.has("private") && read.has("no-store"));
        assert_eq!(read.seconds("max-age"), Some(Duration::from_secs(60)));
    }

    #[test]
    fn a_comma_within_quotes_is_no_separator_and_an_open_quote_ends_with_the_line() {
        let read = of(&[br#"private="set-cookie, x\",public", max-age="7""#, br#"ext="public, s-maxage=9"#]);
        assert!(read.has("private") && !read.has("public") && !read.has("s-maxage"));
        assert_eq!(read.seconds("max-age"), Some(Duration::from_secs(7)));
    }

    #[test]
    fn an_invalid_or_repeated_number_is_already_stale() {
        for bad in ["max-age", "max-age=", "max-age=-1", "max-age=1.5", "max-age=x", "max-age=5, max-age=6"] {
            assert_eq!(of(&[bad.as_bytes()]).seconds("max-age"), Some(Duration::ZERO), "{bad}");
        }
        assert_eq!(of(&[b"max-age=5, max-age=5"]).seconds("max-age"), Some(Duration::from_secs(5)));
        assert_eq!(of(&[b"max-age=99999999999999999999999"]).seconds("max-age"), Some(Duration::from_secs(LONGEST)));
        assert_eq!(of(&[b"public"]).seconds("max-age"), None);
    }

    #[test]
    fn a_character_beside_it_does_not_hide_a_directive() {
        assert!(of(&["x=\"é\", private".as_bytes(), b"\xff, no-store"]).has("private"));
        assert!(of(&[b"\xff, no-store"]).has("no-store"));
    }
}

//! Parses the elements of a list header from the right.
//!
//! Because the header is split from the right, an unbalanced quote of a client cannot hide what a
//! proxy appended after it. Because quotes are respected, a comma that a proxy quoted cannot split
//! what it appended.

use std::net::IpAddr;

use super::node;

/// The non-empty elements of one header line, rightmost first. A client can send any bytes.
pub(super) fn from_right(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let comma = last_outside_quotes(line, b',');
        rest = comma.map(|at| &line[..at]);
        Some(line[comma.map_or(0, |at| at + 1)..].trim_ascii())
    })
    .filter(|element| !element.is_empty())
}

/// Position of the last `wanted` outside quotes, scanned from the right.
fn last_outside_quotes(bytes: &[u8], wanted: u8) -> Option<usize> {
    let mut quoted = false;
    (0..bytes.len()).rev().find(|&at| {
        if bytes[at] == b'"' && !is_escaped(bytes, at) {
            quoted = !quoted;
        }
        bytes[at] == wanted && !quoted
    })
}

/// Whether the number of backslashes before `at` is odd.
fn is_escaped(bytes: &[u8], at: usize) -> bool {
    bytes[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The address in an `X-Forwarded-For` element.
pub(super) fn list_item(element: &str) -> Option<IpAddr> {
    node::parse(unquoted(element)?)
}

/// The address in the `for` parameter of a `Forwarded` element. `None` unless there is exactly one.
pub(super) fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut address = None;
    let mut rest = Some(element);
    while let Some(pairs) = rest {
        let semicolon = last_outside_quotes(pairs.as_bytes(), b';');
        let (name, value) = pairs[semicolon.map_or(0, |at| at + 1)..].split_once('=')?;
        if name.trim().eq_ignore_ascii_case("for") {
            if address.is_some() {
                return None;
            }
            address = Some(node::parse(unquoted(value.trim())?)?);
        }
        rest = semicolon.map(|at| &pairs[..at]);
    }
    address
}

/// A token unchanged, or the content of a quoted string. Escapes are not decoded.
fn unquoted(text: &str) -> Option<&str> {
    match text.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"'),
        None => Some(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(line: &str) -> Vec<&str> {
        from_right(line.as_bytes()).map(|element| str::from_utf8(element).unwrap()).collect()
    }

    #[test]
    fn splits_from_the_right_outside_quotes() {
        assert_eq!(elements("a, b ,c"), ["c", "b", "a"]);
        assert_eq!(elements(r#"a,"b,c",d"#), ["d", r#""b,c""#, "a"]);
        assert_eq!(elements(r#"a,"b\",c""#), [r#""b\",c""#, "a"]);
        assert_eq!(elements(" , ,"), [""; 0]);
    }

    #[test]
    fn an_open_quote_on_the_left_does_not_reach_what_was_appended() {
        assert_eq!(elements(r#"for="evil, for=192.0.2.1"#)[0], "for=192.0.2.1");
    }

    #[test]
    fn takes_exactly_one_for() {
        let address = "192.0.2.1".parse().ok();
        assert_eq!(forwarded_for(r#"proto=https;FOR="192.0.2.1:80";host="a;for=9.9.9.9""#), address);
        for broken in ["for=192.0.2.1;for=192.0.2.2", "proto=http", "for", "for=192.0.2.1;x", "for=\"192.0.2.1"] {
            assert_eq!(forwarded_for(broken), None, "{broken}");
        }
    }
}

//! Finds the end of a CSV record: a pure function over the bytes ahead.

use super::entry::Malformation;
use super::window::View;

/// The element at the start of the bytes ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scan {
    /// A record of `content` bytes; with its line ending it takes `whole`. A blank line has no
    /// content.
    Record { content: usize, whole: usize },
    /// Not a record.
    Broken(Malformation),
}

#[derive(Clone, Copy)]
enum State {
    FieldStart,
    Unquoted,
    Quoted,
    /// After a quote inside a quoted field: its end, or the first half of a doubled quote.
    QuoteSeen,
}

/// The result of a scan, and how many bytes it inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scanned {
    pub(super) found: Scan,
    pub(super) examined: usize,
}

/// Finds the end of the record at the start of `view`, in one pass. RFC 4180, with LF beside CRLF.
pub(super) fn scan(view: View<'_>, cap: usize) -> Scanned {
    let bytes = view.bytes;
    let mut state = State::FieldStart;
    for (at, &byte) in bytes.iter().enumerate() {
        match step(state, byte, &bytes[at + 1..]) {
            Step::Go(next) => state = next,
            Step::End { ending } => return record(at, at + ending, cap),
            // After the cap the record is too long in any case, even if the window does not show
            // the rest.
            Step::Break(Malformation::BareCarriageReturn) if at > cap => {
                return broken(Malformation::TooLong, at + 1);
            }
            Step::Break(reason) => return broken(reason, at + 1),
        }
    }
    match state {
        State::Quoted => broken(Malformation::UnclosedQuote, bytes.len()),
        _ if view.ends => record(bytes.len(), bytes.len(), cap),
        _ => broken(Malformation::TooLong, bytes.len()),
    }
}

/// The effect of one byte.
enum Step {
    Go(State),
    /// The record ends before this byte, with a line ending of `ending` bytes.
    End {
        ending: usize,
    },
    Break(Malformation),
}

fn step(state: State, byte: u8, after: &[u8]) -> Step {
    match (state, byte) {
        (State::Quoted, b'"') => Step::Go(State::QuoteSeen),
        (State::Quoted, _) | (State::FieldStart | State::QuoteSeen, b'"') => Step::Go(State::Quoted),
        (_, b',') => Step::Go(State::FieldStart),
        (_, b'\n') => Step::End { ending: 1 },
        (_, b'\r') => match after.first() {
            Some(b'\n') => Step::End { ending: 2 },
            _ => Step::Break(Malformation::BareCarriageReturn),
        },
        (State::Unquoted, b'"') => Step::Break(Malformation::QuoteInField),
        (State::QuoteSeen, _) => Step::Break(Malformation::TextAfterQuote),
        (State::FieldStart | State::Unquoted, _) => Step::Go(State::Unquoted),
    }
}

fn record(content: usize, whole: usize, cap: usize) -> Scanned {
    if content > cap {
        return broken(Malformation::TooLong, whole);
    }
    Scanned { found: Scan::Record { content, whole }, examined: whole }
}

fn broken(reason: Malformation, examined: usize) -> Scanned {
    Scanned { found: Scan::Broken(reason), examined }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_end(text: &str) -> Scan {
        scan(View { bytes: text.as_bytes(), ends: true }, 16).found
    }

    #[test]
    fn finds_the_end_of_well_formed_records() {
        for (text, content, whole) in [
            ("a,b\nc", 3, 4),
            ("a,b\r\nc", 3, 5),
            ("a,b", 3, 3),
            ("\n", 0, 1),
            ("\r\n", 0, 2),
            ("\"a\n,\"\"\"\nb", 7, 8),
            ("\"\",\"\"\r\n", 5, 7),
            ("a,\n", 2, 3),
        ] {
            assert_eq!(at_end(text), Scan::Record { content, whole }, "{text:?}");
        }
    }

    #[test]
    fn names_what_is_broken() {
        use Malformation as M;
        for (text, reason) in [
            ("a\"b\n", M::QuoteInField),
            ("\"a\"b\n", M::TextAfterQuote),
            ("\"a\" ,b\n", M::TextAfterQuote),
            ("\"a\nb\n", M::UnclosedQuote),
            ("a\rb\n", M::BareCarriageReturn),
            ("a\r", M::BareCarriageReturn),
            ("\"a\"\rb", M::BareCarriageReturn),
            ("12345678901234567\n", M::TooLong),
        ] {
            assert_eq!(at_end(text), Scan::Broken(reason), "{text:?}");
        }
    }

    #[test]
    fn a_view_that_is_not_the_end_proves_the_record_too_long() {
        let ahead = |text: &'static str| scan(View { bytes: text.as_bytes(), ends: false }, 2).found;
        assert_eq!(ahead("1234"), Scan::Broken(Malformation::TooLong));
        assert_eq!(ahead("123\r"), Scan::Broken(Malformation::TooLong));
        let whole = scan(View { bytes: b"123\r", ends: true }, 2).found;
        assert_eq!(whole, Scan::Broken(Malformation::TooLong), "whether the end was seen changes no reason");
        assert_eq!(ahead("12\r\n"), Scan::Record { content: 2, whole: 4 });
        assert_eq!(ahead("\"234"), Scan::Broken(Malformation::UnclosedQuote));
    }
}

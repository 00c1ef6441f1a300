//! Unexpected texts.

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use proptest::prelude::{Strategy, any};
use proptest::strategy::{BoxedStrategy, Just};
use proptest::{char, collection, prop_oneof};

/// Texts that have broken something somewhere.
const KNOWN: &[&str] = &[
    "",
    " ",
    "\0",
    "a\0b",
    ".",
    "..",
    "../../etc/passwd",
    "%",
    "%00",
    "null",
    "true",
    "-1",
    "0",
    "1e999",
    "NaN",
    "-0",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "0x10",
    "१२३",
    "\u{feff}",
    "\u{202e}abc",
    "\u{fffd}",
    "é",
    "e\u{301}",
    "👩‍👩‍👧",
    "*",
    "**",
    "?",
    "[",
    "{",
    "a*b?[c]",
    "schedule:*",
    "a:b:c",
    "~",
    "a~b~zzz",
    "'",
    "\"",
    "' OR 1=1 --",
    "<script>",
    "=1+1",
    "\r\n",
    "a\r\nb: c",
    "1970-01-01T00:00:00Z",
    "9999-12-31T23:59:60Z",
    "2030-02-30T00:00:00Z",
    "2030-01-07T09:00:00+99:99",
    "0000-01-01T00:00:00Z",
    "018f3c1e-7a4b-7c5d-8e9f-0123456789ab",
    "FREQ=SECONDLY",
    "FREQ=DAILY;COUNT=0",
    "FREQ=YEARLY;INTERVAL=4294967295",
    "* * * * *",
    "@yearly",
    "60 * * * *",
    "100/minute",
    "0/second",
    "1/0s",
    "acme",
    "import",
    "cron",
    "batches",
    "Europe/Berlin",
    "Mars/Olympus",
    "a@b",
    "a@b.example",
    "http://127.0.0.1:1/",
    "http://[::1",
    "::1",
    "127.0.0.1/33",
];

/// A short text, a strange one, or a long one.
pub(super) fn text() -> BoxedStrategy<String> {
    let long = (prop_oneof![Just("a"), Just("é"), Just("\u{1f600}"), Just("a:"), Just("%")], 1_usize..20_000)
        .prop_map(|(unit, times)| unit.repeat(times));
    prop_oneof![
        4 => collection::vec(char::any(), 0..20).prop_map(String::from_iter),
        4 => proptest::sample::select(KNOWN).prop_map(str::to_owned),
        2 => "[a-z0-9:_-]{1,40}",
        1 => long,
    ]
    .boxed()
}

/// It in a path or a query.
pub(super) fn encoded(text: &str) -> String {
    // What is too long for a request's head is refused before it is a request.
    let end = text.char_indices().nth(3_000).map_or(text.len(), |(end, _)| end);
    percent_encode(&text.as_bytes()[..end], NON_ALPHANUMERIC).to_string()
}

/// A part of a path: text as it has to be written, or bytes that are no text.
pub(super) fn part() -> BoxedStrategy<String> {
    prop_oneof![
        8 => text().prop_map(|text| encoded(&text)),
        1 => collection::vec(any::<u8>(), 0..12).prop_map(|bytes| percent_encode(&bytes, NON_ALPHANUMERIC).to_string()),
        1 => Just("%".to_owned()),
        1 => Just("%zz".to_owned()),
        1 => Just("a/b".to_owned()),
    ]
    .boxed()
}

/// A query string that does not belong to a parameter.
pub(super) fn query() -> BoxedStrategy<String> {
    prop_oneof![
        (part(), part()).prop_map(|(name, value)| format!("{name}={value}")),
        Just("&&==&".to_owned()),
        Just("=".to_owned()),
        Just("a[]=1&a[0]=2".to_owned()),
        part(),
    ]
    .boxed()
}

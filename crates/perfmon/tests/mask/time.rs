//! Masking takes a time in proportion to the text.

use std::time::{Duration, Instant};

use tidegate_perfmon::mask;

/// The shortest of some runs: what else the machine does only makes them longer.
#[allow(clippy::disallowed_methods, reason = "it is the time that the masking takes which is measured")]
fn time_of(part: &str, bytes: usize) -> Duration {
    let text = part.repeat(bytes / part.len());
    let run = || {
        let start = Instant::now();
        std::hint::black_box(mask(std::hint::black_box(&text)));
        start.elapsed()
    };
    (0..5).map(|_| run()).min().unwrap()
}

#[test]
fn many_urls_take_no_longer_a_byte() {
    let (urls, plain) = (time_of("://", 40_000), time_of("a", 40_000));
    assert!(urls <= 20 * plain, "{urls:?}, of plain text {plain:?}");
}

#[test]
fn a_long_text_takes_no_longer_a_byte() {
    for part in [
        "://",
        "://%2541",
        "://a:",
        "http://a:b/",
        "http://a:b/@",
        "a@",
        "%40",
        "token=[",
        "token='",
        "tokens=[5,",
        "key:",
        "key:'",
        "key=$a$5 ",
        "token[",
        "<key>a",
        "<key><![CDATA[a",
        "<password> ",
        "a:token>",
        "sk-",
        "sk-a",
        "eyJ.",
        "-----BEGIN PRIVATE ",
        "4 ",
        "4111,",
        "bearer+",
        "bearer+:",
        "basic+",
        "basic a/",
        "a",
        "password",
        "é",
        "%41",
        "%2",
        "%2525",
        "\\u0041",
        "DE89 ",
        "key=[",
        "services/T",
        "bot1234567:",
        "SG.",
        "_4111",
        "identified by '",
    ] {
        // A text that is eight times as long takes eight times as long. If it were scanned again
        // from every place in it, it would take sixty-four times as long.
        let (short, long) = (time_of(part, 8_000), time_of(part, 64_000));
        assert!(long <= 24 * short, "{part}: {short:?}, then {long:?}");
    }
}

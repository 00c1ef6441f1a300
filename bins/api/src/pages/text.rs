//! Figures in readable form.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::Duration;

/// Shown for a figure without data, or with too little of it.
pub(super) const NONE: &str = "–";

/// Returns the figure formatted with `show`, or a dash.
pub(super) fn or_none<T>(figure: Option<T>, show: impl FnOnce(T) -> String) -> String {
    figure.map_or_else(|| NONE.to_owned(), show)
}

/// Percentiles and shares of fewer samples are meaningless.
pub(super) const FEW: u64 = 20;

/// Three significant digits at most: `0.42 ms`, `12.3 ms`, `123 ms`, `1.20 s`.
pub(super) fn time(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1_000.0;
    if ms < 1_000.0 { format!("{} ms", places(ms)) } else { format!("{} s", places(ms / 1_000.0)) }
}

pub(super) fn time_or_none(value: Option<Duration>, samples: u64) -> String {
    or_none(value.filter(|_| samples >= FEW), time)
}

pub(super) fn rate(per_second: f64) -> String {
    format!("{}/s", places(per_second))
}

pub(super) fn percent(share: f64) -> String {
    if share == 0.0 { "0 %".to_owned() } else { format!("{} %", places(share * 100.0)) }
}

pub(super) fn percent_or_none(share: f64, samples: u64) -> String {
    if samples < FEW { NONE.to_owned() } else { percent(share) }
}

pub(super) fn bytes(bytes: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes, 0);
    while value >= 1_024.0 && unit + 1 < UNITS.len() {
        value /= 1_024.0;
        unit += 1;
    }
    format!("{} {}", if unit == 0 { format!("{value:.0}") } else { places(value) }, UNITS[unit])
}

/// Three significant digits.
pub(super) fn places(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        small if small < 9.995 => format!("{value:.2}"),
        middle if middle < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// A length of time by its two greatest units: `12 s`, `4 min 5 s`, `2 h 5 min`, `3 d 4 h`.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let two = |great: u64, unit: &str, small: u64, below: &str| {
        if small == 0 { format!("{great} {unit}") } else { format!("{great} {unit} {small} {below}") }
    };
    match seconds {
        0 => time(span),
        1..60 => format!("{seconds} s"),
        60..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// Shows control characters and direction marks of foreign text by their numbers, because they move
/// the text beside them. Line breaks and tabs stay.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    let is_hidden = |char: char| {
        char.is_control() && !matches!(char, '\n' | '\t')
            || matches!(char, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        if is_hidden(char) {
            // Writing to a `String` cannot fail.
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(char));
        } else {
            shown.push(char);
        }
    }
    Cow::Owned(shown)
}

/// Returns the beginning of a text that may be long.
pub(super) fn beginning(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// Formats a time in UTC.
pub(super) fn moment(unix_ms: u64) -> String {
    let at = i64::try_from(unix_ms).ok().map(tidegate_base::clock::from_ms);
    or_none(at, |at| at.format("%m-%d %H:%M:%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_a_unit() {
        let of = |micros| time(Duration::from_micros(micros));
        assert_eq!(
            [of(0), of(420), of(12_340), of(123_400), of(1_200_000)],
            ["0 ms", "0.42 ms", "12.3 ms", "123 ms", "1.20 s"]
        );
        assert_eq!([percent(0.0), percent(0.5), percent(0.0012)], ["0 %", "50.0 %", "0.12 %"]);
        assert_eq!([bytes(512.0), bytes(1_536.0), bytes(3.0e9)], ["512 B", "1.50 KiB", "2.79 GiB"]);
    }

    #[test]
    fn spans_have_two_units() {
        let of = |seconds| span(Duration::from_secs(seconds));
        assert_eq!(
            [of(12), of(60), of(245), of(7_500), of(273_600)],
            ["12 s", "1 min", "4 min 5 s", "2 h 5 min", "3 d 4 h"]
        );
        assert_eq!(span(Duration::from_millis(20)), "20.0 ms");
    }

    #[test]
    fn invisible_characters_are_shown_by_their_code_point() {
        assert_eq!(visible("a\u{202e}b\u{0}c\n"), "a\\u{202e}b\\u{0}c\n");
        assert!(matches!(visible("plain é שלום"), Cow::Borrowed(_)));
        assert_eq!((beginning("éé", 2), beginning("ééé", 2)), ("éé".into(), "éé…".into()));
    }

    #[test]
    fn of_too_few_samples_there_is_a_dash_and_no_nought() {
        assert_eq!(time_or_none(Some(Duration::ZERO), FEW - 1), NONE);
        assert_eq!(percent_or_none(0.0, FEW - 1), NONE);
        assert_eq!((time_or_none(Some(Duration::ZERO), FEW), percent_or_none(0.0, FEW)), ("0 ms".into(), "0 %".into()));
    }
}

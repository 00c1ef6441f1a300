//! Figures as people read them.

use std::time::Duration;

/// In place of a figure that rests on nothing, or on too little.
pub(super) const NONE: &str = "–";

/// The figure as `show` writes it, or a dash.
pub(super) fn or_none<T>(figure: Option<T>, show: impl FnOnce(T) -> String) -> String {
    figure.map_or_else(|| NONE.to_owned(), show)
}

/// Percentiles and shares of fewer samples say nothing.
pub(super) const FEW: u64 = 20;

/// Three places at most: `0.42 ms`, `12.3 ms`, `123 ms`, `1.20 s`.
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

/// As many decimal places as make three digits.
pub(super) fn places(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        small if small < 9.995 => format!("{value:.2}"),
        middle if middle < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// When something happened, in UTC.
pub(super) fn moment(unix_ms: u64) -> String {
    let at = i64::try_from(unix_ms).ok().map(tidegate_app::clock::from_ms);
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
    fn of_too_few_samples_there_is_a_dash_and_no_nought() {
        assert_eq!(time_or_none(Some(Duration::ZERO), FEW - 1), NONE);
        assert_eq!(percent_or_none(0.0, FEW - 1), NONE);
        assert_eq!((time_or_none(Some(Duration::ZERO), FEW), percent_or_none(0.0, FEW)), ("0 ms".into(), "0 %".into()));
    }
}

//! Durations in JSON: milliseconds as a number.

use std::time::Duration;

use serde::Serializer;

pub(crate) fn required<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(of(*duration))
}

pub(crate) fn optional<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => serializer.serialize_some(&of(*duration)),
        None => serializer.serialize_none(),
    }
}

fn of(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

//! Reads arguments, and refuses what can't be right before anything is sent.

use std::time::Duration;

/// Names that are no queues: `/api/queue/NAME` is another route.
const RESERVED: [&str; 3] = ["cron", "batches", "scans"];
/// Longest wait for an answer, an hour.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(3600);

/// A name or an id that becomes a part of a path.
pub(crate) fn name(text: &str) -> Result<String, String> {
    match text {
        "" => Err("it is empty".to_owned()),
        // No path can hold them: they lead to another place in it.
        "." | ".." => Err("it names no thing".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

pub(crate) fn queue(text: &str) -> Result<String, String> {
    if RESERVED.contains(&text) { Err("it is no queue".to_owned()) } else { name(text) }
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wanted = |error| format!("{error}; give a time such as 30s, 5m or 1h");
    humantime::parse_duration(text).map_err(|error| wanted(error.to_string()))
}

pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = duration(text)?;
    let is_usable = (Duration::from_millis(1)..=LONGEST_TIMEOUT).contains(&timeout);
    if is_usable { Ok(timeout) } else { Err("give a time from 1ms to 1h".to_owned()) }
}

/// A time in milliseconds, as the API counts.
pub(crate) fn millis(text: &str) -> Result<u64, String> {
    u64::try_from(duration(text)?.as_millis()).map_err(|_| "it is too long".to_owned())
}

/// A time in whole seconds.
pub(crate) fn seconds(text: &str) -> Result<u64, String> {
    whole(text, 1, "seconds")
}

/// A time in whole minutes.
pub(crate) fn minutes(text: &str) -> Result<u64, String> {
    whole(text, 60, "minutes")
}

fn whole(text: &str, unit: u64, named: &str) -> Result<u64, String> {
    let time = duration(text)?;
    let is_whole = time.subsec_nanos() == 0 && time.as_secs().is_multiple_of(unit);
    if is_whole { Ok(time.as_secs() / unit) } else { Err(format!("give whole {named}")) }
}

pub(crate) fn json(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}

/// A key under which a request may be sent again.
pub(crate) fn idempotency_key(text: &str) -> Result<String, String> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_plain { Ok(text.to_owned()) } else { Err("give visible ASCII characters".to_owned()) }
}

/// A number, or that there is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OrNone(pub(crate) Option<u64>);

pub(crate) fn number_or_none(text: &str) -> Result<OrNone, String> {
    match text {
        "none" => Ok(OrNone(None)),
        _ => text.parse().map(|number| OrNone(Some(number))).map_err(|error| format!("{error}; give a number or none")),
    }
}

/// Jobs that begin within a time: their number and milliseconds. `None` for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate(pub(crate) Option<(u64, u64)>);

pub(crate) fn rate(text: &str) -> Result<Rate, String> {
    if text == "none" {
        return Ok(Rate(None));
    }
    let wanted = || "give jobs per time, such as 100/1s or 5/minute, or none".to_owned();
    let (jobs, per) = text.split_once('/').ok_or_else(wanted)?;
    let per = millis(per).or_else(|_| millis(&format!("1{per}"))).map_err(|_| wanted())?;
    Ok(Rate(Some((jobs.trim().parse().map_err(|_| wanted())?, per))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_in_a_path_are_refused() {
        for text in ["", ".", ".."] {
            assert!(name(text).is_err(), "{text}");
        }
        for text in ["cron", "batches", "scans", "", ".."] {
            assert!(queue(text).is_err(), "{text}");
        }
        assert_eq!(name("../a/%2e%2e").unwrap(), "../a/%2e%2e");
    }

    #[test]
    fn times_are_read_in_the_unit_of_the_api() {
        assert_eq!((millis("1m 5s"), seconds("1h"), minutes("2h")), (Ok(65_000), Ok(3_600), Ok(120)));
        for text in ["", "1", "-1s", "90s 1ms", "99999999999999999999s", "1000000000000y", "\u{0661}s"] {
            assert!(minutes(text).is_err(), "{text}");
        }
        assert!(timeout("0s").is_err() && timeout("2h").is_err());
    }

    #[test]
    fn rates_are_jobs_per_time() {
        assert_eq!(rate("100/second"), Ok(Rate(Some((100, 1_000)))));
        assert_eq!(rate("5 / 2m"), Ok(Rate(Some((5, 120_000)))));
        assert_eq!(rate("none"), Ok(Rate(None)));
        for text in ["", "/", "5/", "/1s", "-1/1s", "x/1s", "1/fortnight", "99999999999999999999/1s"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}

//! The half of a job that never changes, as text: `seq created run_at level version max_attempts timeout_ms kind payload`.
//!
//! The script that stores it writes the first four, since they are the server's to know.

use std::time::Duration;

use super::reply::Unreadable;
use crate::broker::NewJob;
use crate::clock::Timestamp;
use crate::options::Moment;
use crate::state::Priority;

/// An envelope as stored.
#[derive(Debug, PartialEq)]
pub(super) struct Envelope {
    pub(super) seq: i64,
    pub(super) created_at: Timestamp,
    pub(super) run_at: Timestamp,
    pub(super) priority: Priority,
    pub(super) version: u32,
    pub(super) max_attempts: Option<u32>,
    pub(super) timeout: Option<Duration>,
    pub(super) kind: String,
    pub(super) payload: String,
}

impl Envelope {
    pub(super) fn parse(text: &str) -> Result<Self, Unreadable> {
        let mut parts = text.splitn(9, ' ');
        let mut next = || parts.next().ok_or("an envelope is cut short");
        let seq = next()?.parse()?;
        let created_at = Timestamp::from_unix_ms(next()?.parse()?);
        let run_at = Timestamp::from_unix_ms(next()?.parse()?);
        let priority = Priority::try_new(next()?.parse()?)?;
        let version = next()?.parse()?;
        // Zero is none: at least one attempt and one millisecond are always allowed.
        let max_attempts = Some(next()?.parse()?).filter(|attempts| *attempts > 0);
        let timeout = Some(next()?.parse()?).filter(|ms| *ms > 0).map(Duration::from_millis);
        let kind = next()?.to_owned();
        let payload = next()?.to_owned();
        Ok(Self { seq, created_at, run_at, priority, version, max_attempts, timeout, kind, payload })
    }
}

/// The part of an envelope that its producer knows.
pub(super) fn rest(job: &NewJob) -> String {
    let timeout = job.timeout.map_or(0, milliseconds);
    format!("{} {} {} {} {}", job.version, job.max_attempts.unwrap_or(0), timeout, job.kind, job.payload)
}

/// Level and due time, as the script that stores the job reads them.
pub(super) fn when(job: &NewJob) -> String {
    let level = job.priority.level();
    match job.due {
        None => level.to_string(),
        Some(Moment::After(delay)) => format!("{level}+{}", milliseconds(delay)),
        Some(Moment::At(time)) => format!("{level}={}", time.unix_ms()),
    }
}

/// Whole milliseconds, fractions rounded up; never so many that Lua could not count them.
pub(super) fn milliseconds(time: Duration) -> u64 {
    Timestamp::default().after(time).unix_ms().unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::EnqueueOptions;
    use serde_json::json;

    #[test]
    fn an_envelope_survives_text() {
        let options = EnqueueOptions::new().max_attempts(7).timeout(Duration::from_millis(1_500)).delay(Duration::MAX);
        let job = NewJob::new("mail:a/b", &json!("with spaces \n and ünicode"), options, 100).unwrap();
        assert_eq!(when(&job), "2+253402300799999");
        let envelope = Envelope::parse(&format!("12 1000 2000 4 {}", rest(&job))).unwrap();
        assert_eq!((envelope.seq, envelope.created_at.unix_ms(), envelope.run_at.unix_ms()), (12, 1_000, 2_000));
        assert_eq!((envelope.priority, envelope.version), (Priority::LOWEST, 1));
        assert_eq!((envelope.max_attempts, envelope.timeout), (Some(7), Some(Duration::from_millis(1_500))));
        assert_eq!((envelope.kind, envelope.payload), (job.kind, job.payload));
    }

    #[test]
    fn what_is_no_envelope_is_refused() {
        for bad in ["", "1 2 3", "1 2 3 9 1 0 0 kind {}", "x 2 3 4 1 0 0 kind {}", "1 2 3 4 1 0 0 kind"] {
            assert!(Envelope::parse(bad).is_err(), "{bad}");
        }
    }
}

//! The immutable half of a job as text:
//! `[l]base created[/run_at] nth level[extras] version max_attempts timeout_ms kind payload`.
//!
//! The script that stores it writes the fields before `nth`, since only the server knows them. The
//! job's sequence number is `base + nth`, so the script does not write a number for each job.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::reply::Unreadable;
use crate::broker::NewJob;
use crate::id::GroupId;
use crate::options::Moment;
use crate::state::Priority;
use crate::timestamp::Timestamp;

/// An envelope as stored. Its text is borrowed.
#[derive(Debug, PartialEq)]
pub(super) struct Envelope<'a> {
    pub(super) seq: i64,
    pub(super) created_at: Timestamp,
    pub(super) run_at: Timestamp,
    pub(super) priority: Priority,
    pub(super) version: u32,
    pub(super) max_attempts: Option<u32>,
    pub(super) timeout: Option<Duration>,
    pub(super) kind: &'a str,
    pub(super) payload: &'a str,
    pub(super) extras: Extras,
}

/// Fields that few jobs have: JSON in the envelope, without spaces. The scripts read them if the
/// envelope starts with `l`.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Extras {
    #[serde(rename = "o", skip_serializing_if = "Option::is_none")]
    pub(super) ordering_key: Option<String>,
    #[serde(rename = "u", skip_serializing_if = "Option::is_none")]
    pub(super) unique_key: Option<String>,
    /// How to treat the job if its unique key is held.
    #[serde(rename = "d", skip_serializing_if = "Option::is_none")]
    on_duplicate: Option<String>,
    /// How long the unique key is held. `None` if until the job has ended.
    #[serde(rename = "h", skip_serializing_if = "Option::is_none")]
    hold_ms: Option<u64>,
    #[serde(rename = "g", skip_serializing_if = "Option::is_none")]
    pub(super) group: Option<GroupId>,
    #[serde(rename = "t", skip_serializing_if = "Option::is_none")]
    pub(super) trace_parent: Option<String>,
    /// Time of expiry, in milliseconds since the epoch.
    #[serde(rename = "x", skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    /// Time from the enqueue to the expiry, in milliseconds.
    #[serde(rename = "e", skip_serializing_if = "Option::is_none")]
    expires_after: Option<u64>,
}

impl Extras {
    fn of(job: &NewJob) -> Self {
        let unique = job.unique.as_ref();
        let (mut expires_at, mut expires_after) = (None, None);
        match job.expiry {
            Some(Moment::At(time)) => expires_at = Some(time.unix_ms()),
            Some(Moment::After(life)) => expires_after = Some(milliseconds(life)),
            None => {}
        }
        Self {
            ordering_key: job.ordering_key.clone(),
            unique_key: unique.map(|unique| unique.key.clone()),
            on_duplicate: unique.map(|unique| unique.on_duplicate.as_str().to_owned()),
            hold_ms: unique.and_then(|unique| unique.hold).map(milliseconds),
            group: job.group.clone(),
            trace_parent: job.trace_parent.clone(),
            expires_at,
            expires_after,
        }
    }

    /// Latest time at which a run of the job may start.
    pub(super) fn expires_at(&self, created_at: Timestamp) -> Option<Timestamp> {
        let after = self.expires_after.map(|ms| created_at.after(Duration::from_millis(ms)));
        self.expires_at.map(Timestamp::from_unix_ms).or(after)
    }
}

/// Whether the job has a key or a group, so that its end affects other jobs.
pub(super) fn is_linked(job: &NewJob) -> bool {
    job.ordering_key.is_some() || job.unique.is_some() || job.group.is_some()
}

fn has_extras(job: &NewJob) -> bool {
    is_linked(job) || job.trace_parent.is_some() || job.expiry.is_some()
}

impl<'a> Envelope<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Unreadable> {
        let mut parts = text.strip_prefix('l').unwrap_or(text).splitn(9, ' ');
        let mut next = || parts.next().ok_or("an envelope is cut short");
        let base: i64 = next()?.parse()?;
        let times = next()?;
        let (created_at, run_at) = times.split_once('/').unwrap_or((times, times));
        let nth: i64 = next()?.parse()?;
        let level = next()?;
        let (level, extras) = level.split_at_checked(1).ok_or("an envelope without a level")?;
        let extras = if extras.is_empty() { Extras::default() } else { serde_json::from_str(extras)? };
        let version = next()?.parse()?;
        // Zero means none: at least one attempt and one millisecond are always allowed.
        let max_attempts = Some(next()?.parse()?).filter(|attempts| *attempts > 0);
        let timeout = Some(next()?.parse()?).filter(|ms| *ms > 0).map(Duration::from_millis);
        Ok(Self {
            seq: base.saturating_add(nth),
            created_at: Timestamp::from_unix_ms(created_at.parse()?),
            run_at: Timestamp::from_unix_ms(run_at.parse()?),
            priority: Priority::try_new(level.parse()?)?,
            version,
            max_attempts,
            timeout,
            kind: next()?,
            payload: next()?,
            extras,
        })
    }
}

/// The part of an envelope that the producer knows.
pub(super) fn rest(nth: usize, job: &NewJob) -> String {
    let timeout = job.timeout.map_or(0, milliseconds);
    let (level, attempts) = (job.priority.level(), job.max_attempts.unwrap_or(0));
    let mut text = String::with_capacity(job.kind.len() + job.payload.len() + 32);
    let _ = write!(text, "{nth} {level}"); // writing to a string can't fail
    if has_extras(job) {
        // Can't fail: only texts and numbers.
        let extras = serde_json::to_string(&Extras::of(job)).unwrap_or_default();
        text.push_str(&extras.replace(' ', "\\u0020"));
    }
    let _ = write!(text, " {} {attempts} {timeout} ", job.version);
    text.push_str(&job.kind);
    text.push(' ');
    text.push_str(&job.payload);
    text
}

/// Priority and due time, in the form that the script reads.
pub(super) fn when(job: &NewJob) -> String {
    let level = job.priority.level();
    match job.due {
        None => level.to_string(),
        Some(Moment::After(delay)) => format!("{level}+{}", milliseconds(delay)),
        Some(Moment::At(time)) => format!("{level}={}", time.unix_ms()),
    }
}

/// Whole milliseconds, rounded up. Limited to numbers that Lua represents exactly.
pub(super) fn milliseconds(time: Duration) -> u64 {
    Timestamp::default().after(time).unix_ms().unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::EnqueueOptions;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn an_envelope_survives_text() {
        let options = EnqueueOptions::new().max_attempts(7).timeout(Duration::from_millis(1_500)).delay(Duration::MAX);
        let job = NewJob::new("mail:a/b", &json!("with spaces \n and ünicode"), options, 100).unwrap();
        assert_eq!(when(&job), "2+253402300799999");
        let text = format!("12 1000/2000 {}", rest(3, &job));
        let envelope = Envelope::parse(&text).unwrap();
        assert_eq!((envelope.seq, envelope.created_at.unix_ms(), envelope.run_at.unix_ms()), (15, 1_000, 2_000));
        assert_eq!((envelope.priority, envelope.version), (Priority::NORMAL, 1));
        assert_eq!((envelope.max_attempts, envelope.timeout), (Some(7), Some(Duration::from_millis(1_500))));
        assert_eq!((envelope.kind, envelope.payload), (job.kind.as_str(), job.payload.as_str()));
    }

    #[test]
    fn rare_fields_survive_text() {
        let options = EnqueueOptions::new()
            .ordering_key("a \" ü")
            .unique(crate::Unique::new("u 1").replace())
            .group(GroupId::new("g").unwrap())
            .expires_in(Duration::from_secs(2));
        let job = NewJob::new("kind", &json!({ "a": 1 }), options, 100).unwrap();
        let text = format!("l12 1000 {}", rest(1, &job));
        assert!(text.contains(r#"{"o":"a\u0020\"\u0020ü","u":"u\u00201","d":"replace","g":"g","e":2000}"#), "{text}");
        let envelope = Envelope::parse(&text).unwrap();
        assert_eq!(envelope.extras, Extras::of(&job));
        assert_eq!(envelope.payload, job.payload);
        assert_eq!(envelope.extras.expires_at(envelope.created_at), Some(Timestamp::from_unix_ms(3_000)));
        let traced = EnqueueOptions::new().trace_parent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let traced = NewJob::new("kind", &json!(1), traced, 100).unwrap();
        assert!(!is_linked(&traced) && rest(1, &traced).starts_with("1 2{\"t\":\"00-"));
    }

    #[test]
    fn a_text_that_is_no_envelope_is_refused() {
        let bad = [
            "",
            "1 2 3",
            "1 2 3 9 1 0 0 kind {}",
            "x 2 1 4 1 0 0 kind {}",
            "1 2 3 4 1 0 0 kind",
            "1 2 3  1 0 0 k {}",
            "1 2 3 4{} 1 0 0",
            "1 2 3 4{x 1 0 0 kind {}",
        ];
        for bad in bad {
            assert!(Envelope::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), numbers in "l?[0-9/ ]{0,40}") {
            for text in [text.clone(), format!("{numbers}{text}")] {
                let _ = Envelope::parse(&text);
            }
        }
    }
}

//! Reading the scripts' replies.

use std::time::Duration;
use std::vec::IntoIter;

use tidegate_redis::{Error, Value};

use super::envelope::Envelope;
use crate::error::BrokerError;
use crate::id::{JobId, WorkerId};
use crate::lease::{LeaseToken, LeasedJob, Settled};
use crate::record::{Attempt, JobRecord, Progress};
use crate::state::JobState;
use crate::timestamp::Timestamp;

/// Why a reply can't be read.
pub(super) type Unreadable = Box<dyn std::error::Error + Send + Sync>;

/// Converts the client's error.
pub(super) fn failed(operation: &'static str) -> impl Fn(Error) -> BrokerError {
    move |error| {
        if error.code() == Some("OOM") {
            return BrokerError::Full { operation, source: Box::new(error) };
        }
        let (transient, may_have_run) = (error.is_transient(), error.may_have_run());
        BrokerError::Store { operation, transient, may_have_run, source: Box::new(error) }
    }
}

/// Error of a reply that none of the scripts returns.
pub(super) fn unreadable(operation: &'static str) -> impl Fn(Unreadable) -> BrokerError {
    move |source| BrokerError::Store { operation, transient: false, may_have_run: true, source }
}

/// The elements of a reply, in order.
pub(super) struct Fields(IntoIter<Value>);

impl Fields {
    pub(super) fn of(value: Value) -> Result<Self, Unreadable> {
        Ok(Self(value.into_array()?.into_iter()))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.as_slice().is_empty()
    }

    pub(super) fn value(&mut self) -> Value {
        self.0.next().unwrap_or(Value::Nil)
    }

    pub(super) fn text(&mut self) -> Result<String, Unreadable> {
        Ok(self.value().into_text()?)
    }

    pub(super) fn text_if_any(&mut self) -> Result<Option<String>, Unreadable> {
        match self.value() {
            Value::Nil => Ok(None),
            value => Ok(Some(value.into_text()?)),
        }
    }

    pub(super) fn int(&mut self) -> Result<i64, Unreadable> {
        Ok(self.value().as_int()?)
    }

    pub(super) fn count(&mut self) -> Result<u64, Unreadable> {
        Ok(u64::try_from(self.int()?).unwrap_or(0))
    }

    pub(super) fn number<N: TryFrom<i64>>(&mut self) -> Result<N, Unreadable> {
        N::try_from(self.int()?).map_err(|_| "a number out of its range".into())
    }

    pub(super) fn time(&mut self) -> Result<Timestamp, Unreadable> {
        Ok(Timestamp::from_unix_ms(self.int()?))
    }

    /// Reads a time. An empty text means none.
    pub(super) fn time_if_any(&mut self) -> Result<Option<Timestamp>, Unreadable> {
        let text = self.text()?;
        if text.is_empty() { Ok(None) } else { Ok(Some(Timestamp::from_unix_ms(text.parse()?))) }
    }

    pub(super) fn milliseconds_if_any(&mut self) -> Result<Option<Duration>, Unreadable> {
        match self.value() {
            Value::Nil => Ok(None),
            value => Ok(Some(Duration::from_millis(value.as_count()?))),
        }
    }

    pub(super) fn ids(&mut self) -> Result<Vec<JobId>, Unreadable> {
        let ids = self.value().into_array()?;
        ids.into_iter().map(|id| Ok(JobId::new(id.into_text()?)?)).collect()
    }
}

/// Reads settlements, one digit each.
pub(super) fn settled(digits: &str) -> Result<Vec<Settled>, Unreadable> {
    let settled = digits.bytes().map(|digit| match digit {
        b'0' => Ok(Settled::Now),
        b'1' => Ok(Settled::Before),
        b'2' => Ok(Settled::Superseded),
        _ => Err("an unknown settlement".into()),
    });
    settled.collect()
}

/// A token in the scripts' form, without the id.
pub(super) fn token_text(token: &LeaseToken) -> String {
    format!("{} {}", token.delivery, token.nonce)
}

/// Reads a job that `ack_and_fetch` returned. `None` if its record is missing or unreadable.
pub(super) fn leased_job(
    fields: &mut Fields,
    nonce: &WorkerId,
    leased_at: Timestamp,
) -> Result<Option<LeasedJob>, Unreadable> {
    let (id, text) = (fields.value().into_bytes()?, fields.value().into_optional_bytes()?);
    let Some(text) = text else { return Ok(None) };
    match leased_as(&id, &text, nonce, leased_at) {
        Ok(job) => Ok(Some(job)),
        Err(error) => {
            // Written by another program or a later version. It must not delay other jobs: its
            // leases expire until it is dead.
            tracing::warn!(id = %String::from_utf8_lossy(&id), %error, "a job's record can't be read");
            Ok(None)
        }
    }
}

fn leased_as(id: &[u8], text: &[u8], nonce: &WorkerId, leased_at: Timestamp) -> Result<LeasedJob, Unreadable> {
    let id = JobId::new(std::str::from_utf8(id)?)?;
    let mut envelope = std::str::from_utf8(text)?;
    let (mut delivery, mut failures, mut ready_at, mut checkpoint) = (1, 0, 0, None);
    if let Some(special) = envelope.strip_prefix('|') {
        let (numbers, rest) = special.split_once('|').ok_or("a leased job is cut short")?;
        envelope = rest;
        let mut numbers = numbers.split(' ');
        let mut next = || numbers.next().ok_or("a leased job is cut short");
        (delivery, failures, ready_at) = (next()?.parse()?, next()?.parse()?, next()?.parse()?);
        let length = next()?;
        if length != "-" {
            let (text, rest) = rest.split_at_checked(length.parse()?).ok_or("a leased job is cut short")?;
            (checkpoint, envelope) = (Some(text.to_owned()), rest);
        }
    }
    let envelope = Envelope::parse(envelope)?;
    Ok(LeasedJob {
        token: LeaseToken { id, delivery, nonce: nonce.clone() },
        kind: envelope.kind.to_owned(),
        version: envelope.version,
        payload: envelope.payload.to_owned(),
        priority: envelope.priority,
        max_attempts: envelope.max_attempts,
        timeout: envelope.timeout,
        failures,
        created_at: envelope.created_at,
        ready_at: if ready_at == 0 { envelope.created_at } else { Timestamp::from_unix_ms(ready_at) },
        leased_at,
        expires_at: envelope.extras.expires_at(envelope.created_at),
        trace_parent: envelope.extras.trace_parent,
        group: envelope.extras.group,
        checkpoint,
    })
}

/// A job that `show()` returned, with its sort keys among the jobs of its state.
pub(super) struct ListedJob {
    pub(super) at: i64,
    pub(super) seq: i64,
    pub(super) record: JobRecord,
}

pub(super) fn shown(value: Value, queue: &str) -> Result<ListedJob, Unreadable> {
    let mut fields = Fields::of(value)?;
    let id = JobId::new(fields.text()?)?;
    let state: JobState = fields.text()?.parse()?;
    let at = fields.int()?;
    let envelope = fields.text()?;
    let envelope = Envelope::parse(&envelope)?;
    let deliveries = fields.number()?;
    let started_at = fields.time_if_any()?;
    let failures = fields.number()?;
    let run_at = fields.time_if_any()?;
    let percent = u8::try_from(fields.int()?).ok();
    let message = fields.text()?;
    let note = fields.text_if_any()?;
    let result = fields.text_if_any()?;
    let checkpoint = fields.text_if_any()?;
    let mut attempts = Vec::new();
    for attempt in fields.value().into_array()? {
        let mut attempt = Fields::of(attempt)?;
        let (started_at, ended_at) = (attempt.time()?, Some(attempt.time()?));
        attempts.push(Attempt { started_at, ended_at, error: attempt.text_if_any()? });
    }
    let finished_at = state.is_finished().then(|| Timestamp::from_unix_ms(at));
    if let (JobState::Leased | JobState::Done, Some(started_at)) = (state, started_at) {
        attempts.push(Attempt { started_at, ended_at: finished_at, error: None });
    }
    let record = JobRecord {
        id,
        queue: queue.to_owned(),
        kind: envelope.kind.to_owned(),
        state,
        priority: envelope.priority,
        progress: percent.map(|percent| Progress { percent, message }),
        attempts,
        max_attempts: envelope.max_attempts,
        created_at: envelope.created_at,
        run_at: run_at.unwrap_or(envelope.run_at),
        finished_at,
        result: result.and_then(|result| serde_json::from_str(&result).ok()),
        note,
        expires_at: envelope.extras.expires_at(envelope.created_at),
        ordering_key: envelope.extras.ordering_key,
        unique_key: envelope.extras.unique_key,
        group: envelope.extras.group,
        checkpoint,
        deliveries,
        failures,
        version: envelope.version,
        payload: envelope.payload.to_owned(),
    };
    Ok(ListedJob { at, seq: envelope.seq, record })
}

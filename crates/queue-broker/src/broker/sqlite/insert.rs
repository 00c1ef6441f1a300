//! New jobs, as rows of one statement.

use super::row::milliseconds;
use super::sql;
use super::writer::Step;
use crate::broker::NewJob;
use crate::broker::standing::Standing;
use crate::id::GroupId;
use crate::timestamp::Timestamp;

pub(super) fn has_key(job: &NewJob) -> bool {
    job.ordering_key.is_some() || job.unique.is_some()
}

/// Inserts jobs, numbered in this order in any state. Returns how many were new.
pub(super) async fn insert(
    step: &mut Step<'_>,
    queue: i64,
    jobs: &[(&NewJob, &Standing)],
) -> Result<usize, sqlx::Error> {
    let now = step.now;
    let rows: Vec<_> = jobs.iter().map(|(job, standing)| row(job, standing, now)).collect();
    let rows = serde_json::to_string(&rows).map_err(super::row::unreadable("jobs"))?;
    let done = sqlx::query(sql::ENQUEUE).bind(rows).bind(queue).bind(now.unix_ms()).execute(&mut *step.conn).await?;
    Ok(usize::try_from(done.rows_affected()).unwrap_or(usize::MAX))
}

/// A row in the form that the statement reads.
type NewRow<'a> = (i64, &'a str, u8, i64, i64, &'a str, u32, &'a str, Option<u32>, Option<i64>, Option<Extras<'a>>);
type Extras<'a> = (Option<i64>, Option<&'a str>, Option<&'a str>, Option<&'a str>, Option<&'a str>, u8);

fn row<'a>(job: &'a NewJob, standing: &Standing, now: Timestamp) -> NewRow<'a> {
    (
        super::row::number(standing.state),
        job.id.as_str(),
        job.priority.level(),
        standing.at.unix_ms(),
        standing.run_at.unix_ms(),
        &job.kind,
        job.version,
        &job.payload,
        job.max_attempts,
        job.timeout.map(milliseconds),
        extras(job, now),
    )
}

fn extras(job: &NewJob, now: Timestamp) -> Option<Extras<'_>> {
    let is_plain = job.expiry.is_none() && job.group.is_none() && job.trace_parent.is_none() && !has_key(job);
    (!is_plain).then(|| {
        (
            job.expires_at(now).map(Timestamp::unix_ms),
            job.group.as_ref().map(GroupId::as_str),
            job.trace_parent.as_deref(),
            job.ordering_key.as_deref(),
            job.unique.as_ref().map(|unique| unique.key.as_str()),
            u8::from(job.unique.as_ref().is_some_and(|unique| unique.hold.is_none())),
        )
    })
}

//! Relations between jobs: ordering keys, unique keys, groups.

use super::row::{Links, StoredJob, number};
use super::sql;
use super::writer::Step;
use crate::broker::NewJob;
use crate::broker::standing::Standing;
use crate::id::JobId;
use crate::state::{JobState, Priority};
use crate::timestamp::Timestamp;

pub(super) async fn has_active(step: &mut Step<'_>, queue: i64, key: &str) -> Result<bool, sqlx::Error> {
    let active = sqlx::query(sql::ACTIVE_OF_KEY).bind(queue).bind(key);
    Ok(active.fetch_optional(&mut *step.conn).await?.is_some())
}

/// Adds new jobs to the counts of their groups.
pub(super) async fn join_groups<'a>(
    step: &mut Step<'_>,
    queue: i64,
    jobs: impl Iterator<Item = &'a NewJob> + Send,
) -> Result<(), sqlx::Error> {
    let mut joined: Vec<(&str, i64)> = Vec::new();
    for group in jobs.filter_map(|job| job.group.as_ref()) {
        match joined.iter_mut().find(|(known, _)| *known == group.as_str()) {
            Some((_, count)) => *count += 1,
            None => joined.push((group.as_str(), 1)),
        }
    }
    for (group, count) in joined {
        sqlx::query(sql::GROUP_GREW).bind(queue).bind(group).bind(count).execute(&mut *step.conn).await?;
    }
    Ok(())
}

/// Updates the group of an ended job, and releases its keys.
pub(super) async fn has_ended(
    step: &mut Step<'_>,
    queue: i64,
    id: &JobId,
    links: &Links,
    state: JobState,
) -> Result<(), sqlx::Error> {
    if let Some(group) = &links.group {
        count_in_group(step, queue, group, state, 1).await?;
    }
    if let (Some(key), true) = (&links.unique_key, links.holds_key) {
        sqlx::query(sql::FREE_KEY).bind(queue).bind(key).bind(id.as_str()).execute(&mut *step.conn).await?;
    }
    match &links.ordering_key {
        Some(key) if !has_active(step, queue, key).await? => come_forward(step, queue, key).await,
        _ => Ok(()),
    }
}

async fn come_forward(step: &mut Step<'_>, queue: i64, key: &str) -> Result<(), sqlx::Error> {
    let next: Option<(i64, i64, u8)> =
        sqlx::query_as(sql::NEXT_OF_KEY).bind(queue).bind(key).fetch_optional(&mut *step.conn).await?;
    let Some((seq, run_at, priority)) = next else { return Ok(()) };
    let mut standing = Standing::new(step.now, Timestamp::from_unix_ms(run_at));
    standing.come_forward(step.now);
    let priority = Priority::try_new(priority).map_err(super::row::unreadable("priority"))?;
    sqlx::query(sql::COME_FORWARD)
        .bind(seq)
        .bind(number(standing.state))
        .bind(standing.rank(priority))
        .bind(standing.at.unix_ms())
        .execute(&mut *step.conn)
        .await?;
    step.tally(queue).shift(JobState::Waiting, standing.state, 1);
    Ok(())
}

/// Puts a finished job that will run again back into its group and its ordering key.
pub(super) async fn has_come_back(
    step: &mut Step<'_>,
    queue: i64,
    job: &mut StoredJob,
    from: JobState,
) -> Result<(), sqlx::Error> {
    if let Some(group) = &job.links.group {
        count_in_group(step, queue, group, from, -1).await?;
    }
    if let Some(key) = &job.links.ordering_key
        && has_active(step, queue, key).await?
    {
        job.standing.wait_behind(job.created_at);
    }
    Ok(())
}

async fn count_in_group(
    step: &mut Step<'_>,
    queue: i64,
    group: &str,
    state: JobState,
    by: i64,
) -> Result<(), sqlx::Error> {
    let in_state = |wanted| if state == wanted { by } else { 0 };
    sqlx::query(sql::GROUP_CHANGED)
        .bind(queue)
        .bind(group)
        .bind(in_state(JobState::Done))
        .bind(in_state(JobState::Dead))
        .bind(in_state(JobState::Cancelled))
        .execute(&mut *step.conn)
        .await
        .map(drop)
}

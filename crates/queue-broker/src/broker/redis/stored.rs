//! The result of an enqueue for each job, and jobs that occur twice in a batch.

use std::collections::HashSet;

use tidegate_redis::Value;

use super::reply::Unreadable;
use crate::broker::{NewJob, Stored};
use crate::id::JobId;
use crate::state::Priority;

/// Reads the results: nil if all jobs are new, one digit per job, or a list.
pub(super) fn stored(reply: Value, count: usize) -> Result<Vec<Stored>, Unreadable> {
    let answer: Vec<Stored> = match reply {
        Value::Nil => vec![Stored::New; count],
        Value::Array(answers) => {
            answers.into_iter().map(|answer| one_stored(&answer.into_text()?)).collect::<Result<_, _>>()?
        }
        digits => {
            digits.into_text()?.split("").filter(|digit| !digit.is_empty()).map(one_stored).collect::<Result<_, _>>()?
        }
    };
    if answer.len() == count { Ok(answer) } else { Err("not one answer for each job".into()) }
}

fn one_stored(answer: &str) -> Result<Stored, Unreadable> {
    let (what, id) = answer.split_at_checked(1).ok_or("an empty answer")?;
    match what {
        "0" => Ok(Stored::New),
        "1" => Ok(Stored::Existing),
        "2" => Ok(Stored::Duplicate(JobId::new(id)?)),
        "3" => Ok(Stored::Replaced(JobId::new(id)?)),
        _ => Err("an unknown answer".into()),
    }
}

/// The jobs without repeated ids, and the positions of the repeated ones.
pub(super) fn distinct(jobs: &[NewJob]) -> (Vec<&NewJob>, Vec<usize>) {
    // Generated ids are ascending.
    if jobs.is_sorted_by(|a, b| a.id() < b.id()) {
        return (jobs.iter().collect(), Vec::new());
    }
    let mut seen = HashSet::with_capacity(jobs.len());
    let (mut first, mut repeated) = (Vec::with_capacity(jobs.len()), Vec::new());
    for (position, job) in jobs.iter().enumerate() {
        if seen.insert(job.id()) {
            first.push(job);
        } else {
            repeated.push(position);
        }
    }
    (first, repeated)
}

/// The common priority, if all jobs have the same and are due at once.
pub(super) fn common_level(jobs: &[&NewJob]) -> Option<Priority> {
    let level = jobs.first().map_or_else(Priority::default, |job| job.priority);
    jobs.iter().all(|job| job.priority == level && job.due.is_none()).then_some(level)
}

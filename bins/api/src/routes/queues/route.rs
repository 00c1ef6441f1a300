//! The partition of a batch's jobs. All of them go to one, since "all or none" holds within one.

use tidegate_queue::{JobId, NewJob};
use uuid::Uuid;

use super::idempotency::Stem;
use tidegate_web::problem::Problem;

/// The part of an id that sets the partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route(String);

impl Route {
    /// The route of a job whose id or key sets it.
    pub(super) fn of(job: &NewJob) -> Self {
        let id = job.id().as_str();
        Self(id.rsplit_once('~').map_or(id, |(_, route)| route).to_owned())
    }

    /// The route in an id, which follows its last `~`.
    pub(super) fn from_text(route: &str) -> Self {
        Self(route.to_owned())
    }

    /// Returns a random route, or always the same one for a stem.
    pub(super) fn any(stem: Option<&Stem>) -> Self {
        Self(stem.map_or_else(|| format!("{:08x}", Uuid::new_v4().as_fields().0), |stem| stem.route().to_owned()))
    }

    pub(super) fn of_id(&self, id: &JobId) -> Result<JobId, Problem> {
        JobId::new(format!("{id}~{}", self.0)).map_err(|_| apart())
    }
}

pub(super) fn apart() -> Problem {
    Problem::unprocessable(
        "different-partitions",
        "the queue has several partitions, and jobs of different ids or keys may be in different ones, where all or none \
         can't be guaranteed: send only jobs of one key, or only jobs with neither `id` nor key, or send them one by one",
    )
}

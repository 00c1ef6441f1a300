//! Ids of jobs that are derived from an `Idempotency-Key`. A known job stays unchanged.

use tidegate_queue::JobId;

use tidegate_web::idempotency::IdempotencyKey;
use tidegate_web::problem::Problem;

/// The first part of the ids.
#[derive(Debug)]
pub(crate) struct Stem(String);

impl Stem {
    /// Returns the stem of the key in that queue.
    pub(super) fn of(key: &IdempotencyKey, queue: &str) -> Option<Self> {
        Self::within(key, &["job", queue])
    }

    /// The name of the key in that scope.
    pub(crate) fn within(key: &IdempotencyKey, scope: &[&str]) -> Option<Self> {
        key.within(scope).map(Self)
    }

    /// Returns the id of the only job.
    pub(crate) fn id(&self) -> Result<JobId, Problem> {
        self.named("")
    }

    /// Returns the id of one of several jobs.
    pub(super) fn id_of(&self, index: usize) -> Result<JobId, Problem> {
        self.named(&format!(".{index}"))
    }

    /// Eight hexadecimal digits.
    pub(super) fn route(&self) -> &str {
        self.0.get(..8).unwrap_or_default()
    }

    fn named(&self, rest: &str) -> Result<JobId, Problem> {
        JobId::new(format!("ik-{}{rest}", self.0)).map_err(|error| Problem::internal(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_job_of_a_bulk_has_an_id_of_its_own() {
        let stem = Stem("0123456789abcdef".to_owned());
        assert_ne!(stem.id_of(1).unwrap(), stem.id_of(2).unwrap());
        assert_eq!((stem.id().unwrap().as_str(), stem.route()), ("ik-0123456789abcdef", "01234567"));
    }
}

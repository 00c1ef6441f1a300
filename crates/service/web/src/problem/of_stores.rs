//! The problem for a failure of a store.

use std::error::Error;
use std::io;

use axum::http::StatusCode;
use tidegate_queue::{BrokerError, GroupRefusal};
use tidegate_store::StoreError;

use super::{JOB_STORE_FULL, OF_OURS, Problem};

const FULL_DETAIL: &str = "the job store is full; nothing was enqueued; try again later";
const UNKNOWN_DETAIL: &str = "the job store did not answer; the request may have been enqueued: repeat it with the same \
                              `Idempotency-Key`; without one, look for the job before you send it again";

impl Problem {
    /// A failure of the server: 503 if it may be temporary, otherwise 500. The cause goes to the
    /// log, not to the client.
    ///
    /// A full job store and an enqueue with an unknown outcome have types of their own.
    pub fn internal(error: &(dyn Error + 'static)) -> Self {
        if let Some(error) = of_job_store(error) {
            if error.is_full() {
                return Self::unavailable(JOB_STORE_FULL, FULL_DETAIL).caused_by(error);
            }
            if may_be_enqueued(error) {
                return Self::outcome_unknown(UNKNOWN_DETAIL).caused_by(error);
            }
        }
        if passes(error) {
            let detail = "a store is away, too busy or full; try again later";
            return Self::unavailable("unavailable", detail).caused_by(error);
        }
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", OF_OURS).caused_by(error)
    }
}

/// Whether the cause is a store that was busy or full.
fn passes(error: &(dyn Error + 'static)) -> bool {
    let is_full = |error: &io::Error| matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    error.downcast_ref().is_some_and(StoreError::is_transient)
        || error.downcast_ref().is_some_and(BrokerError::is_transient)
        || error.downcast_ref().is_some_and(is_full)
        || error.source().is_some_and(passes)
}

/// Returns the job store's error among the causes.
fn of_job_store<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a BrokerError> {
    error.downcast_ref().or_else(|| error.source().and_then(of_job_store))
}

/// Whether the error is that of an enqueue whose reply was lost: the job may be stored.
pub fn may_be_enqueued(error: &(dyn Error + 'static)) -> bool {
    let is_enqueue = |error: &BrokerError| matches!(error, BrokerError::Store { operation: "enqueue", .. });
    of_job_store(error).is_some_and(|error| error.may_have_run() && is_enqueue(error))
}

impl From<&StoreError> for Problem {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Exists { .. } => Self::conflict("exists", error.to_string()),
            StoreError::Full { .. } => Self::conflict("full", error.to_string()),
            StoreError::OutcomeUnknown(_) => {
                let detail = "the connection to the database was lost during a commit, so the change may have been made; \
                              check before you send the request again";
                Self::outcome_unknown(detail).caused_by(error)
            }
            StoreError::Gone(_) => {
                let detail = "the data directory was deleted, moved or replaced; an operator has to restart the server";
                Self::unavailable("unavailable", detail).caused_by(error)
            }
            other => Self::internal(other),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::from(&error)
    }
}

impl From<&BrokerError> for Problem {
    fn from(error: &BrokerError) -> Self {
        match error {
            BrokerError::Group(refusal @ GroupRefusal::Sealed(_)) => {
                Self::conflict("batch-sealed", format!("{refusal}: it takes no more jobs; nothing was enqueued"))
            }
            BrokerError::Group(refusal) => {
                Self::conflict("batch-elsewhere", format!("{refusal}; nothing was enqueued"))
            }
            other => Self::internal(other),
        }
    }
}

impl From<BrokerError> for Problem {
    fn from(error: BrokerError) -> Self {
        Self::from(&error)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header;
    use axum::response::IntoResponse;
    use serde_json::{Value, json};
    use tidegate_node::jobs::{FilesNotAdmitted, NotAdmitted};
    use tidegate_queue::{EnqueueError, GroupError, ScheduleError};

    use super::super::TRY_AGAIN_SECONDS;
    use super::*;

    fn broken(transient: bool) -> BrokerError {
        let source = "smoke in the disk".into();
        BrokerError::Store { operation: "enqueue", transient, may_have_run: false, source }
    }

    #[test]
    fn what_passes_is_unavailable_and_says_when_to_come_back() {
        let response = Problem::from(broken(true)).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], TRY_AGAIN_SECONDS);

        let response = Problem::from(broken(false)).into_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!response.headers().contains_key(header::RETRY_AFTER));
    }

    #[test]
    fn a_transient_cause_is_found_at_the_end_of_the_chain() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let enqueue = || EnqueueError::from(broken(true));
        let passing: [&(dyn Error + 'static); 8] = [
            &enqueue(),
            &full(),
            &tidegate_domain::spool::SpoolError::from(full()),
            &FilesNotAdmitted::from(enqueue()),
            &FilesNotAdmitted::from(broken(true)),
            &NotAdmitted::from(broken(true)),
            &GroupError::from(enqueue()),
            &ScheduleError::from(broken(true)),
        ];
        for error in passing {
            assert!(passes(error), "{error:?}");
        }
        let staying: [&(dyn Error + 'static); 3] =
            [&EnqueueError::from(broken(false)), &io::Error::other("broken"), &StoreError::CutOff];
        for error in staying {
            assert!(!passes(error), "{error:?}");
        }
    }

    fn told(error: &(dyn Error + 'static)) -> (StatusCode, Value) {
        let response = Problem::internal(error).retry_with_key(true).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], TRY_AGAIN_SECONDS);
        let body = response.extensions().get::<Problem>().unwrap().body("id", "trace");
        (response.status(), serde_json::from_slice(&body).unwrap())
    }

    #[test]
    fn a_full_job_store_is_a_problem_of_its_own() {
        let full = || BrokerError::Full { operation: "enqueue", source: "OOM".into() };
        let errors: [&(dyn Error + 'static); 3] =
            [&full(), &EnqueueError::from(full()), &FilesNotAdmitted::from(EnqueueError::from(full()))];
        for error in errors {
            let (status, body) = told(error);
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(body["type"], "urn:tidegate:problem:job-store-full");
            assert!(body["detail"].as_str().unwrap().contains("the job store is full"), "{body}");
        }
    }

    #[test]
    fn a_lost_reply_to_an_enqueue_is_not_reported_as_nothing_done() {
        let lost = |operation| {
            let source = "no reply".into();
            BrokerError::Store { operation, transient: true, may_have_run: true, source }
        };
        let errors: [&(dyn Error + 'static); 3] = [
            &lost("enqueue"),
            &EnqueueError::from(lost("enqueue")),
            &FilesNotAdmitted::from(EnqueueError::from(lost("enqueue"))),
        ];
        for error in errors {
            let (status, body) = told(error);
            assert_eq!(
                (status, &body["type"]),
                (StatusCode::SERVICE_UNAVAILABLE, &json!("urn:tidegate:problem:outcome-unknown"))
            );
            assert!(body["detail"].as_str().unwrap().contains("may have been enqueued"), "{body}");
            let without_key = Problem::internal(error).retry_with_key(false).into_response();
            assert!(!without_key.headers().contains_key(header::RETRY_AFTER), "it could be done twice");
        }
        assert_eq!(told(&lost("read job")).1["type"], "urn:tidegate:problem:unavailable", "a read changes nothing");
    }

    #[test]
    fn a_commit_of_unknown_outcome_is_not_to_be_repeated_blindly() {
        let error = StoreError::OutcomeUnknown(io::Error::other("the connection was reset").into());
        let response = Problem::from(error).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(!response.headers().contains_key(header::RETRY_AFTER), "it could be done twice");
    }

    #[test]
    fn the_cause_is_logged_and_not_sent_to_the_client() {
        for transient in [true, false] {
            let response = Problem::from(broken(transient)).into_response();
            let problem = response.extensions().get::<Problem>().unwrap();
            assert!(problem.cause().unwrap().contains("smoke in the disk"), "{problem:?}");
            let told = String::from_utf8(problem.body("id", "trace")).unwrap();
            assert!(!told.contains("smoke in the disk"), "{told}");
            assert!(told.contains("\"request_id\":\"id\"") && told.contains("\"trace_id\":\"trace\""), "{told}");
        }
        assert_eq!(Problem::not_found("nothing").cause(), None);
    }
}

//! `POST /api/queue/{queue}/jobs/bulk`: enqueues many jobs, all or none.

use std::collections::HashMap;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_perfmon::TraceContext;
use tidegate_queue::{JobId, NewJob, Stored};

use super::create::two_names;
use super::idempotency::Stem;
use super::known;
use super::new_job::{Draft, RawJob};
use super::route::{Route, apart};
use tidegate_web::app::App;
use tidegate_web::idempotency::{IdempotencyKey, REPLAYED, reused};
use tidegate_web::json::Json;
use tidegate_web::object::Object;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;

/// Maximum number of jobs per request. They take about 10 ms of the store's time, during which
/// others wait.
const MOST: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bulk {
    jobs: Vec<Object<RawJob>>,
}

pub(super) async fn create(
    State(app): State<App>,
    Path(queue): Path<String>,
    key: IdempotencyKey,
    Extension(trace): Extension<TraceContext>,
    Json(Bulk { jobs }): Json<Bulk>,
) -> Result<Response, Problem> {
    let queue = known(&queue)?;
    if !(1..=MOST).contains(&jobs.len()) {
        let detail = format!("`jobs` are 1 to {MOST}, not {}", jobs.len());
        return Err(Problem::unprocessable("bad-bulk", detail).with("limit", MOST));
    }
    let stem = Stem::of(&key, queue);
    let drafts = jobs.into_iter().enumerate().map(|(index, Object(raw))| {
        raw.check(queue).map_err(|faults| faults.problem(&prefix(index)).with("index", index))
    });
    let drafts: Vec<Draft> = drafts.collect::<Result<_, _>>()?;
    let maker = Maker {
        is_partitioned: app.node().broker.is_partitioned(),
        may_lie_apart: app.settings().queue.partitions > 1,
        stem: stem.as_ref(),
        trace,
    };
    let jobs = maker.jobs(&drafts)?;
    refuse_repeated_ids(&jobs)?;
    let ids: Vec<JobId> = jobs.iter().map(|job| job.id().clone()).collect();

    if let Some(stem) = &stem
        && is_repeated(&app, queue, stem, &ids, &drafts).await?
    {
        return Ok(([REPLAYED], answer(&ids, &[])).into_response());
    }
    let stored = app.node().broker.enqueue(queue, jobs).await;
    let stored = stored.map_err(|error| Problem::from(&error).retry_with_key(stem.is_some()))?;
    Ok(answer(&ids, &stored))
}

fn prefix(index: usize) -> String {
    format!("jobs[{index}].")
}

/// Creates jobs that are stored in one partition.
struct Maker<'a> {
    is_partitioned: bool,
    /// Whether queues have several partitions.
    may_lie_apart: bool,
    stem: Option<&'a Stem>,
    trace: TraceContext,
}

impl Maker<'_> {
    fn jobs(&self, drafts: &[Draft]) -> Result<Vec<NewJob>, Problem> {
        if !self.is_partitioned {
            return drafts.iter().enumerate().map(|at| self.job(at, None)).collect();
        }
        let placed = drafts.iter().enumerate().filter(|(_, draft)| draft.has_a_place());
        let mut routes = placed.map(|at| self.job(at, None).map(|job| Route::of(&job)));
        let route = match routes.next() {
            Some(first) => {
                let first = first?;
                if !routes.all(|route| route.is_ok_and(|route| route == first)) {
                    if self.may_lie_apart {
                        return Err(apart());
                    }
                    return drafts.iter().enumerate().map(|at| self.job(at, None)).collect();
                }
                first
            }
            None => Route::any(self.stem),
        };
        drafts.iter().enumerate().map(|at| self.job(at, Some(&route))).collect()
    }

    fn job(&self, (index, draft): (usize, &Draft), route: Option<&Route>) -> Result<NewJob, Problem> {
        let id = match (self.stem, draft.id.clone()) {
            (Some(_), Some(_)) => return Err(two_names().with("index", index)),
            (Some(stem), None) => Some(stem.id_of(index)?),
            (None, id) => id,
        };
        let id = match route {
            // A job with a fixed partition has a route.
            Some(route) if !draft.has_a_place() => Some(route.of_id(&id.unwrap_or_else(JobId::generate))?),
            _ => id,
        };
        let made = draft.job(id, self.trace, &prefix(index));
        made.map_err(|problem| problem.with("index", index))
    }
}

/// If two jobs had one id, one of them would be left out.
fn refuse_repeated_ids(jobs: &[NewJob]) -> Result<(), Problem> {
    let mut seen = HashMap::with_capacity(jobs.len());
    for (index, job) in jobs.iter().enumerate() {
        if let Some(first) = seen.insert(job.id(), index) {
            let detail = format!("`{}id` is that of `jobs[{first}]` too", prefix(index));
            return Err(Problem::unprocessable("invalid-fields", detail).with("index", index));
        }
    }
    Ok(())
}

/// Whether these same jobs were enqueued before.
///
/// # Errors
///
/// If other jobs were enqueued with the same key.
async fn is_repeated(app: &App, queue: &str, stem: &Stem, ids: &[JobId], drafts: &[Draft]) -> Result<bool, Problem> {
    let broker = &app.node().broker;
    let mut known = false;
    for id in [ids.first(), ids.last()].into_iter().flatten() {
        known |= broker.job(queue, id).await?.is_some();
    }
    if !known {
        return Ok(false);
    }
    for (id, draft) in ids.iter().zip(drafts) {
        // A job that is gone may have been a different one. In doubt nothing is enqueued.
        if !broker.job(queue, id).await?.is_some_and(|record| draft.describes(&record)) {
            return Err(reused());
        }
    }
    // If there is one more, these were only the first ones.
    let next = stem.id_of(ids.len())?;
    let next = match ids.first().and_then(|id| id.as_str().rsplit_once('~')) {
        Some((_, route)) => Route::from_text(route).of_id(&next)?,
        None => next,
    };
    if broker.job(queue, &next).await?.is_some() { Err(reused()) } else { Ok(true) }
}

/// Lists the ids in the order of the request. For a duplicate it is the id of the job that holds
/// its unique key.
fn answer(ids: &[JobId], stored: &[Stored]) -> Response {
    let mut ids: Vec<&JobId> = ids.iter().collect();
    let (mut known, mut duplicates) = (Vec::new(), Vec::<Value>::new());
    for (index, stored) in stored.iter().enumerate() {
        match stored {
            Stored::Existing => known.push(index),
            Stored::Duplicate(holder) => {
                duplicates.push(json!({"index": index, "held_by": holder}));
                ids[index] = holder;
            }
            Stored::New | Stored::Replaced(_) => {}
        }
    }
    (StatusCode::CREATED, axum::Json(json!({"ids": ids, "known": known, "duplicates": duplicates}))).into_response()
}

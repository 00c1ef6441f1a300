//! `POST /api/tenants/{id}/reindex`: reindexes all schedules of a tenant.

use axum::extract::{Request, State};
use axum::response::Response;
use tidegate_model::tenant::TenantId;
use tidegate_node::jobs::ReindexSchedules;
use tidegate_perfmon::TraceContext;
use tidegate_queue::{DEFAULT_PAYLOAD_LIMIT, EnqueueOptions, Job, NewJob, Stored, Unique};

use tidegate_web::answer::accepted;
use tidegate_web::app::App;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;

/// Responds with the job that does it. A tenant has at most one at a time.
pub(super) async fn create(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let missing = || Problem::not_found(format!("there is no tenant `{}`", id.chars().take(64).collect::<String>()));
    let tenant: TenantId = id.parse().map_err(|_| missing())?;
    app.node().store.tenant(&tenant).await?.ok_or_else(missing)?;
    let options = EnqueueOptions::new().unique(Unique::new(format!("reindex:{tenant}")));
    let options = match request.extensions().get::<TraceContext>() {
        Some(trace) => options.trace_parent(trace.to_string()),
        None => options,
    };
    let job = NewJob::of(&ReindexSchedules { tenant }, options, DEFAULT_PAYLOAD_LIMIT)
        .map_err(|error| Problem::internal(&error))?;
    // Read before the enqueue, so that a response with an unknown outcome can name the job.
    let job_id = job.id().clone();
    let location = format!("/api/queue/{}/jobs/{job_id}", ReindexSchedules::QUEUE);
    match app.producer().enqueue_batch(ReindexSchedules::QUEUE, vec![job]).await {
        Ok(stored) => match stored.first() {
            Some((_, Stored::Duplicate(held_by))) => {
                let detail = format!("the job `{held_by}` reindexes this tenant already");
                Err(Problem::conflict("duplicate", detail).with("held_by", held_by.as_str()))
            }
            _ => Ok(accepted(&job_id, location)),
        },
        Err(error) if error.may_have_run() => {
            let detail = "the job store did not answer; the job may have been enqueued: look for it at `location` before you \
                          send the request again";
            Err(Problem::outcome_unknown(detail).caused_by(&error).of_job(&job_id, location))
        }
        Err(error) => Err(Problem::internal(&error)),
    }
}

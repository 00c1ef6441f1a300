//! `/api/schedules/import`: files of schedules, received here and read by a job.

pub(super) mod operations;
mod view;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tidegate_domain::import::{Format, HeaderCheck, HeaderError};
use tidegate_domain::spool::{Received, SpoolError, Upload, UploadLimits};
use tidegate_node::jobs::{ImportSchedules, NotAdmitted, Ticket};
use tidegate_perfmon::TraceContext;
use tidegate_queue::{DEFAULT_PAYLOAD_LIMIT, EnqueueOptions, Job, JobId, JobRecord, JobState, NewJob, Stored};
use tidegate_store::{RejectedLine, Store};

use crate::routes::queues::Stem;
use tidegate_web::answer;
use tidegate_web::app::App;
use tidegate_web::body;
use tidegate_web::caller::Caller;
use tidegate_web::idempotency::{IdempotencyKey, REPLAYED, reused};
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;
use view::ImportView;

/// Number of rejected lines that are read at a time while the rejects file is sent.
const REJECTS_AT_A_TIME: u32 = 500;

/// Receives the file and responds with the job that will read it.
pub(super) async fn create(State(app): State<App>, caller: Caller, request: Request) -> Result<Response, Problem> {
    let format = format_of(&request)?;
    body::ensure_not_encoded(request.headers())?;
    let trace = request.extensions().get::<TraceContext>().map(ToString::to_string);
    let settings = app.settings();
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|bytes: u64| bytes > settings.http.max_import) {
        return Err(Problem::too_large(settings.http.max_import));
    }
    let node = app.node();
    let key = IdempotencyKey::of(request.headers())?;
    let id = match Stem::within(&key, &["import", caller.tenant.id.as_str()]) {
        Some(stem) => stem.id()?,
        None => JobId::generate(),
    };
    let location = format!("/api/schedules/import/{id}");
    if key.is_some()
        && let Some(record) = node.broker.job(ImportSchedules::QUEUE, &id).await?
    {
        return repeated(&record, format, announced, location);
    }
    let most = settings.queue.import_max_pending;
    let ticket = Ticket::take(&node.store, &node.spool, &*node.broker, &caller.tenant.id, most, id)
        .await
        .map_err(|error| not_admitted(&error))?;
    let ticket = if key.is_some() { ticket.repeatable() } else { ticket };
    let limits = UploadLimits {
        bytes: settings.http.max_import,
        stall: settings.http.request_timeout,
        total: settings.http.upload_timeout,
    };
    let pieces = request.into_body().into_data_stream();
    let received = node.spool.receive(ticket.upload(), pieces, HeaderCheck::new(format), limits).await;
    let ticket = ticket.keep();
    let id = ticket.id();
    let Received { bytes, file } = match received {
        Ok(received) => received,
        Err(error) => {
            ticket.give_back(&node.store, &node.spool).await;
            return Err(not_kept(&error));
        }
    };
    let job = ImportSchedules { tenant: caller.tenant.id.clone(), format, bytes, file };
    let options = EnqueueOptions::new().id(id.clone());
    let options = match trace {
        Some(trace) => options.trace_parent(trace),
        None => options,
    };
    let enqueue = async {
        let new_job = NewJob::of(&job, options, DEFAULT_PAYLOAD_LIMIT)?;
        app.producer().enqueue_batch(ImportSchedules::QUEUE, vec![new_job]).await
    };
    match enqueue.await {
        Ok(stored) => {
            // Another request with the key may have enqueued the job while this one sent its file.
            let is_known = stored.iter().any(|(_, stored)| *stored == Stored::Existing);
            if is_known && let Some(record) = node.broker.job(ImportSchedules::QUEUE, id).await? {
                return second(&app, &record, &job, ticket.upload(), location).await;
            }
            Ok(answer::accepted(id, location))
        }
        Err(error) => {
            let problem = Problem::internal(&error).retry_with_key(key.is_some());
            if error.may_have_run() {
                // The job may be stored, and would read the upload: both it and the place are kept.
                // Without a job they are swept.
                return Err(problem.of_job(id, location));
            }
            ticket.give_back(&node.store, &node.spool).await;
            Err(problem)
        }
    }
}

/// Responds to a request whose file came second: the job reads the file of another request with the
/// same key.
async fn second(
    app: &App,
    record: &JobRecord,
    job: &ImportSchedules,
    upload: &Upload,
    location: String,
) -> Result<Response, Problem> {
    let first: ImportSchedules = serde_json::from_str(&record.payload).map_err(|error| Problem::internal(&error))?;
    if first.file != job.file
        && let Err(error) = app.node().spool.remove(upload).await
    {
        tracing::warn!(%error, upload = %record.id, "an upload that no job reads can't be removed; the sweep will do it");
    }
    if let (Some(first), Some(file)) = (&first.file, &job.file)
        && first.sha256 != file.sha256
    {
        return Err(reused());
    }
    repeated(record, job.format, Some(job.bytes), location)
}

/// The answer to a request whose `Idempotency-Key` has made an import already. The body is not
/// read.
fn repeated(record: &JobRecord, format: Format, bytes: Option<u64>, location: String) -> Result<Response, Problem> {
    let first: ImportSchedules = serde_json::from_str(&record.payload).map_err(|error| Problem::internal(&error))?;
    if first.format != format || bytes.is_some_and(|bytes| bytes != first.bytes) {
        return Err(closing(reused()));
    }
    Ok(([REPLAYED, (header::CONNECTION, HeaderValue::from_static("close"))], answer::accepted(&record.id, location))
        .into_response())
}

/// Returns the progress of the tenant's import, and in the end its result.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<ImportView>, Problem> {
    let job = find(&app, &caller, &id).await?;
    // Only for a dead job: one that runs again may still have the reason of its last end.
    let failed = match job.state {
        JobState::Dead => app.node().store.failed_import(job.id.as_str(), &caller.tenant.id).await?,
        _ => None,
    };
    Ok(axum::Json(ImportView::new(job, failed)))
}

/// Streams all rejected lines as CSV.
pub(super) async fn rejects(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let job = find(&app, &caller, &id).await?;
    let store = app.node().store.clone();
    let id = job.id.as_str().to_owned();
    let lines = stream::try_unfold(0, move |after| {
        let (store, id) = (store.clone(), id.clone());
        async move { next_rejects(&store, &id, after).await }
    });
    let heading = stream::once(async { Ok("line,reason\n".to_owned()) });
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"rejects.csv\""),
        (header::CACHE_CONTROL, "private, no-store"),
    ];
    Ok((headers, Body::from_stream(heading.chain(lines).into_stream())).into_response())
}

async fn next_rejects(
    store: &Store,
    id: &str,
    after: u64,
) -> Result<Option<(String, u64)>, tidegate_store::StoreError> {
    let rejects = store.rejected_lines(id, after, REJECTS_AT_A_TIME).await?;
    let Some(last) = rejects.last().map(|reject| reject.line) else { return Ok(None) };
    Ok(Some((rejects.iter().map(csv_line).collect(), last)))
}

fn csv_line(reject: &RejectedLine) -> String {
    format!("{},\"{}\"\n", reject.line, reject.reason.replace('"', "\"\""))
}

/// Returns the tenant's import with that id. Another tenant's import is reported as not found.
async fn find(app: &App, caller: &Caller, id: &str) -> Result<JobRecord, Problem> {
    let missing = || Problem::not_found(format!("there is no import `{id}`"));
    let job = JobId::new(id).map_err(|_| missing())?;
    let record = app.node().broker.job(ImportSchedules::QUEUE, &job).await?;
    let record = record.filter(|record| record.kind == ImportSchedules::KIND).ok_or_else(missing)?;
    let payload: ImportSchedules = serde_json::from_str(&record.payload).map_err(|error| Problem::internal(&error))?;
    if payload.tenant == caller.tenant.id { Ok(record) } else { Err(missing()) }
}

fn format_of(request: &Request) -> Result<Format, Problem> {
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
    match essence.to_ascii_lowercase().as_str() {
        "text/csv" => Ok(Format::Csv),
        "application/x-ndjson" => Ok(Format::Ndjson),
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "the file must be sent as `text/csv` or `application/x-ndjson`",
        )),
    }
}

fn bad_header(error: &HeaderError) -> Problem {
    Problem::unprocessable("bad-header", error.to_string())
}

fn not_admitted(error: &NotAdmitted) -> Problem {
    match error {
        NotAdmitted::TooMany { .. } => {
            closing(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-imports", error.to_string()))
                .try_again_later()
        }
        NotAdmitted::Store(error) => Problem::from(error),
        NotAdmitted::Queue(error) => Problem::from(error),
        other => Problem::internal(other),
    }
}

fn not_kept(error: &SpoolError) -> Problem {
    match error {
        SpoolError::TooLarge { limit } => Problem::too_large(*limit),
        SpoolError::Stalled { .. } => closing(Problem::new(StatusCode::REQUEST_TIMEOUT, "stalled", error.to_string())),
        SpoolError::TooSlow { .. } | SpoolError::Dribbles(_) => Problem::too_slow(error.to_string()),
        SpoolError::Header(error) => closing(bad_header(error)),
        SpoolError::Taken => reused(),
        SpoolError::BrokeOff { .. } => Problem::bad_request("body-broke-off", error.to_string()),
        SpoolError::Files(files) if files.is_transient() => {
            let detail = "the bucket of uploads is away, busy or full; nothing was enqueued; send the file again later";
            closing(Problem::unavailable("unavailable", detail)).caused_by(error)
        }
        other => Problem::internal(other),
    }
}

/// The rest of the body is not read, so the connection can't be used again.
fn closing(problem: Problem) -> Problem {
    problem.header(header::CONNECTION, HeaderValue::from_static("close"))
}

//! `/api/files/{id}`: streams a file that a job has created for a tenant.

pub(super) mod operations;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::TryStreamExt;
use tidegate_domain::files::{FileId, FilesError};
use tidegate_store::StoredFile;

use tidegate_web::app::App;
use tidegate_web::caller::Caller;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;
use tidegate_web::representation::IfNoneMatch;

/// A browser that opens the file nevertheless runs nothing in it, and gives it no origin.
const SANDBOX: HeaderValue = HeaderValue::from_static("sandbox; default-src 'none'; frame-ancestors 'none'");

/// Returns the tenant's file. Another tenant's file is reported as not found.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    known: IfNoneMatch,
) -> Result<Response, Problem> {
    let missing = || Problem::not_found(format!("there is no file `{id}`"));
    let id: FileId = id.parse().map_err(|_| missing())?;
    let node = app.node();
    let file = node.store.file(&caller.tenant.id, id).await?.ok_or_else(missing)?;
    let etag = format!("\"{}\"", file.content.sha256);
    let mut response = if known.has(&etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let (_, pieces) = node.files.read(&file.at).await.map_err(|error| not_read(&error, missing))?;
        // The head is already sent. The client sees fewer bytes than the announced length.
        let pieces = pieces
            .inspect_err(move |error| tracing::error!(%error, file = %id, "reading a file failed during its download"));
        content(&file, Body::from_stream(pieces))?
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, HeaderValue::try_from(etag).map_err(|error| Problem::internal(&error))?);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("authorization, x-tenant-id"));
    headers.insert(header::CONTENT_SECURITY_POLICY, SANDBOX);
    Ok(response)
}

fn content(file: &StoredFile, body: Body) -> Result<Response, Problem> {
    let mut response = Response::new(body);
    let text = |text: &str| HeaderValue::try_from(text).map_err(|error| Problem::internal(&error));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, text(&file.content_type)?);
    // The service chose the name: letters, digits, hyphens and a dot.
    headers.insert(header::CONTENT_DISPOSITION, text(&format!("attachment; filename=\"{}\"", file.name))?);
    headers.insert(header::CONTENT_LENGTH, file.content.bytes.into());
    Ok(response)
}

fn not_read(error: &FilesError, missing: impl FnOnce() -> Problem) -> Problem {
    if error.is_missing() {
        // The database was restored elsewhere, or an operator deleted the file.
        tracing::warn!(%error, "a row names a file that does not exist");
        return missing();
    }
    if error.is_transient() {
        return Problem::unavailable("unavailable", "the file can't be read now").caused_by(error);
    }
    Problem::internal(error)
}

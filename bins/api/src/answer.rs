//! Responses to requests that created something.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use tidegate_model::tenant::ApiKey;
use tidegate_queue::JobId;

pub(crate) fn accepted(job: &JobId, location: String) -> Response {
    let body = json!({"job_id": job, "location": location});
    at(location, (StatusCode::ACCEPTED, axum::Json(body)).into_response())
}

pub(crate) fn created(made: &impl Serialize, location: String) -> Response {
    at(location, (StatusCode::CREATED, axum::Json(made)).into_response())
}

/// Builds the response with the new object and its key, which is shown only once.
pub(crate) fn created_with_key(mut made: Value, key: &ApiKey, location: String) -> Response {
    made["api_key"] = key.expose().into();
    let mut response = created(&made, location);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn at(location: String, mut response: Response) -> Response {
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

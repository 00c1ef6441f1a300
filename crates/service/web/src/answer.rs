//! Responses to requests that created something.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tidegate_model::tenant::ApiKey;
use tidegate_queue::JobId;

/// A job that will do what was requested.
#[derive(Serialize, JsonSchema)]
pub struct Accepted<'a> {
    /// The new job.
    #[schemars(with = "String")]
    pub job_id: &'a JobId,
    /// Path of the job's status.
    pub location: &'a str,
}

/// All items of a collection that has only one page.
#[derive(Serialize, JsonSchema)]
pub struct OnlyPage<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

impl<T> OnlyPage<T> {
    /// A list of all items.
    pub const fn of(items: Vec<T>) -> Self {
        Self { items, next_cursor: None }
    }
}

/// 202 with the id of the job and the path of its status.
pub fn accepted(job: &JobId, location: String) -> Response {
    let body = axum::Json(Accepted { job_id: job, location: &location });
    let response = (StatusCode::ACCEPTED, body).into_response();
    at(location, response)
}

/// 201 with the new item and its path.
pub fn created(made: &impl Serialize, location: String) -> Response {
    at(location, (StatusCode::CREATED, axum::Json(made)).into_response())
}

/// Builds the response with the new object and its key, which is shown only once.
pub fn created_with_key(mut made: Value, key: &ApiKey, location: String) -> Response {
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

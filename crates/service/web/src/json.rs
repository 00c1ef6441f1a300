//! JSON bodies, parsed strictly: the right type, within the size limit, no unknown fields.

use axum::extract::{FromRequest, Request};
use axum::http::header;
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::body;
use crate::object::Object;
use crate::problem::Problem;

/// A JSON body of type `T`, which denies unknown fields itself.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        if !is_json(&request) {
            return Err(Problem::new(
                axum::http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "the body must be JSON, with `Content-Type: application/json`",
            ));
        }
        body::ensure_not_encoded(request.headers())?;
        read(request, app.settings().http.max_body).await.map(Self)
    }
}

fn is_json(request: &Request) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|text| text.split(';').next()).map(str::trim);
    essence.is_some_and(|essence| {
        essence.eq_ignore_ascii_case("application/json") || essence.to_ascii_lowercase().ends_with("+json")
    })
}

async fn read<T: DeserializeOwned>(request: Request, limit: usize) -> Result<T, Problem> {
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|bytes: u64| bytes > limit as u64) {
        return Err(Problem::too_large(limit as u64));
    }
    let body = body::read(request.into_body(), limit).await?;
    let read = serde_json::from_slice(&body).map(|Object(value)| value);
    read.map_err(|error| {
        let kind = if error.is_data() { "unexpected-json" } else { "malformed-json" };
        Problem::bad_request(kind, format!("the body can't be read: {error}"))
    })
}

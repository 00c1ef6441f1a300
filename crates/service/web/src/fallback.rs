//! Responses to requests without a matching route.

use axum::extract::Request;
use axum::http::StatusCode;

use crate::problem::Problem;

/// 404 for a path without a route.
pub async fn unknown(request: Request) -> Problem {
    Problem::not_found(format!("there is nothing at {}", request.uri().path()))
}

/// Responds to a method that a route does not have.
pub async fn wrong_method(request: Request) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        format!("{} does not answer {}", request.uri().path(), request.method()),
    )
}

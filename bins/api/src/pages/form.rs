//! Forms, parsed as strictly as JSON, and accepted only from the dashboard's own pages.

use std::str::FromStr;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

use super::layout::Frame;
use tidegate_web::app::App;
use tidegate_web::body;
use tidegate_web::dashboard_session::{Role, form_token::is_own};
use tidegate_web::origin::is_same_origin;
use tidegate_web::problem::Problem;

/// A form of type `T`, which denies unknown fields itself, from one of the dashboard's pages.
pub(super) struct Form<T>(pub(super) T);

pub(super) trait Signed {
    /// Maximum size in bytes. Most forms have only a few fields.
    const LONGEST: usize = 16 * 1024;

    /// The hidden field `form`.
    fn form(&self) -> &str;
}

impl<T: DeserializeOwned + Signed> FromRequest<App> for Form<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        if !is_same_origin(request.headers()) {
            return Err(Problem::forbidden("the form was sent from another site"));
        }
        body::ensure_not_encoded(request.headers())?;
        let (mut parts, body) = request.into_parts();
        let body = body::read(body, T::LONGEST).await?;
        // The length is known now, and differs from the announced one.
        parts.headers.remove(header::CONTENT_LENGTH);
        let headers = parts.headers.clone();
        let request = Request::from_parts(parts, Body::from(body));
        let axum::Form(form) = axum::Form::<T>::from_request(request, app).await.map_err(|error| {
            let status = error.status();
            let kind = if status == StatusCode::UNSUPPORTED_MEDIA_TYPE { "unsupported-media-type" } else { "bad-form" };
            Problem::new(status, kind, error.body_text())
        })?;
        if !is_own(app.pages_key(), &headers, form.form()) {
            let detail = "the form is not one of this dashboard, or too old; load the page again and send it anew";
            return Err(Problem::forbidden(detail));
        }
        Ok(Self(form))
    }
}

/// A form that makes a change, from a visitor who is permitted to.
pub(super) struct Change<T> {
    pub(super) wanted: T,
    /// Frame of the response.
    pub(super) frame: Frame,
}

impl<T: DeserializeOwned + Signed> FromRequest<App> for Change<T> {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let frame = Frame::from_request_parts(&mut parts, app).await?;
        if frame.visitor.role != Role::Admin {
            let problem = Problem::forbidden("this session only reads; log in with the admin token to change things");
            return Err(problem.into_response());
        }
        let form = Form::from_request(Request::from_parts(parts, body), app).await;
        let Form(wanted) = form.map_err(IntoResponse::into_response)?;
        Ok(Self { wanted, frame })
    }
}

/// Reads a whole number from a field. Forms hold texts, so that a bad number can be shown again.
pub(super) fn number<T: FromStr>(field: &str, typed: &str) -> Result<T, Problem> {
    typed.trim().parse().map_err(|_| {
        let shown: String = typed.chars().take(64).collect();
        Problem::unprocessable("bad-form", format!("`{field}` is a whole number, not `{shown}`"))
    })
}

/// Defines the form of a struct whose fields serde parses, with the hidden field beside them.
macro_rules! signed {
    ($($name:ident),+) => {
        $(impl $crate::pages::form::Signed for $name {
            fn form(&self) -> &str {
                &self.form
            }
        })+
    };
}
pub(super) use signed;

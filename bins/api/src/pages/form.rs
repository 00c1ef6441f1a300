//! Forms: read as strictly as JSON, and only from our own pages.

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use serde::de::DeserializeOwned;

use super::session;
use crate::app::App;
use crate::body;
use crate::problem::Problem;

/// Longest form in bytes; none of ours holds more than a few fields.
const MAX_FORM: usize = 16 * 1024;

/// A form of type `T`, which denies unknown fields itself, from one of our own pages.
pub(super) struct Form<T>(pub(super) T);

/// What each form holds.
pub(super) trait Signed {
    /// The hidden field `form`.
    fn form(&self) -> &str;
}

impl<T: DeserializeOwned + Signed> FromRequest<App> for Form<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        if !is_same_origin(request.headers()) {
            return Err(Problem::forbidden("the form was sent from another site"));
        }
        let (mut parts, body) = request.into_parts();
        let body = body::read(body, MAX_FORM).await?;
        // Its length is known now, and no longer that which was announced.
        parts.headers.remove(header::CONTENT_LENGTH);
        let headers = parts.headers.clone();
        let request = Request::from_parts(parts, axum::body::Body::from(body));
        let axum::Form(form) = axum::Form::<T>::from_request(request, app).await.map_err(|error| {
            let status = error.status();
            let kind = if status == StatusCode::UNSUPPORTED_MEDIA_TYPE { "unsupported-media-type" } else { "bad-form" };
            Problem::new(status, kind, error.body_text())
        })?;
        if !session::is_own(app.pages_key(), &headers, form.form()) {
            let detail = "the form is not one of this dashboard, or too old; load the page again and send it anew";
            return Err(Problem::forbidden(detail));
        }
        Ok(Self(form))
    }
}

/// What the browser says of where a form comes from. What says nothing is no browser, or an old one, and has the token to show.
fn is_same_origin(headers: &HeaderMap) -> bool {
    // No page can forge it, and no proxy changes it as some do the host.
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let authority = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok()?.into_parts().authority);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    authority.zip(host).is_some_and(|(origin, host)| origin.as_str().eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_what_comes_from_here_is_of_the_same_origin() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            let host = (header::HOST, HeaderValue::from_static("tide.example:8080"));
            let pairs = pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
            is_same_origin(&pairs.chain([host]).collect())
        };
        assert!(of(&[]));
        assert!(of(&[("origin", "https://tide.example:8080")]));
        assert!(of(&[("sec-fetch-site", "same-origin"), ("origin", "https://elsewhere.example")]));
        for foreign in
            ["https://evil.example", "null", "https://tide.example", "https://tide.example:8080.evil.example"]
        {
            assert!(!of(&[("origin", foreign)]), "{foreign}");
        }
        for site in ["cross-site", "same-site", "none"] {
            assert!(!of(&[("sec-fetch-site", site)]), "{site}");
        }
    }
}

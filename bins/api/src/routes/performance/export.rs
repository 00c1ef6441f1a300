//! An export of everything as a file.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::csv;
use super::query::{CheckedQuery, Format};
use super::sections::Sections;
use tidegate_web::problem::Problem;

/// One JSON document, or all tables in the long form of [`csv::answer_long`].
pub(super) fn show(query: &CheckedQuery, sections: &Sections) -> Result<Response, Problem> {
    let (mut response, disposition) = match query.format {
        Format::Json => {
            let document = json!({
                "taken_at": tidegate_base::clock::now(),
                "window_seconds": query.span.seconds(),
                "sections": sections.json(query.limit),
            });
            (axum::Json(document).into_response(), "attachment; filename=\"tidegate-performance.json\"")
        }
        Format::Csv => {
            (csv::answer_long(sections.tables(query.limit))?, "attachment; filename=\"tidegate-performance.csv\"")
        }
    };
    response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(disposition));
    Ok(response)
}

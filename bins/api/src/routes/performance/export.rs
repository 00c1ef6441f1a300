//! An export of everything as a file.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::asked::{Asked, Format};
use super::csv;
use super::sections::Sections;
use tidegate_web::problem::Problem;

/// One JSON document, or all tables in the long form of [`csv::answer_long`].
pub(super) fn show(asked: &Asked, sections: &Sections) -> Result<Response, Problem> {
    let (mut response, disposition) = match asked.format {
        Format::Json => {
            let document = json!({
                "taken_at": tidegate_base::clock::now(),
                "window_seconds": asked.span.seconds(),
                "sections": sections.json(asked.limit),
            });
            (axum::Json(document).into_response(), "attachment; filename=\"tidegate-performance.json\"")
        }
        Format::Csv => {
            (csv::answer_long(sections.tables(asked.limit))?, "attachment; filename=\"tidegate-performance.csv\"")
        }
    };
    response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(disposition));
    Ok(response)
}

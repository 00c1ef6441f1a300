//! `/api/performance`: the latency of routes, the health verdict, and the sections of the node's
//! parts.

pub(super) mod actions;
mod builtin;
mod csv;
mod export;
mod flat;
pub(super) mod operations;
mod overview;
mod query;
mod sections;
pub(crate) mod silences;
mod sort;
mod span;

use axum::extract::State;
use axum::response::{IntoResponse, Response};

pub(crate) use self::query::PerformanceQuery;
use self::query::{CheckedQuery, EXPORT, Format};
use self::sections::Sections;
use tidegate_web::app::App;
use tidegate_web::problem::Problem;
use tidegate_web::query::Query;

/// Returns the section that `type` names, or an overview without one.
pub(super) async fn show(State(app): State<App>, Query(query): Query<PerformanceQuery>) -> Result<Response, Problem> {
    let query = query.check()?;
    let telemetry = &app.node().telemetry;
    let begun = telemetry.registry().now();
    let shown = render(&app, &query);
    telemetry.operations().performance.record(telemetry.registry().now().saturating_sub(begun));
    shown
}

/// Exports everything as a file. The caller has checked the permission.
pub(crate) fn export_all(app: &App, query: PerformanceQuery) -> Result<Response, Problem> {
    let query = query.of_everything().check()?;
    export::show(&query, &Sections::of(app, &query))
}

fn render(app: &App, query: &CheckedQuery) -> Result<Response, Problem> {
    let sections = Sections::of(app, query);
    match query.what.as_deref() {
        None => overview::show(app, query, &sections),
        Some(EXPORT) => export::show(query, &sections),
        Some(name) => {
            let section = sections.find(name)?;
            match query.format {
                Format::Json => Ok(axum::Json(section.json(query.limit)).into_response()),
                Format::Csv => csv::answer(&sections::table(section, query.limit)),
            }
        }
    }
}

//! `/api/performance`: the routes' latency, the verdict, and the sections of the node's parts.

pub(super) mod actions;
mod asked;
mod builtin;
mod csv;
mod export;
mod flat;
pub(super) mod operations;
mod overview;
mod sections;
pub(crate) mod silences;
mod sort;
mod span;

use axum::extract::State;
use axum::response::{IntoResponse, Response};

pub(crate) use self::asked::PerformanceQuery;
use self::asked::{Asked, EXPORT, Format};
use self::sections::Sections;
use crate::app::App;
use crate::problem::Problem;
use crate::query::Query;

/// Answers with the section that `type` names; without one, with an overview.
pub(super) async fn show(State(app): State<App>, Query(query): Query<PerformanceQuery>) -> Result<Response, Problem> {
    let asked = query.check()?;
    let telemetry = &app.node().telemetry;
    let begun = telemetry.registry().now();
    let shown = render(&app, &asked);
    telemetry.operations().performance.record(telemetry.registry().now().saturating_sub(begun));
    shown
}

/// Everything as a file, to who may see it.
pub(crate) fn export_all(app: &App, query: PerformanceQuery) -> Result<Response, Problem> {
    let asked = query.of_everything().check()?;
    export::show(&asked, &Sections::of(app, &asked))
}

fn render(app: &App, asked: &Asked) -> Result<Response, Problem> {
    let sections = Sections::of(app, asked);
    match asked.what.as_deref() {
        None => overview::show(app, asked, &sections),
        Some(EXPORT) => export::show(asked, &sections),
        Some(name) => {
            let section = sections.find(name)?;
            match asked.format {
                Format::Json => Ok(axum::Json(section.json(asked.limit)).into_response()),
                Format::Csv => csv::answer(&sections::table(section, asked.limit)),
            }
        }
    }
}

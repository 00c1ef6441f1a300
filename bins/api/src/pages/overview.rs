//! The overview: health and its reasons, firing alerts, advice, and all endpoints.

pub(super) mod alerts;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;
use tidegate_perfmon::Window;

use super::again::Again;
use super::flash::Flash;
use super::here::Here;
use super::layout::{Frame, Page};
use super::live::{self, Figures};
use super::section::items;
use super::{chart, text};
use tidegate_web::app::App;
use tidegate_web::query::Query;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OverviewQuery {
    said: Option<String>,
}

pub(super) async fn show(State(app): State<App>, Query(query): Query<OverviewQuery>, frame: Frame) -> Response {
    page(&app, &query, &frame, &Again::default())
}

/// Renders the page, with the form that was refused.
fn page(app: &App, query: &OverviewQuery, frame: &Frame, again: &Again) -> Response {
    let figures = Figures::take(app);
    let firing = alerts::show(frame.may_change().then_some(frame), &figures.firing, &figures.silences, again);
    let body = html! {
        (verdict(app, &figures))
        (requests(&figures))
        section.card data-part="endpoints" aria-labelledby="endpoints" { (endpoints(&figures)) }
        section.card data-part="heat" aria-labelledby="heat" {
            div.head { h2 #heat { "Latency of all requests" } span.note { "Last 60 minutes, in 12 latency ranges" } }
            (chart::heat_map(&app.node().telemetry.registry().slots(None, Window::Minutes(60))))
        }
        div.columns {
            section.card data-part="alerts" aria-labelledby="alerts" { h2 #alerts { "Alerts firing" } (firing) }
            section.card data-part="advice" aria-labelledby="advice" { h2 #advice { "Advice" } (advice(app)) }
        }
    };
    let flash = Flash::of(query.said.as_deref(), None, None);
    again.answer(
        Page::of(Here::Overview).streamed(figures.parts).saying(flash).refusing(again.untold()).show(frame, &body),
    )
}

fn verdict(app: &App, figures: &Figures) -> Markup {
    let report = app.node().telemetry.health();
    html! {
        section.card aria-labelledby="health" {
            div.verdict {
                div {
                    h2 #health { "Health" }
                    div.score { span data-live="score" { (figures.text("score")) } small data-live="of" { (figures.text("of")) } }
                    div.state data-live="health" data-live-state="health" data-state=(figures.state("health")) { (figures.text("health")) }
                }
                div data-part="why" {
                    h2 { "Reasons" }
                    @if let Some(hint) = waiting(app) { p.note { (hint) } }
                    ul.reasons {
                        @match &report {
                            Some(report) => @for reason in &report.reasons { li { (reason.message) } },
                            None => li { "No health check has run in the last seconds." },
                        }
                    }
                }
            }
        }
    }
}

/// Explains why there is no verdict yet, if there have been too few requests.
fn waiting(app: &App) -> Option<String> {
    let (telemetry, needed) = (&app.node().telemetry, app.settings().performance.health.min_samples);
    let count = telemetry.registry().overall(live::WINDOW).count;
    (count < needed).then(|| {
        format!("Not enough traffic yet to judge errors and latency: {count} requests in 5 minutes, {needed} needed.")
    })
}

fn requests(figures: &Figures) -> Markup {
    let figure = |label: &str, name: &str| {
        html! { div { dt { (label) } dd data-live=(name) data-live-state=(name) data-state=(figures.state(name)) { (figures.text(name)) } } }
    };
    let plain = |label: &str, name: &str| html! { div { dt { (label) } dd data-live=(name) { (figures.text(name)) } } };
    html! {
        section.card aria-label="All requests, last 5 minutes" {
            dl.figures {
                (plain("Requests", "rate"))
                (figure("Errors", "errors"))
                (plain("P50", "p50"))
                (plain("P95", "p95"))
                (plain("P99", "p99"))
                (plain("In flight", "in-flight"))
                (figure("Alerts firing", "alerts"))
                div { dt { "Requests, last 60 s" } dd.small { (chart::sparkline("all", "all endpoints", figures.points("all"), figures.text("peak all"))) } }
            }
        }
    }
}

fn endpoints(figures: &Figures) -> Markup {
    html! {
        div.head { h2 #endpoints { "Endpoints" } span.note { "Last 5 minutes; the lines show the last 60 s" } }
        @if figures.endpoints.is_empty() {
            p.none { "No requests in the last 5 minutes." }
        } @else {
            table.stack role="table" {
                caption.visually-hidden { "Rate, errors and latency of each endpoint; a dash means fewer than " (text::FEW) " requests" }
                thead role="rowgroup" {
                    tr role="row" {
                        th scope="col" role="columnheader" { "Endpoint" }
                        th.number scope="col" role="columnheader" { "Rate" }
                        th.number scope="col" role="columnheader" { "Errors" }
                        th.number scope="col" role="columnheader" { "P50" }
                        th.number scope="col" role="columnheader" { "P99" }
                        th.line scope="col" role="columnheader" { "Last 60 s" }
                    }
                }
                tbody role="rowgroup" {
                    @for (method, route) in &figures.endpoints {
                        @let key = live::key(method, route);
                        @let cell = |label: &str, figure: &str| {
                            let name = format!("{figure} {key}");
                            html! { td.number role="cell" data-label=(label) { span data-live=(name) { (figures.text(&name)) } } }
                        };
                        @let errors = format!("errors {key}");
                        tr role="row" {
                            th scope="row" role="rowheader" { span.method { (method) } " " code { (route) } }
                            (cell("Rate", "rate"))
                            td.number role="cell" data-label="Errors" {
                                span data-live=(errors) data-live-state=(errors) data-state=(figures.state(&errors)) { (figures.text(&errors)) }
                            }
                            (cell("P50", "p50"))
                            (cell("P99", "p99"))
                            td.line role="cell" data-label="Last 60 s" { (chart::sparkline(&key, &key, figures.points(&key), figures.text(&format!("peak {key}")))) }
                        }
                    }
                }
            }
        }
    }
}

fn advice(app: &App) -> Markup {
    let told = live::advice(app);
    let items = items(&told, "items");
    html! {
        @if items.is_empty() {
            p.none { "None: the last 35 minutes give no reason for a change." }
        } @else {
            ul.items {
                @for item in items {
                    li {
                        p { (said(&item["text"])) }
                        p.note { (said(&item["target"])) " · " (said(&item["gain"])) " · confidence " (text::percent(item["confidence"].as_f64().unwrap_or(0.0))) }
                    }
                }
            }
        }
    }
}

fn said(value: &Value) -> &str {
    value.as_str().unwrap_or(text::NONE)
}

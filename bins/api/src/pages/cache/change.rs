//! Changes of the cache.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::html;
use serde::Deserialize;

use super::super::again::Again;
use super::super::ask::{Question, is_sure};
use super::super::flash::{counted, said};
use super::super::form::{Change, number, signed};
use super::super::here::Here;
use super::super::layout::Frame;
use super::super::text;
use super::{CacheQuery, page};
use crate::routes::cache::purge::{Selection, drop_from, matching};
use crate::routes::cache::warm_up;
use tidegate_web::app::App;
use tidegate_web::problem::Problem;

/// Maximum number of keys that are counted before they are removed, and of listed keys.
const MOST_COUNTED: usize = 1_000;
const MOST_LISTED: usize = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::pages) struct WarmUp {
    form: String,
    class: String,
    limit: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::pages) struct OfPattern {
    form: String,
    pattern: String,
    sure: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::pages) struct OfClass {
    form: String,
    class: String,
    sure: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::pages) struct Clear {
    form: String,
    sure: Option<String>,
}

signed!(WarmUp, OfPattern, OfClass, Clear);

pub(in crate::pages) async fn warm_up(
    State(app): State<App>,
    Change { wanted: WarmUp { class, limit, .. }, frame }: Change<WarmUp>,
) -> Result<Response, Problem> {
    let begun = match number("limit", &limit) {
        Ok(most) => warm_up::begin(&app, Some(&class), Some(most)).await.map(drop),
        Err(problem) => Err(problem),
    };
    let Err(problem) = begun else { return Ok(said(Here::Cache.path(), "warming").into_response()) };
    refused(&app, &frame, Again::of("warm-up", &[("limit", &limit), ("class", &class)], problem))
}

/// Renders the page again, with the form that was refused.
fn refused(app: &App, frame: &Frame, again: Result<Again, Problem>) -> Result<Response, Problem> {
    Ok(page(app, &CacheQuery::default(), frame, &again?))
}

/// Always asks for confirmation, and shows what this process holds.
pub(in crate::pages) async fn invalidate(
    State(app): State<App>,
    Change { wanted, frame }: Change<OfPattern>,
) -> Result<Response, Problem> {
    let pattern = wanted.pattern;
    let keys = match matching(&app, &pattern, MOST_COUNTED + 1) {
        Ok(keys) => keys,
        Err(problem) => return refused(&app, &frame, Again::of("invalidate", &[("pattern", &pattern)], problem)),
    };
    if is_sure(wanted.sure.as_deref()) {
        return dropped(&app, Selection::of_pattern(pattern)).await;
    }
    let listed = &keys[..keys.len().min(MOST_LISTED)];
    let text = html! {
        p { "Entries that match " bdi { code { (text::beginning(&text::visible(&pattern), 200)) } } " are invalidated on every node." }
        p {
            @if keys.len() > MOST_COUNTED { "More than " (MOST_COUNTED) } @else { (keys.len()) }
            " of the keys in the memory of this process match" @if keys.is_empty() { "; other processes may hold some." } @else { ":" }
        }
        @if !listed.is_empty() { pre { @for key in listed { (text::visible(key.as_str())) "\n" } @if keys.len() > listed.len() { "…" } } }
    };
    let action = format!("{}/invalidate", Here::Cache.path());
    let question = Question {
        title: "Invalidate the entries?",
        text: &text,
        yes: "Invalidate",
        action: &action,
        back: Here::Cache.path(),
    };
    Ok(question.page(&frame, &[("pattern", &pattern)]))
}

pub(in crate::pages) async fn class(
    State(app): State<App>,
    Change { wanted, frame }: Change<OfClass>,
) -> Result<Response, Problem> {
    let class = wanted.class;
    if is_sure(wanted.sure.as_deref()) {
        // A class cannot mean everything: that is another button.
        let dropped = if class == "all" {
            Err(Problem::unprocessable("bad-selection", "`class`: there is no class `all`"))
        } else {
            dropped(&app, Selection::of_class(class.clone())).await
        };
        return dropped.or_else(|problem| refused(&app, &frame, Again::of("class", &[("class", &class)], problem)));
    }
    let text = html! { p { "All entries of class " b { (text::beginning(&text::visible(&class), 64)) } " are invalidated on every node." } };
    let action = format!("{}/class", Here::Cache.path());
    let (title, yes, back) = ("Invalidate the class?", "Invalidate", Here::Cache.path());
    let question = Question { title, text: &text, yes, action: &action, back };
    Ok(question.page(&frame, &[("class", &class)]))
}

pub(in crate::pages) async fn clear(
    State(app): State<App>,
    Change { wanted, frame }: Change<Clear>,
) -> Result<Response, Problem> {
    if is_sure(wanted.sure.as_deref()) {
        return dropped(&app, Selection::of_class("all".to_owned())).await;
    }
    let text = html! { p { "The caches of all nodes are cleared. The next reads load from the database." } };
    let (action, back) = (format!("{}/clear", Here::Cache.path()), Here::Cache.path());
    let question = Question { title: "Clear the cache?", text: &text, yes: "Clear", action: &action, back };
    Ok(question.page(&frame, &[]))
}

async fn dropped(app: &App, selection: Selection) -> Result<Response, Problem> {
    let path = Here::Cache.path();
    Ok(match drop_from(app, selection).await? {
        Some(count) => counted(path, "invalidated", count, 0).into_response(),
        None => said(path, "invalidated-all").into_response(),
    })
}

//! What is changed of the cache.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::html;
use serde::Deserialize;

use super::super::ask::{Question, is_sure};
use super::super::flash::{counted, said};
use super::super::form::{Change, signed};
use super::super::layout::Here;
use super::super::text;
use crate::app::App;
use crate::problem::Problem;
use crate::routes::cache::purge::{Selection, drop_from, matching};
use crate::routes::cache::warm_up;

/// Keys that are counted before they go, and those that are listed.
const MOST_COUNTED: usize = 1_000;
const MOST_LISTED: usize = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::pages) struct WarmUp {
    form: String,
    class: String,
    limit: usize,
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
    Change { wanted, .. }: Change<WarmUp>,
) -> Result<Response, Problem> {
    warm_up::begin(&app, Some(&wanted.class), Some(wanted.limit)).await?;
    Ok(said(Here::Cache.path(), "warming").into_response())
}

/// Asked always, with what this process holds of it.
pub(in crate::pages) async fn invalidate(
    State(app): State<App>,
    Change { wanted, frame }: Change<OfPattern>,
) -> Result<Response, Problem> {
    let pattern = wanted.pattern;
    if is_sure(wanted.sure.as_deref()) {
        return dropped(&app, Selection::of_pattern(pattern)).await;
    }
    let keys = matching(&app, &pattern, MOST_COUNTED + 1)?;
    let listed = &keys[..keys.len().min(MOST_LISTED)];
    let text = html! {
        p { "What matches " bdi { code { (text::beginning(&text::visible(&pattern), 200)) } } " is dropped on every node." }
        p {
            @if keys.len() > MOST_COUNTED { "More than " (MOST_COUNTED) } @else { (keys.len()) }
            " of the keys in the memory of this process match" @if keys.is_empty() { "; others may hold some." } @else { ":" }
        }
        @if !listed.is_empty() { pre { @for key in listed { (text::visible(key.as_str())) "\n" } @if keys.len() > listed.len() { "…" } } }
    };
    let action = format!("{}/invalidate", Here::Cache.path());
    let question = Question {
        title: "Invalidate these?",
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
        // A class is no way to say everything: that is another button.
        if class == "all" {
            return Err(Problem::unprocessable("bad-selection", "`class`: there is no class `all`"));
        }
        return dropped(&app, Selection::of_class(class)).await;
    }
    let text = html! { p { "All of the class " b { (text::beginning(&text::visible(&class), 64)) } " is dropped on every node." } };
    let action = format!("{}/class", Here::Cache.path());
    let question =
        Question { title: "Drop the class?", text: &text, yes: "Drop it", action: &action, back: Here::Cache.path() };
    Ok(question.page(&frame, &[("class", &class)]))
}

pub(in crate::pages) async fn clear(
    State(app): State<App>,
    Change { wanted, frame }: Change<Clear>,
) -> Result<Response, Problem> {
    if is_sure(wanted.sure.as_deref()) {
        return dropped(&app, Selection::of_class("all".to_owned())).await;
    }
    let text = html! { p { "Everything is dropped from the caches of all nodes. What is asked next is loaded from the database." } };
    let action = format!("{}/clear", Here::Cache.path());
    let question =
        Question { title: "Clear the cache?", text: &text, yes: "Clear it", action: &action, back: Here::Cache.path() };
    Ok(question.page(&frame, &[]))
}

async fn dropped(app: &App, selection: Selection) -> Result<Response, Problem> {
    let path = Here::Cache.path();
    Ok(match drop_from(app, selection).await? {
        Some(count) => counted(path, "invalidated", count, 0).into_response(),
        None => said(path, "invalidated-all").into_response(),
    })
}

//! What is changed of limits.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::html;
use serde::Deserialize;

use super::super::ask::{Question, is_sure};
use super::super::flash::said;
use super::super::form::{Change, signed};
use super::super::layout::{Frame, Here};
use super::super::text;
use super::look_up;
use crate::app::App;
use crate::limits::TENANT;
use crate::problem::Problem;
use crate::routes::rate_limit::keys::{self, KeyOfLimiter, NewBlock};
use crate::routes::rate_limit::{self, LimitChanges, NewPlan, quotas};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::pages) struct OneKey {
    form: String,
    limiter: String,
    key: String,
    sure: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::pages) struct Block {
    form: String,
    limiter: String,
    key: String,
    seconds: u64,
    sure: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::pages) struct NewQuota {
    form: String,
    limiter: String,
    /// Nothing for that of the settings.
    quota: String,
}

/// The whole plan: a limit that is nothing is that of the tier.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::pages) struct PlanForm {
    form: String,
    tenant: String,
    tier: String,
    per_minute: String,
    per_hour: String,
    per_day: String,
    max_users: String,
}

signed!(OneKey, Block, NewQuota, PlanForm);

impl OneKey {
    fn of(self) -> KeyOfLimiter {
        KeyOfLimiter { limiter: self.limiter, key: self.key }
    }
}

pub(in crate::pages) async fn unblock(
    State(app): State<App>,
    Change { wanted, .. }: Change<OneKey>,
) -> Result<Response, Problem> {
    let key = wanted.of();
    let code = if keys::let_in(&app, &key).await? { "unblocked" } else { "not-blocked" };
    Ok(said(&look_up(&key.limiter, &key.key), code).into_response())
}

pub(in crate::pages) async fn forget(
    State(app): State<App>,
    Change { wanted, frame }: Change<OneKey>,
) -> Result<Response, Problem> {
    if !is_sure(wanted.sure.as_deref()) {
        let text = "What it has used is forgotten, with its block and its strikes.";
        return Ok(ask(&frame, [&wanted.limiter, &wanted.key], &[], ("Forget the key?", text, "Forget it", "forget")));
    }
    let key = wanted.of();
    let code = if keys::forget(&app, &key).await? { "forgotten" } else { "not-known" };
    Ok(said(&look_up(&key.limiter, &key.key), code).into_response())
}

pub(in crate::pages) async fn block(
    State(app): State<App>,
    Change { wanted, frame }: Change<Block>,
) -> Result<Response, Problem> {
    let Block { limiter, key, seconds, sure, .. } = wanted;
    if !is_sure(sure.as_deref()) {
        let text = format!("Everything from it is refused for {seconds} s, on every node.");
        let more = [("seconds", &*seconds.to_string())];
        return Ok(ask(&frame, [&limiter, &key], &more, ("Block the key?", &text, "Block it", "block")));
    }
    let new = NewBlock { limiter, key, seconds };
    keys::shut_out(&app, &new).await?;
    Ok(said(&look_up(&new.limiter, &new.key), "blocked").into_response())
}

/// `question` is title, text, button and action; `of` are limiter and key, and `more` the fields beside them.
fn ask(frame: &Frame, of: [&str; 2], more: &[(&str, &str)], question: (&str, &str, &str, &str)) -> Response {
    let (title, text, yes, act) = question;
    let [limiter, key] = of;
    let fields: Vec<_> = [("limiter", limiter), ("key", key)].iter().chain(more).copied().collect();
    let text = html! {
        p { "Key " bdi { code { (text::beginning(&text::visible(key), 200)) } } " of " b { (limiter) } ". " (text) }
    };
    let (action, back) = (format!("{}/{act}", Here::Limits.path()), look_up(limiter, key));
    Question { title, text: &text, yes, action: &action, back: &back }.page(frame, &fields)
}

pub(in crate::pages) async fn quota(
    State(app): State<App>,
    Change { wanted, .. }: Change<NewQuota>,
) -> Result<Response, Problem> {
    let quota = Some(wanted.quota.trim()).filter(|quota| !quota.is_empty());
    quotas::set(&app, &wanted.limiter, quota).await?;
    Ok(said(Here::Limits.path(), "quota-set").into_response())
}

pub(in crate::pages) async fn plan(
    State(app): State<App>,
    Change { wanted, .. }: Change<PlanForm>,
) -> Result<Response, Problem> {
    let limits = LimitChanges {
        per_minute: Some(number("per_minute", &wanted.per_minute)?),
        per_hour: Some(number("per_hour", &wanted.per_hour)?),
        per_day: Some(number("per_day", &wanted.per_day)?),
        max_users: Some(number("max_users", &wanted.max_users)?),
    };
    let back = look_up(TENANT, &wanted.tenant);
    rate_limit::set_plan(&app, NewPlan { tenant_id: wanted.tenant, tier: Some(wanted.tier), limits }).await?;
    Ok(said(&back, "plan-set").into_response())
}

fn number<T: std::str::FromStr>(field: &str, text: &str) -> Result<Option<T>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        let shown: String = text.chars().take(64).collect();
        let detail = format!("`{field}` is a number from 1 on, or nothing, not `{shown}`");
        Problem::unprocessable("bad-limits", detail)
    })
}

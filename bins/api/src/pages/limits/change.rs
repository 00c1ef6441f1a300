//! Changes of limits.

use std::str::FromStr;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::html;
use serde::Deserialize;

use super::super::again::Again;
use super::super::ask::{Question, is_sure};
use super::super::flash::said;
use super::super::form::{Change, number, signed};
use super::super::here::Here;
use super::super::layout::Frame;
use super::super::text;
use super::page;
use super::query::{LimitsQuery, look_up};
use crate::routes::rate_limit::keys::{self, KeyOfLimiter, NewBlock};
use crate::routes::rate_limit::{self, LimitChanges, NewPlan, quotas};
use tidegate_web::app::App;
use tidegate_web::limits::TENANT;
use tidegate_web::problem::Problem;

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
    seconds: String,
    sure: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::pages) struct NewQuota {
    form: String,
    limiter: String,
    /// Empty for the quota from the settings.
    quota: String,
    sure: Option<String>,
}

/// The whole plan. An empty limit means that of the tier.
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
    sure: Option<String>,
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
        let question = ("Reset the usage?", "Its usage, block and strikes are reset.", "Reset usage", "forget");
        return Ok(ask(&frame, [&wanted.limiter, &wanted.key], &[], question));
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
    let blocked = match number("seconds", &seconds) {
        Ok(_) if !is_sure(sure.as_deref()) => {
            let text = format!("All its requests are refused for {seconds} s on every node.");
            let more = [("seconds", &*seconds)];
            return Ok(ask(&frame, [&limiter, &key], &more, ("Block the key?", &text, "Block", "block")));
        }
        Ok(seconds) => {
            let new = NewBlock { limiter: limiter.clone(), key: key.clone(), seconds };
            keys::shut_out(&app, &new).await.map(drop)
        }
        Err(problem) => Err(problem),
    };
    let Err(problem) = blocked else { return Ok(said(&look_up(&limiter, &key), "blocked").into_response()) };
    let again = Again::of("block", &[("seconds", &seconds)], problem)?;
    let query = LimitsQuery { limiter: Some(limiter), key: Some(key), ..LimitsQuery::default() };
    page(&app, &query, &frame, again).await
}

/// `question` is title, text, button and action; `of` is limiter and key; `more` are further
/// fields.
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
    Change { wanted: NewQuota { limiter, quota, sure, .. }, frame }: Change<NewQuota>,
) -> Result<Response, Problem> {
    let wanted = Some(quota.trim()).filter(|quota| !quota.is_empty());
    let checked = quotas::check(&app, &limiter, wanted).map(|(named, _)| named.quota().to_string());
    let set = match checked {
        Ok(before) if !is_sure(sure.as_deref()) => {
            let after = wanted.unwrap_or("the quota of the settings");
            let text = html! {
                p { "Limiter " b { (limiter) } ": the quota changes from " code { (before) } " to " code { (after) } " on every node. Usage so far still counts." }
            };
            let (action, back) = (format!("{}/quota", Here::Limits.path()), Here::Limits.path());
            let question = Question { title: "Set the quota?", text: &text, yes: "Set quota", action: &action, back };
            return Ok(question.page(&frame, &[("limiter", &limiter), ("quota", &quota)]));
        }
        Ok(_) => quotas::set(&app, &limiter, wanted).await.map(drop),
        Err(problem) => Err(problem),
    };
    let Err(problem) = set else { return Ok(said(Here::Limits.path(), "quota-set").into_response()) };
    let again = Again::of("quota", &[("quota", &quota), ("limiter", &limiter)], problem)?;
    page(&app, &LimitsQuery::default(), &frame, again).await
}

pub(in crate::pages) async fn plan(
    State(app): State<App>,
    Change { wanted, frame }: Change<PlanForm>,
) -> Result<Response, Problem> {
    let back = look_up(TENANT, &wanted.tenant);
    let set = match wanted.limits() {
        Ok(_) if !is_sure(wanted.sure.as_deref()) => {
            let text = html! {
                p { "Tenant " code { (text::visible(&wanted.tenant)) } " gets tier " b { (text::visible(&wanted.tier)) } " on every node." }
                ul.items {
                    @for (name, limit) in &wanted.fields()[1..] {
                        li { (name.replace('_', " ")) ": " (if limit.is_empty() { "limit of the tier" } else { limit }) }
                    }
                }
            };
            let action = format!("{}/plan", Here::Limits.path());
            let question =
                Question { title: "Set the plan?", text: &text, yes: "Set plan", action: &action, back: &back };
            let tenant = [("tenant", wanted.tenant.as_str())];
            return Ok(question.page(&frame, &[&tenant[..], &wanted.fields()].concat()));
        }
        Ok(limits) => {
            let new = NewPlan { tenant_id: wanted.tenant.clone(), tier: Some(wanted.tier.clone()), limits };
            rate_limit::set_plan(&app, new).await.map(drop)
        }
        Err(problem) => Err(problem),
    };
    let Err(problem) = set else { return Ok(said(&back, "plan-set").into_response()) };
    let again = Again::of("plan", &wanted.fields(), problem)?;
    let query = LimitsQuery { tenant: Some(wanted.tenant), ..LimitsQuery::default() };
    page(&app, &query, &frame, again).await
}

impl PlanForm {
    fn fields(&self) -> [(&'static str, &str); 5] {
        [
            ("tier", &self.tier),
            ("per_minute", &self.per_minute),
            ("per_hour", &self.per_hour),
            ("per_day", &self.per_day),
            ("max_users", &self.max_users),
        ]
    }

    fn limits(&self) -> Result<LimitChanges, Problem> {
        let limits = LimitChanges {
            per_minute: Some(limit("per_minute", &self.per_minute)?),
            per_hour: Some(limit("per_hour", &self.per_hour)?),
            per_day: Some(limit("per_day", &self.per_day)?),
            max_users: Some(limit("max_users", &self.max_users)?),
        };
        rate_limit::check_plan(&self.tier, &limits)?;
        Ok(limits)
    }
}

/// `None` for the limit of the tier.
fn limit<T: FromStr>(field: &str, typed: &str) -> Result<Option<T>, Problem> {
    if typed.is_empty() { Ok(None) } else { number(field, typed).map(Some) }
}

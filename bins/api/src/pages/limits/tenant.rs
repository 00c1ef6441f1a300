//! Tiers, and one tenant: its limits, its usage, and a form for another plan.

use std::sync::Arc;

use maud::{Markup, html};
use tidegate_model::tenant::{TIERS, Tenant};
use tidegate_ratelimit::{Overrides, TenantUsage};
use tidegate_store::TenantPage;

use super::super::again::Again;
use super::super::here::Here;
use super::super::layout::Frame;
use super::super::table::{NAME, NUMBER, TEXT, table};
use super::super::text;
use super::parts::key_buttons;
use super::query::look_up;
use tidegate_web::app::App;
use tidegate_web::limits::TENANT;

/// Further tenants are looked up by their id.
const MOST_LISTED: usize = 25;

pub(super) async fn show(
    app: &App,
    frame: &Frame,
    id: Option<&str>,
    found: Option<&(Arc<Tenant>, TenantUsage)>,
    again: &Again,
) -> Markup {
    // Limits are also needed in an outage, in which the page only lacks this list.
    let listed = app.node().store.tenants(MOST_LISTED, None).await.ok();
    html! {
        section.card aria-labelledby="tenants" {
            h2 #tenants { "Tenants and tiers" }
            (tiers())
            div.below {
                @match &listed {
                    Some(listed) => (list(listed)),
                    None => p.none { "Tenants can't be listed now: the database is unavailable." },
                }
            }
            form.row.below method="get" action=(Here::Limits.path()) {
                div.grow {
                    label for="tenant" { "Tenant ID" }
                    (again.message("tenant", "tenant"))
                    input #tenant name="tenant" maxlength="64" required value=[id] autofocus[again.is_at("tenant", "tenant")] aria-describedby=[again.described_by("tenant", "tenant")];
                }
                button { "Look up" }
            }
            @if let Some((tenant, usage)) = found {
                (usage_of(frame, tenant, usage))
                @if frame.may_change() { (plan_form(frame, tenant, again)) }
            }
        }
    }
}

fn list(page: &TenantPage) -> Markup {
    let columns = [("Tenant", TEXT), ("Name", TEXT), ("Tier", NAME), ("Overrides", NAME), ("Created", NUMBER)];
    let own = |tenant: &Tenant| tenant.plan.overrides() != Overrides::default();
    html! {
        @if page.items.is_empty() {
            p.none { "No tenants yet: POST /api/tenants creates one." }
        } @else {
            (table("Tenants by ID", &columns, page.items.iter().map(|tenant| {
                vec![
                    html! { a href=(look_up(TENANT, tenant.id.as_str())) { code { (tenant.id.as_str()) } } },
                    html! { bdi { (text::beginning(&text::visible(&tenant.name), 80)) } },
                    html! { (tenant.plan.tier()) },
                    html! { (if own(tenant) { "yes" } else { text::NONE }) },
                    html! { (tenant.created_at.format("%Y-%m-%d").to_string()) },
                ]
            })))
            @if page.next_cursor.is_some() {
                p.note { "The first " (MOST_LISTED) " by ID. GET /api/tenants lists all; look up any other below." }
            }
        }
    }
}

fn tiers() -> Markup {
    let columns =
        [("Tier", NAME), ("Per minute", NUMBER), ("Per hour", NUMBER), ("Per day", NUMBER), ("Users", NUMBER)];
    table(
        "Limits of each tier",
        &columns,
        TIERS.iter().map(|tier| {
            let limits = tier.limits();
            vec![
                html! { (tier.name()) },
                html! { (limits.per_minute()) },
                html! { (limits.per_hour()) },
                html! { (limits.per_day()) },
                html! { (limits.max_users().map_or_else(|| "any".to_owned(), |users| users.to_string())) },
            ]
        }),
    )
}

fn usage_of(frame: &Frame, tenant: &Tenant, usage: &TenantUsage) -> Markup {
    let fact = |label: &str, value: Markup| html! { div { dt { (label) } dd { (value) } } };
    let blocked = usage.blocked_for;
    html! {
        dl.facts {
            (fact("Tenant", html! { code { (tenant.id.as_str()) } }))
            (fact("Name", html! { bdi { (text::visible(&tenant.name)) } }))
            (fact("Tier", html! { (usage.plan.tier()) }))
            @for window in &usage.windows {
                (fact(&format!("Used per {}", window.window), html! {
                    (window.used) " of " (window.limit)
                    @if window.used > 0 { span.note { ", resets in " (text::span(window.reset_after)) } }
                }))
            }
            (fact("Blocked for", html! { span data-state=[blocked.map(|_| "bad")] { (text::or_none(blocked, text::span)) } }))
            (fact("Strikes", html! { (usage.strikes) }))
        }
        @if frame.may_change() { div.buttons.below { (key_buttons(frame, TENANT, tenant.id.as_str(), blocked.is_some())) } }
    }
}

fn plan_form(frame: &Frame, tenant: &Tenant, again: &Again) -> Markup {
    let own = tenant.plan.overrides();
    let number = |id: &str, label: &str, value: Option<u64>| {
        let value = again.typed("plan", id).map(str::to_owned).or(value.map(|value| value.to_string()));
        html! {
            div {
                label for=(id) { (label) }
                (again.message("plan", id))
                input id=(id) type="number" name=(id) min="1" value=[value] autofocus[again.is_at("plan", id)] aria-describedby=[again.described_by("plan", id)];
            }
        }
    };
    let tier = again.typed("plan", "tier").unwrap_or(tenant.plan.tier());
    html! {
        h3.below { "Plan: overrides replace the limits of the tier; empty means no override" }
        form.row method="post" action={ (Here::Limits.path()) "/plan" } data-confirm={ "Set this plan for tenant " (tenant.id.as_str()) " on every node?" } {
            (frame.field())
            input type="hidden" name="tenant" value=(tenant.id.as_str());
            div {
                label for="tier" { "Tier" }
                (again.message("plan", "tier"))
                select #tier name="tier" { @for of in TIERS.iter() { option selected[of.name() == tier] { (of.name()) } } }
            }
            (number("per_minute", "Per minute", own.per_minute))
            (number("per_hour", "Per hour", own.per_hour))
            (number("per_day", "Per day", own.per_day))
            (number("max_users", "Users", own.max_users.map(u64::from)))
            button { "Set plan" }
        }
    }
}

//! `/api/webhooks`: the URLs to which a tenant's notifications are posted.

pub(super) mod operations;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_domain::new_webhook::{NewWebhook, Refused};
use tidegate_store::Webhook;
use uuid::Uuid;

use tidegate_web::app::App;
use tidegate_web::caller::Caller;
use tidegate_web::json::Json;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBody {
    url: String,
    /// Kinds of notifications to send. All kinds if it is empty or absent.
    #[serde(default)]
    kinds: Vec<String>,
}

/// A webhook without its secret.
#[derive(Serialize, JsonSchema)]
struct ShownWebhook<'a> {
    id: Uuid,
    url: &'a str,
    kinds: &'a [String],
    created_at: DateTime<Utc>,
    /// When the receiver refused further deliveries.
    disabled_at: Option<DateTime<Utc>>,
}

impl<'a> ShownWebhook<'a> {
    fn of(webhook: &'a Webhook) -> Self {
        Self {
            id: webhook.id,
            url: webhook.url.reveal(),
            kinds: &webhook.kinds,
            created_at: webhook.created_at,
            disabled_at: webhook.disabled_at,
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Webhooks<'a> {
    items: Vec<ShownWebhook<'a>>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct CreatedWebhook<'a> {
    #[serde(flatten)]
    webhook: ShownWebhook<'a>,
    /// Secret for the signature of deliveries. No later response has it.
    secret: &'a str,
}

/// Refuses users: a webhook gets all notifications of the tenant, and outlives a session.
fn by_the_tenant_itself(caller: &Caller) -> Result<(), Problem> {
    match caller.session {
        None => Ok(()),
        Some(_) => Err(Problem::forbidden("webhooks are the tenant's own: send its API key")),
    }
}

pub(super) async fn list(State(app): State<App>, caller: Caller) -> Result<Response, Problem> {
    by_the_tenant_itself(&caller)?;
    let webhooks = app.node().store.webhooks(&caller.tenant.id).await?;
    let items = webhooks.iter().map(ShownWebhook::of).collect();
    Ok(axum::Json(Webhooks { items }).into_response())
}

pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    Json(new): Json<NewBody>,
) -> Result<Response, Problem> {
    by_the_tenant_itself(&caller)?;
    let settings = &app.settings().webhook;
    let webhook = NewWebhook { url: &new.url, kinds: new.kinds }.check(settings).map_err(|refused| match refused {
        Refused::Url(detail) => Problem::unprocessable("bad-url", format!("`url`: {detail}")),
        Refused::Kinds(detail) => Problem::unprocessable("bad-kinds", format!("`kinds`: {detail}")),
    })?;
    if !app.node().store.create_webhook(&caller.tenant.id, &webhook, settings.per_tenant).await? {
        let detail = format!("the tenant has {} webhooks, which is the maximum", settings.per_tenant);
        return Err(Problem::conflict("too-many-webhooks", detail));
    }
    let body = CreatedWebhook { webhook: ShownWebhook::of(&webhook), secret: webhook.secret.reveal() };
    let mut response = (StatusCode::CREATED, axum::Json(body)).into_response();
    // The response contains the secret, only this once.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    by_the_tenant_itself(&caller)?;
    let missing = || Problem::not_found(format!("there is no webhook `{id}`"));
    let uuid = Uuid::try_parse(&id).map_err(|_| missing())?;
    let was_there = app.node().store.delete_webhook(&caller.tenant.id, uuid).await?;
    if was_there { Ok(StatusCode::NO_CONTENT) } else { Err(missing()) }
}

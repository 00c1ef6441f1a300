//! The managers of a tenant: operators, the tenant itself with an API key, and a user for itself.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tidegate_model::tenant::{Tenant, TenantId};
use uuid::Uuid;

use crate::access;
use crate::access_log::TenantOf;
use crate::app::App;
use crate::caller;
use crate::path::Path;
use crate::problem::Problem;
use tidegate_server::fn_layer::Inner;

/// The manager of the tenant in the path. Only routes behind [`layer`] have one.
#[derive(Debug, Clone)]
pub struct Manager {
    /// The tenant whose data the request concerns.
    pub tenant: Arc<Tenant>,
    /// The user that sent the request. `None` for operators and for the tenant itself.
    user: Option<Uuid>,
}

/// The part of the path that names the tenant. Others may follow.
#[derive(Deserialize)]
struct Named {
    id: String,
}

impl Manager {
    /// Admits operators and the tenant.
    ///
    /// # Errors
    ///
    /// 403 for a user: one session must not create keys that outlive it, nor other users.
    pub fn manages(&self) -> Result<&TenantId, Problem> {
        match self.user {
            None => Ok(&self.tenant.id),
            Some(_) => Err(Problem::forbidden("a user may not do this, which needs an API key of the tenant")),
        }
    }

    /// Admits operators, the tenant, and that user. Returns whether it is the user.
    ///
    /// # Errors
    ///
    /// As [`manages`](Self::manages), for any other user.
    pub fn manages_or_is(&self, user: Uuid) -> Result<bool, Problem> {
        if self.user == Some(user) { Ok(true) } else { self.manages().map(|_| false) }
    }
}

impl FromRequestParts<App> for Manager {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let manager = parts.extensions.get::<Self>().cloned();
        // Only a route outside the layer can get here.
        manager.ok_or_else(|| Problem::unauthorized("send the tenant's API key or an operator's token"))
    }
}

/// Layer of the routes below `/api/tenants/{id}`: finds the tenant and the manager. A tenant is
/// charged as on its other routes.
///
/// The credential decides, as for `GET` of the tenant itself. Another tenant is reported as not
/// found.
pub fn layer<S: Inner>(
    app: App,
    request: Request,
    inner: &mut S,
) -> impl Future<Output = Result<Response, Problem>> + Send + use<S> {
    serve(app, request, inner.clone())
}

async fn serve(app: App, request: Request, inner: impl Inner) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let Path(Named { id }) = Path::from_request_parts(&mut parts, &app).await?;
    let missing = || Problem::not_found(format!("there is no tenant `{id}`"));
    if caller::is_of_tenant(&parts.headers) {
        let admitted = caller::admit(&app, &parts.method, &parts.headers, &parts.extensions).await?;
        let tenant = Arc::clone(&admitted.caller.tenant);
        let asked = TenantOf(tenant.id.clone());
        let answer = if tenant.id.as_str() == id {
            let user = admitted.caller.session.as_ref().map(|session| session.user);
            parts.extensions.insert(Manager { tenant, user });
            Ok(inner.answer(Request::from_parts(parts, body)).await)
        } else {
            Err(missing())
        };
        let mut response = answer.into_response();
        admitted.announce(&app, response.headers_mut());
        response.extensions_mut().insert(asked);
        return Ok(response);
    }
    if matches!(parts.method, Method::GET | Method::HEAD) {
        access::read_operations(&app, &parts).await?;
    } else {
        access::change_operations(&app, &parts).await?;
    }
    app.catch_up().await?;
    let named: TenantId = id.parse().map_err(|_| missing())?;
    let tenant = app.tenants().get(&named).await?.ok_or_else(missing)?;
    parts.extensions.insert(Manager { tenant, user: None });
    Ok(inner.answer(Request::from_parts(parts, body)).await)
}

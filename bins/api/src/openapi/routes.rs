//! The only way to add a route.

use axum::Router;
use axum::handler::Handler;
use axum::http::{HeaderValue, Method, header};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};
use serde_json::{Map, Value};

use super::audience::Audience;
use super::document;
use super::operation::{self, Operation};
use super::schema;
use tidegate_server::fn_layer::fn_layer;
use tidegate_web::access::{self, Need};
use tidegate_web::app::App;
use tidegate_web::problem::Problem;
use tidegate_web::representation::{self, Found, IfNoneMatch, Representation};
use tidegate_web::{caller, manager, timeout};

const PATH: &str = "/openapi.json";

/// The routes of the API, each with its operation.
pub(crate) struct Routes {
    app: App,
    router: Router<App>,
    operations: Vec<Operation>,
    schemas: Map<String, Value>,
}

impl Routes {
    pub(crate) fn new(app: &App) -> Self {
        Self { app: *app, router: Router::new(), operations: Vec::new(), schemas: Map::new() }
    }

    /// Names a schema that several operations share.
    pub(crate) fn schema(mut self, name: &str, schema: Value) -> Self {
        self.schemas.insert(name.to_owned(), schema);
        self
    }

    /// Adds an operation with its handler, restricted to its audience.
    pub(crate) fn add<H: Handler<T, App>, T: 'static>(mut self, operation: Operation, handler: H) -> Self {
        let route = self.guarded(&operation, on(filter(&operation.method), handler));
        self.router = self.router.route(operation.path, route);
        self.described(operation)
    }

    /// Describes a route that another component serves.
    pub(crate) fn described(mut self, operation: Operation) -> Self {
        if operation.is_unjudged {
            self.app.node().telemetry.registry().leave_unjudged(operation.path);
        }
        self.operations.push(operation.completed());
        self
    }

    fn guarded(&self, operation: &Operation, route: MethodRouter<App>) -> MethodRouter<App> {
        let app = self.app;
        let timed = |route: MethodRouter<App>| {
            if operation.is_unhurried { route } else { route.route_layer(fn_layer(app, timeout::layer)) }
        };
        let needing = |route: MethodRouter<App>, need| timed(route.route_layer(fn_layer((app, need), access::layer)));
        match operation.audience {
            // These routes check the client themselves.
            Audience::Public | Audience::TenantOrReader => timed(route),
            Audience::TenantOrOperator => timed(route.route_layer(fn_layer(app, manager::layer))),
            Audience::Reader => needing(route, Need::Read),
            Audience::Admin => needing(route, Need::Change),
            Audience::Service => needing(route, Need::Decide),
            // The lookup of the tenant has a timeout of its own.
            Audience::Tenant if operation.is_unhurried => route.route_layer(fn_layer(app, caller::layer)),
            Audience::Tenant => route.route_layer((fn_layer(app, caller::layer), fn_layer(app, timeout::layer))),
        }
    }

    /// Returns all routes, with the document that describes them.
    pub(crate) fn finish(self) -> Router<App> {
        // Requests of anyone could hide an outage.
        let about = operation::get("showDocument", PATH, Audience::Public, "This document")
            .unjudged()
            .revalidates()
            .ok(schema::map(schema::anything()));
        let Self { router, operations, schemas, .. } = self.described(about);
        let document = Representation::of(&document::write(&operations, schemas));
        let document = document.expect("a value of JSON can be written as JSON");
        router.route(PATH, on(MethodFilter::GET, move |known: IfNoneMatch| show(document, known)))
    }
}

/// The document, which any cache may keep for a while.
async fn show(document: Representation, known: IfNoneMatch) -> Result<Response, Problem> {
    let mut response = representation::respond(&known, Found::past_the_cache(document), || {
        Problem::not_found("there is no document")
    })?;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    // It is the same for all clients, and does not come from the cache.
    headers.remove(header::VARY);
    headers.remove("cache-status");
    Ok(response)
}

fn filter(method: &Method) -> MethodFilter {
    match *method {
        Method::POST => MethodFilter::POST,
        Method::PUT => MethodFilter::PUT,
        Method::DELETE => MethodFilter::DELETE,
        _ => MethodFilter::GET,
    }
}

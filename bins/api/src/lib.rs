//! `tidegate-api`: the HTTP API over a [node](tidegate_node::node).
//!
//! `routes` shows the path of a request: `wire` is the outermost layer, then `request_id` and the
//! timing layer, then `client`, the front limiter, `access` or `caller`, and the route.

mod banner;
mod openapi;
mod pages;
mod routes;
mod server;

pub use server::run;

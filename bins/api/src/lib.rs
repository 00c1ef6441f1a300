//! `tidegate-api`: the HTTP API over a [node](tidegate_node::node).
//!
//! `routes` shows the path of a request: `wire` is the outermost layer, then `request_id` and the
//! timing layer, then `client`, the front limiter, `access` or `caller`, and the route.

mod access;
mod access_log;
mod answer;
mod app;
mod banner;
mod body;
mod caller;
mod client;
mod cookie;
mod fallback;
mod idempotency;
mod job_store;
mod json;
mod limits;
mod manager;
mod object;
mod openapi;
mod origin;
mod page;
mod pages;
mod pages_key;
mod panics;
mod path;
mod peer;
mod preferences;
mod problem;
mod query;
mod representation;
mod request_id;
mod routes;
mod schedules;
mod server;
mod sessions;
mod shed;
mod tenants;
mod timeout;
mod views;
mod warm_up;
mod wire;

pub use server::run;

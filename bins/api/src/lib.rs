//! `tidegate-api`: the HTTP API over a [node](tidegate_app::node).
//!
//! A request comes in at `routes`, which is the map: `request_id` and the timing layer outermost, then
//! `client`, the limiter in front, `access` or `caller`, and the route.

mod access;
mod app;
mod banner;
mod caller;
mod client;
mod json;
mod limits;
mod linger;
mod object;
mod pages;
mod path;
mod problem;
mod query;
mod representation;
mod request_id;
mod routes;
mod schedules;
mod server;
mod tenants;
mod timeout;
mod warm_up;

pub use server::run;

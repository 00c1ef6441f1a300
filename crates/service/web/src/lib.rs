//! What the routes and the pages of `tidegate-api` share.
//!
//! **It holds** the state of the API ([`app`]), the data behind the cache ([`tenants`],
//! [`schedules`], [`sessions`], [`preferences`]), the limiters ([`limits`]), the layers of a
//! request ([`wire`], [`request_id`], [`client`], [`access`], [`caller`], [`shed`]), the parts of a
//! request ([`json`], [`path`], [`query`], [`body`]) and the answers ([`answer`], [`problem`]).
//!
//! **It must not hold** a route or a page, and does not know which of them uses it.
//!
//! **Start reading** at [`app`], which holds the parts, and at [`problem`], which all answers of a
//! failure are made of.

pub mod access;
pub mod access_log;
pub mod answer;
pub mod app;
pub mod body;
pub mod caller;
pub mod client;
pub mod cookie;
pub mod dashboard_session;
pub mod fallback;
pub mod idempotency;
pub mod job_store;
pub mod json;
pub mod limits;
pub mod manager;
pub mod object;
pub mod origin;
pub mod page;
pub mod pages_key;
pub mod panics;
pub mod path;
pub mod peer;
pub mod preferences;
pub mod problem;
pub mod query;
pub mod representation;
pub mod request_id;
pub mod schedules;
pub mod sessions;
pub mod shed;
pub mod tenants;
pub mod timeout;
pub mod views;
pub mod warm_up;
pub mod wire;

//! The API as data: the routes and the OpenAPI document are built from the same list.
//!
//! Schemas are derived from the types that are sent ([`derived`]), or written by hand ([`schema`])
//! where there is no such type.
//!
//! [`Routes`] is the only way to add a route. An [`Operation`] describes its audience, its request
//! and its responses. Its [`Audience`] selects the access layer of the route. The end-to-end tests
//! call every operation with the examples of the document.

mod audience;
pub(crate) mod derived;
mod document;
mod operation;
mod routes;
pub(crate) mod schema;

pub(crate) use self::audience::Audience;
pub(crate) use self::operation::{Operation, delete, get, post, put};
pub(crate) use self::routes::Routes;

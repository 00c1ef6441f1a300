//! The API as data: the routes and the OpenAPI document are built from the same list.
//!
//! [`Routes`] is the only way to add a route. An [`Operation`] describes its audience, its request
//! and its responses. Its [`Circle`] selects the access layer of the route. The end-to-end tests
//! call every operation with the examples of the document.

mod circle;
mod document;
mod operation;
mod routes;
pub(crate) mod schema;

pub(crate) use self::circle::Circle;
pub(crate) use self::operation::{Operation, delete, get, post, put};
pub(crate) use self::routes::Routes;

//! The API as data: the routes and the OpenAPI document are made of the same list.
//!
//! [`Routes`] is the only way to add a route. An [`Operation`] says who may call it, what is sent
//! and what is answered. Its [`Circle`] puts the layer of access on the route. The end-to-end tests
//! call every operation by the examples of the document.

mod circle;
mod document;
mod operation;
mod routes;
pub(crate) mod schema;

pub(crate) use self::circle::Circle;
pub(crate) use self::operation::{Operation, delete, get, post, put};
pub(crate) use self::routes::Routes;

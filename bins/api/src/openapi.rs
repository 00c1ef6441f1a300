//! What the API offers, as data: the routes and the OpenAPI document are made of the same list.
//!
//! [`Routes`] is the only way to add a route of the API. An [`Operation`] says who may ask, what is sent and what is answered; its
//! [`Circle`] puts the layer of access on the route, and the document says all of it. The end-to-end tests read the document and
//! drive every operation by its examples, so what it says is what is so.

mod circle;
mod document;
mod operation;
mod routes;
pub(crate) mod schema;

pub(crate) use self::circle::Circle;
pub(crate) use self::operation::{Operation, delete, get, post, put};
pub(crate) use self::routes::Routes;

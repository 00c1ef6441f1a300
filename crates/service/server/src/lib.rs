//! A server of HTTP/1.1 and HTTP/2 over TCP or TLS, with a bound on everything that a client could
//! hold on to.
//!
//! **It holds** the listener and the loop that accepts connections, the bounds on connections,
//! heads, bodies and writes, the graceful shutdown ([`serve`]), certificates that are read again
//! when their files change ([`tls`]), the bearer token of a request ([`bearer`]), layers that are a
//! function each ([`fn_layer`]), and the rest of a body that was refused ([`linger`]).
//!
//! **It must not hold** a route, a setting, a tenant or a table. It serves any router of axum, and
//! its caller passes the bounds in [`ServeSettings`](serve::ServeSettings).
//!
//! **Start reading** at [`serve::serve()`], which accepts a connection. `serve/conversation.rs`
//! follows it to its end, and `serve/admission.rs` decides which connection makes room for a new
//! one.

pub mod bearer;
pub mod fn_layer;
pub mod linger;
pub mod serve;
pub mod tls;

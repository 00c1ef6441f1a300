//! A server of HTTP/1.1 and HTTP/2 over TCP or TLS, with a bound on everything that a client could
//! hold on to. It serves any router of axum, and knows nothing of what is served.

pub mod bearer;
pub mod serve;
pub mod tls;

//! End to end: the real `tidegate` against a real `tidegate-api`, and against broken servers.

mod bad_input;
mod foreign;
mod harness;
mod output;
mod refused;
mod server;
mod tail;
mod tls;
mod verbs;

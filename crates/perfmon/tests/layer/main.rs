//! The layer around services that answer, fail, hang and panic.

mod listed;
mod outcomes;
mod support;
mod time;
mod under_way;

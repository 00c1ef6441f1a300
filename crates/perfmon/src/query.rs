//! Statements by shape.

mod dialect;
mod fingerprint;
mod keyword;
mod lexer;
mod lists;
mod skeleton;

pub use dialect::Dialect;
pub use fingerprint::{Fingerprint, fingerprint};

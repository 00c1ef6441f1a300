//! Statements: their shapes, what is never shown of them, and what is kept of many.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

mod fingerprint;
mod shapes;
mod table;

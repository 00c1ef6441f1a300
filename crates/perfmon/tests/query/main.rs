//! Statements: their shapes, what is never shown of them, and what is kept of many.

mod fingerprint;
mod shapes;
mod table;

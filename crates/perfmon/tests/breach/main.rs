//! From traffic, second by second, to a state: how soon a breach shows, and how quiet noise is.

mod counted;
mod quiet;
mod soon;
mod support;

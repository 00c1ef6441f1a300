//! The time that only goes forward, and windows that look back.

pub(crate) mod timeline;
pub(crate) mod window;

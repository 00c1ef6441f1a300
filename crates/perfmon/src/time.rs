//! Clocks, the time that only goes forward, and windows that look back.

pub(crate) mod clock;
pub(crate) mod timeline;
pub(crate) mod window;

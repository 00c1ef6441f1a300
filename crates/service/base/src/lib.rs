//! What every crate of the service may need: the wall clock, names of the process, signals, and the
//! like. Nothing here knows a setting, a table or a protocol.

pub mod clock;
pub mod identity;
pub mod places;
pub mod private;
pub mod public_address;
mod seldom;
pub mod shutdown;
pub mod similar;
pub mod stdout;
mod times;
mod too_slow;

pub use seldom::Seldom;
pub use times::Times;
pub use too_slow::TooSlow;

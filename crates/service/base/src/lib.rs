//! Small tools that every crate of the service may use.
//!
//! **It holds** the wall clock ([`clock`]), the name of the process ([`identity`]), signals
//! ([`shutdown`]), standard output ([`stdout`]), private files ([`private`]), public addresses
//! ([`public_address`]), suggestions for misspelt names ([`similar`]), limits on the subscribers to
//! events ([`permit_pool`]), a throttle for log lines ([`LogThrottle`]), counted durations
//! ([`Times`]) and the error of a body that arrives too slowly ([`TooSlow`]).
//!
//! **It must not hold** a setting, a table, a protocol or a type of the domain. Code that only one
//! crate needs belongs in that crate.
//!
//! **Start reading** at [`clock`]: no other code of the service reads the wall clock. Each module
//! can be read alone.

pub mod clock;
pub mod identity;
mod log_throttle;
pub mod permit_pool;
pub mod private;
pub mod public_address;
pub mod shutdown;
pub mod similar;
pub mod stdout;
mod times;
mod too_slow;

pub use log_throttle::LogThrottle;
pub use times::Times;
pub use too_slow::TooSlow;

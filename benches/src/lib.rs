//! Shared code of the benchmarks: the order of accesses, drawn before the measurement, the elapsed
//! time, and the length of a measurement.
//!
//! `cargo bench -p tidegate-benches` runs them. `docs/benchmarks.md` has the results and explains
//! them.

mod order;
mod same_clock;
mod settings;
mod time;
mod trace;
mod turns;

pub use order::{Order, Walk};
pub use same_clock::SameClock;
pub use settings::brief;
pub use time::{ClockId, Stopwatch, processor_time, side_by_side, time_of_day};
pub use trace::Trace;
pub use turns::{Comparison, quartiles};

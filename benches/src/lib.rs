//! What the benchmarks share: the order of accesses, drawn before the measurement, the time that passes, and how long is measured.
//!
//! `cargo bench -p tidegate-benches` runs them; `docs/benchmarks.md` holds results and says what they mean.

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

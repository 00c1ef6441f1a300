//! What the benchmarks share: the order of accesses, drawn before the measurement, and the time that passes.
//!
//! `cargo bench -p tidegate-benches` runs them; `docs/benchmarks.md` holds results and says what they mean.

mod order;
mod time;

pub use order::{Order, Walk};
pub use time::{Stopwatch, side_by_side, time_of_day};

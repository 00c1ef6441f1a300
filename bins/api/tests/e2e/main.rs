//! End to end: the real binaries, real requests, real faults.

mod harness;

mod bad_input;
mod bad_start;
mod connections;
mod imports;
mod limits;
mod numbers;
mod processes;
mod reads;
mod request_ids;
mod start;

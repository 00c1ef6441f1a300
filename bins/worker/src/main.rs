//! Starts `tidegate-worker`.

use std::process::ExitCode;

use mimalloc::MiMalloc;
use tidegate_node::command_line::{self, CONCURRENCY, Program, SERVED};

/// Tasks free on one thread what they took on another, for which the system's allocator takes a lock each time: a third of the time of
/// a request, as `http_load` measured.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const PROGRAM: Program = Program {
    name: "tidegate-worker",
    about: "Runs the jobs of Tidegate's queues",
    flags: &[SERVED, CONCURRENCY],
    restores: false,
    speaks_tls: false,
};

fn main() -> ExitCode {
    command_line::main(PROGRAM, tidegate_worker::run)
}

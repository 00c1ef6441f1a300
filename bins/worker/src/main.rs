//! Starts `tidegate-worker`.

use std::process::ExitCode;

use mimalloc::MiMalloc;
use tidegate_node::command_line::{self, CONCURRENCY, Program, SERVED};

/// Tokio tasks often free memory on another thread than the one that allocated it. The system's
/// allocator takes a lock for each such call, which took a third of a request's time in
/// `http_load`.
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

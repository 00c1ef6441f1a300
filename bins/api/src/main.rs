//! Starts `tidegate-api`.

use std::process::ExitCode;

use mimalloc::MiMalloc;
use tidegate_node::command_line::{self, Program};

/// Tokio tasks often free memory on another thread than the one that allocated it. The system's
/// allocator takes a lock for each such call, which took a third of a request's time in
/// `http_load`.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const PROGRAM: Program = Program {
    name: "tidegate-api",
    about: "Tidegate's HTTP API, with a worker inside on the embedded default",
    flags: &[],
    restores: true,
    speaks_tls: true,
};

fn main() -> ExitCode {
    command_line::main(PROGRAM, tidegate_api::run)
}

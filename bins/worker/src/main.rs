//! Starts `tidegate-worker`.

use std::process::ExitCode;

use tidegate_app::command_line::{self, CONCURRENCY, Program, SERVED};

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

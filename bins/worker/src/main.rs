//! Starts `tidegate-worker`.

use std::process::ExitCode;

use tidegate_app::command_line;

fn main() -> ExitCode {
    command_line::main("tidegate-worker", "Runs the jobs of Tidegate's queues", tidegate_worker::run)
}

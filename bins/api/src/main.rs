//! Starts `tidegate-api`.

use std::process::ExitCode;

use tidegate_app::command_line::{self, Program};

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

//! Starts `tidegate-api`.

use std::process::ExitCode;

use tidegate_app::command_line;

fn main() -> ExitCode {
    command_line::main(
        "tidegate-api",
        "Tidegate's HTTP API, with a worker inside on the embedded default",
        tidegate_api::run,
    )
}

//! `cargo xtask`: the commands that the README and CI call.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this program talks to the one who called it")]

mod clock;
mod deploy;
mod dist;
mod law;
mod links;
mod load;
mod prove;
mod step;
mod test;
mod tool;
mod totals;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The checks and tests of Tidegate.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs every check and test, installing what is missing.
    ///
    /// In this order: format, laws, links, clippy, cargo-deny, build, deployment, documentation,
    /// tests (unit, integration and end-to-end). It stops at the first step that fails, and names
    /// the command that repeats it.
    ///
    /// Missing tools are installed by the system's package manager (apt-get, as root or through
    /// sudo), by rustup or by cargo. Tests run under cargo-nextest if it is installed, else under
    /// `cargo test`. Its profile `ci` omits repetitions that
    /// `cargo nextest run --workspace --all-features` has.
    Test,
    /// Runs the long proofs at full size, in release: all of them, or those whose name contains the
    /// argument.
    ///
    /// An ordinary test run has the same proofs at reduced size. Each takes less than ten minutes.
    Prove {
        /// Part of a proof's name; without one, all proofs.
        name: Option<String>,
        /// Names the proofs and what each shows, and runs none.
        #[arg(long)]
        list: bool,
    },
    /// Puts an example or the whole fleet under load, in release, and prints the figures.
    ///
    /// For an example it starts Redis and PostgreSQL, unless `REDIS_URL` and `DATABASE_URL` name
    /// them. On the fleet of `cargo xtask topology` it runs `stages`, `spike`, `rolling`, `faults`
    /// and `cost`. `cargo xtask load --help` names the scenarios and options.
    #[command(disable_help_flag = true)]
    Load {
        /// Scenario and options of the driver.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Starts the fleet of deploy/compose.yaml as processes on this machine until Ctrl-C.
    ///
    /// nginx, three APIs, two workers, PostgreSQL with a follower, Redis with a replica and three
    /// Sentinels, Prometheus. It prints the addresses and how to log in. Each run has its own
    /// tokens.
    Topology,
    /// Checks the laws alone: imports, sizes and comments.
    ///
    /// Which package may depend on which, which crates may name a library, import cycles inside a
    /// crate, lines of crates and files, width of comments. deny.toml and docs/architecture.md must
    /// say the same.
    Laws,
    /// Checks that each relative link of the documents leads to a file, and that llms.txt is up to
    /// date.
    Links,
    /// Makes llms.txt of the lists of pages in docs/README.md and docs/operations.md.
    Llms,
    /// Checks every file under deploy/ with the program that reads it. Needs a built tidegate-api.
    Deploy {
        /// Instead builds both images with buildah, and runs them read-only. Half an hour, as root.
        #[arg(long)]
        images: bool,
    },
    /// Makes the tarball of a release for this machine, in target/package.
    ///
    /// It holds the programs, their help and shell completions, systemd units, an example of the
    /// settings file and SHA-256 sums. Half an hour on two cores.
    Dist,
}

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    let outcome = root().and_then(|root| match command {
        Command::Test => test::run(&root),
        Command::Prove { list: true, .. } => Ok(prove::list()),
        Command::Prove { name, list: false } => prove::run(&root, name.as_deref().unwrap_or_default()),
        Command::Load { arguments } => load::run(&root, &arguments),
        Command::Topology => load::topology(&root),
        Command::Laws => law::check(&root),
        Command::Links => links::check(&root),
        Command::Llms => links::llms::write(&root),
        Command::Deploy { images: false } => deploy::check(&root),
        Command::Deploy { images: true } => deploy::images(&root),
        Command::Dist => dist::run(&root),
    });
    match outcome {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the workspace. It queries cargo at run time, because a binary in a shared target
/// directory may come from another checkout.
fn root() -> Result<PathBuf, String> {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").ok_or("run it as `cargo xtask`")?;
    let root = Path::new(&manifest).parent().ok_or("xtask is not in a workspace")?;
    Ok(root.to_owned())
}

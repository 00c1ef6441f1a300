//! The command line that both binaries share: which settings file, and whether to only look at it.

mod flags;
mod restore;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::backup;
use crate::node::StartError;
use crate::settings::{CATALOGUE, RawSettings, Settings};
use crate::{telemetry, tls};

pub use flags::{CONCURRENCY, Flag, SERVED};

/// A binary, as it presents itself.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// What it is for, in a line.
    pub about: &'static str,
    /// Flags beside those that all have.
    pub flags: &'static [Flag],
    /// Whether it also restores backups.
    pub restores: bool,
    /// Whether it speaks TLS, so that a check of the settings looks at the certificate.
    pub speaks_tls: bool,
}

/// Reads the command line and the settings, starts the log and a runtime, and runs the program on them.
pub fn main<F>(program: Program, run: impl FnOnce(Settings) -> F) -> ExitCode
where
    F: Future<Output = Result<(), StartError>>,
{
    let arguments = command(&program).get_matches();
    match start(&program, &arguments, run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(program.name, &error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn start<F>(program: &Program, arguments: &ArgMatches, run: impl FnOnce(Settings) -> F) -> Result<(), StartError>
where
    F: Future<Output = Result<(), StartError>>,
{
    let file = arguments.get_one::<PathBuf>("config").map(PathBuf::as_path);
    let mut raw = RawSettings::load(file, std::env::vars_os())?;
    program.flags.iter().try_for_each(|flag| flag.apply(arguments, &mut raw))?;
    if arguments.get_flag("print-settings") {
        print_settings(&raw);
        return Ok(());
    }
    let settings = raw.check()?;
    if arguments.get_flag("check") {
        raw.ignored_variables().for_each(|ignored| say(&ignored_variable(ignored)));
        if let Some(settings) = settings.tls.as_ref().filter(|_| program.speaks_tls) {
            let pair = tls::load(settings)?;
            pair.warnings.iter().for_each(|warning| say(warning));
        }
        say("the settings are good");
        return Ok(());
    }
    telemetry::init_logging(&settings);
    if let Some(request) = restore::asked(arguments) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        for table in runtime.block_on(backup::restore(&settings, &request))? {
            say(&format!("{:<20} {:>12} rows  sha256 {}", table.table, table.rows, table.sha256));
        }
        say("restored; jobs are in no backup, and files that were exported lie where they lay");
        return Ok(());
    }
    raw.ignored_variables().for_each(|ignored| tracing::warn!("{}", ignored_variable(ignored)));
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(settings))
}

fn command(program: &Program) -> Command {
    let command = Command::new(program.name)
        .about(program.about)
        .version(env!("CARGO_PKG_VERSION"))
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("PATH")
                .global(true)
                .value_parser(value_parser!(PathBuf))
                .help("Settings file; without it, tidegate.toml in the working directory if it is there"),
        )
        .arg(Arg::new("check").long("check").action(ArgAction::SetTrue).help("Check the settings and exit"))
        .arg(
            Arg::new("print-settings")
                .long("print-settings")
                .action(ArgAction::SetTrue)
                .help("Print every setting, where it comes from and what it means, secrets masked, and exit"),
        )
        .after_help(environment_help());
    let command = if program.restores { command.subcommand(restore::command()) } else { command };
    program.flags.iter().fold(command, |command, flag| flag.add(command))
}

fn ignored_variable((name, nearest): (&str, Option<&str>)) -> String {
    let hint = nearest.map(|nearest| format!(" (did you mean {nearest}?)")).unwrap_or_default();
    format!("the variable {name} is no setting and does nothing{hint}")
}

fn environment_help() -> String {
    let mut text = String::from("Environment (over the settings file):\n");
    for setting in CATALOGUE {
        let default = setting.default.map(|default| format!(" [{default}]")).unwrap_or_default();
        text.push_str(&format!("  {:<34} {}{default}\n", setting.variable, setting.meaning));
    }
    text.push_str(
        "\nExit codes: 0 ended well, 1 other failure, 2 settings, 3 data directory or database, 4 address in use, 5 Redis",
    );
    text
}

fn print_settings(raw: &RawSettings) {
    for (setting, value, source) in raw.shown() {
        say(&format!("# {}\n# {}, {source}\n{} = {value:?}\n", setting.meaning, setting.variable, setting.key));
    }
}

#[expect(clippy::print_stdout, reason = "the answer to what was asked on the command line")]
fn say(text: &str) {
    println!("{text}");
}

/// The log may not have started, and the message is for the person who started the program.
#[expect(clippy::print_stderr, reason = "the last words of a program that could not start")]
fn complain(name: &str, error: &StartError) {
    // A library's words may have line breaks; one message is one line, for people and for log collectors.
    let words = error.to_string();
    eprintln!("{name}: {}", words.lines().map(str::trim).collect::<Vec<_>>().join(" "));
}

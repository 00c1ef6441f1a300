//! The command line of both binaries: the settings file, and modes that only check or print
//! settings.

mod flags;
mod restore;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use clap_complete::Shell;
use tidegate_base::private;
use tidegate_base::stdout::{self, say};
use tidegate_domain::backup;
use tidegate_domain::files::Files;
use tidegate_server::tls;
use tidegate_settings::{GROUPS, RawSettings, Setting, Settings, Source};

use crate::node::StartError;
use crate::serving::tls_files;

pub use flags::{CONCURRENCY, Flag, SERVED};

/// Description of a binary.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Name of the binary.
    pub name: &'static str,
    /// Its purpose, in one line.
    pub about: &'static str,
    /// Additional flags of this binary.
    pub flags: &'static [Flag],
    /// Whether it also restores backups.
    pub restores: bool,
    /// Whether it supports TLS, so that a check of the settings includes the certificate.
    pub speaks_tls: bool,
}

/// Parses the command line and the settings, starts the log and a runtime, and runs the program.
pub fn main<F>(program: Program, run: impl FnOnce(Settings) -> F) -> ExitCode
where
    F: Future<Output = Result<(), StartError>>,
{
    private::close_to_others();
    let arguments = command(&program).get_matches();
    if let Some(shell) = arguments.get_one::<Shell>("completions") {
        return print_completions(&program, *shell);
    }
    match start(&program, &arguments, run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Faults(faults)) => {
            faults.iter().for_each(|fault| complain(program.name, fault));
            ExitCode::from(faults.first().map_or(1, StartError::exit_code))
        }
    }
}

/// Reasons why the program did not start: each invalid setting, or one other error.
struct Faults(Vec<StartError>);

impl<E: Into<StartError>> From<E> for Faults {
    fn from(error: E) -> Self {
        Self(vec![error.into()])
    }
}

fn start<F>(program: &Program, arguments: &ArgMatches, run: impl FnOnce(Settings) -> F) -> Result<(), Faults>
where
    F: Future<Output = Result<(), StartError>>,
{
    let file = arguments.get_one::<PathBuf>("config").map(PathBuf::as_path);
    let mut raw = RawSettings::load(file, std::env::vars_os())?;
    for flag in program.flags {
        flag.apply(arguments, &mut raw);
    }
    if arguments.get_flag("print-settings") {
        print_settings(&raw, arguments.get_flag("changed"))?;
        let faults = raw.take_faults();
        let faults: Vec<_> = faults.into_iter().map(StartError::from).collect();
        return if faults.is_empty() { Ok(()) } else { Err(Faults(faults)) };
    }
    let (settings, faults) = raw.judge();
    let mut faults: Vec<_> = faults.into_iter().map(StartError::from).collect();
    if arguments.get_flag("check") {
        let files = settings.as_ref().and_then(|settings| settings.tls.as_ref()).map(tls_files);
        match files.filter(|_| program.speaks_tls).map(|files| tls::load(&files)) {
            Some(Ok(pair)) => pair.warnings.iter().try_for_each(|warning| say(warning))?,
            Some(Err(error)) => faults.push(error.into()),
            None => {}
        }
        let login = settings.as_ref().map(|settings| Files::check_login(&settings.files.place));
        faults.extend(login.and_then(Result::err).map(StartError::from));
        if faults.is_empty() {
            return Ok(say("Settings OK")?);
        }
    }
    let Some(settings) = settings.filter(|_| faults.is_empty()) else { return Err(Faults(faults)) };
    tidegate_telemetry::init_logging(&settings);
    if let Some(request) = restore::asked(arguments) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        for table in runtime.block_on(backup::restore(&settings, &request))? {
            say(&format!("{:<20} {:>12} rows  sha256 {}", table.table, table.rows, table.sha256))?;
        }
        return Ok(say("restored; a backup contains no jobs, and exported files stay where they were")?);
    }
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(settings))?)
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
                .help("Settings file; by default tidegate.toml in the working directory, if it exists"),
        )
        .arg(Arg::new("check").long("check").action(ArgAction::SetTrue).help("Check the settings and exit"))
        .arg(
            Arg::new("print-settings")
                .long("print-settings")
                .action(ArgAction::SetTrue)
                .help("Print every setting, where it comes from and what it means, secrets masked, and exit"),
        )
        .arg(
            Arg::new("changed")
                .long("changed")
                .requires("print-settings")
                .action(ArgAction::SetTrue)
                .help("Print only settings that do not have their default"),
        )
        .arg(
            Arg::new("completions")
                .long("completions")
                .value_name("SHELL")
                .value_parser(value_parser!(Shell))
                .help("Print the script that completes this program's options in a shell, and exit"),
        )
        .after_help("`--help` also lists the settings and the exit codes")
        .after_long_help(settings_help());
    let command = if program.restores { command.subcommand(restore::command()) } else { command };
    program.flags.iter().fold(command, |command, flag| flag.add(command))
}

fn print_completions(program: &Program, shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(program), program.name, &mut script);
    match say(String::from_utf8_lossy(&script).trim_end()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(program.name, &error.into());
            ExitCode::FAILURE
        }
    }
}

/// Lists all settings by their subject.
fn settings_help() -> String {
    let mut text = String::from("Environment variables (they override the settings file), and their defaults:\n");
    for group in GROUPS {
        text.push_str(&format!("\n{}:\n", group.title));
        for setting in group.settings {
            let default = setting.default.map(|default| format!(" [{default}]")).unwrap_or_default();
            text.push_str(&format!("  {:<34} {}{default}\n", setting.variable, setting.meaning));
        }
    }
    text.push_str(
        "\nEach secret can come from a file: set the variable with the suffix _FILE to its path, such as \
         REDIS_URL_FILE. The file is read again when it changes.\n",
    );
    text.push_str(
        "\nExit codes: 0 ended well, 1 other failure, 2 settings, 3 data directory or database, 4 address in use, \
         5 Redis that can't be used, 6 a login that PostgreSQL or Redis refuses",
    );
    text
}

/// Prints the settings, or only those that differ from their default.
fn print_settings(raw: &RawSettings, is_short: bool) -> io::Result<()> {
    let shown = |setting: &Setting, value: &str, source: &Source| {
        let is_default = *source == Source::Default || setting.default == Some(value);
        !(is_short && is_default)
    };
    let mut is_empty = true;
    for (setting, value, source) in raw.shown().filter(|(setting, value, source)| shown(setting, value, source)) {
        say(&format!("# {}\n# {}, {source}\n{} = {value:?}\n", setting.meaning, setting.variable, setting.key))?;
        is_empty = false;
    }
    if is_empty { say("# every setting has its default") } else { Ok(()) }
}

/// The log may not have started, and the message is for the person who started the program.
fn complain(name: &str, error: &StartError) {
    // A library's message may have line breaks. One message is one line, for people and for log
    // collectors.
    let words = error.to_string();
    stdout::complain(&format!("{name}: {}", words.lines().map(str::trim).collect::<Vec<_>>().join(" ")));
}

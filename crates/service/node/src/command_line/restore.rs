//! `restore BACKUP`: restores a backup instead of serving.

use clap::{Arg, ArgAction, ArgMatches, Command};
use tidegate_domain::backup::Request;

const NAME: &str = "restore";

pub(super) fn command() -> Command {
    Command::new(NAME)
        .about("Restores a backup into the database of the settings, which no process may use meanwhile, and exits")
        .arg(
            Arg::new("backup")
                .value_name("BACKUP")
                .required(true)
                .help("Path of a backup, or its id from GET /api/backups"),
        )
        .arg(
            Arg::new("replace")
                .long("replace")
                .action(ArgAction::SetTrue)
                .help("Replace what is there; a SQLite file is kept beside it as tidegate.db.replaced"),
        )
}

/// Returns the restore request. `None` if the command line has none.
pub(super) fn asked(arguments: &ArgMatches) -> Option<Request> {
    // Not looked up by name: a program without restore has no such command, and a lookup by name
    // would panic.
    let (_, asked) = arguments.subcommand().filter(|(name, _)| *name == NAME)?;
    let backup = asked.get_one::<String>("backup")?.clone();
    Some(Request { backup, replace: asked.get_flag("replace") })
}

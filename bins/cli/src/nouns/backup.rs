//! `tidegate backup`.

use clap::Subcommand;

use crate::call::Call;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Column, Kind, cell, column};
use crate::parse;

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(crate) enum Backup {
    /// List backups that are kept, newest first
    List,
    /// Have a job write all tables into a backup
    Start {
        /// Idempotency key: the same command with the same key makes no second backup
        #[arg(long, value_parser = parse::idempotency_key)]
        key: Option<String>,
    },
}

const BACKUPS: [Column; 3] = [
    column("id", "/id", Kind::Text),
    column("size", "/bytes", Kind::Bytes),
    column("created", "/created_at", Kind::Text),
];

impl Backup {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List => context.list(Call::get(["api", "backups"]), &BACKUPS).await,
            Self::Start { key } => {
                let call = Call::post(["api", "backups"]).header("Idempotency-Key", key.as_deref());
                context.show(call, |answer| cell(&answer["job_id"], Kind::Text)).await
            }
        }
    }
}

//! `tidegate group`.

use clap::Subcommand;
use serde_json::Value;

use crate::call::{Call, object};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Column, Kind, card, column};
use crate::parse;

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(crate) enum Group {
    /// Create a group of jobs of one queue
    Create {
        /// Name of a queue
        #[arg(value_parser = parse::queue)]
        queue: String,
        /// The group's id, of your own choice
        #[arg(long, value_parser = parse::name)]
        id: Option<String>,
        /// Job that is enqueued when the group has completed, as JSON: queue, payload, kind, on
        #[arg(long, value_name = "JSON", value_parser = parse::json)]
        completion: Option<Value>,
    },
    /// Show how far a group has come
    Show {
        /// The group's id
        #[arg(value_parser = parse::name)]
        id: String,
    },
    /// Close a group: it completes when its last job has ended
    Seal {
        /// The group's id
        #[arg(value_parser = parse::name)]
        id: String,
    },
    /// Forget a group; its jobs stay
    Forget {
        /// The group's id
        #[arg(value_parser = parse::name)]
        id: String,
    },
}

const GROUP: [Column; 11] = [
    column("id", "/id", Kind::Text),
    column("queue", "/queue", Kind::Text),
    column("complete %", "/percent", Kind::Number),
    column("jobs", "/total", Kind::Number),
    column("pending", "/pending", Kind::Number),
    column("done", "/done", Kind::Number),
    column("dead", "/dead", Kind::Number),
    column("cancelled", "/cancelled", Kind::Number),
    column("sealed", "/sealed", Kind::Text),
    column("completed", "/completed_at", Kind::Text),
    column("completion job", "/completion_job/id", Kind::Text),
];

impl Group {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let shown = |group: &Value| card(group, &GROUP);
        match self {
            Self::Create { queue, id, completion } => {
                let body =
                    object([("queue", Some(queue.into())), ("id", id.map(Value::from)), ("completion", completion)]);
                context.show(Call::post(["api", "queue", "batches"]).body(body), shown).await
            }
            Self::Show { id } => context.show(Call::get(["api", "queue", "batches", &id]), shown).await,
            Self::Seal { id } => context.show(Call::post(["api", "queue", "batches", &id, "seal"]), shown).await,
            Self::Forget { id } => {
                let call = Call::delete(["api", "queue", "batches", &id]);
                context.change(call, format!("group {id} is forgotten")).await
            }
        }
    }
}

//! `tidegate key`.

use clap::Subcommand;
use serde_json::json;

use crate::call::Call;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Column, Kind, card, column};
use crate::parse;

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(crate) enum Key {
    /// List the API keys of a tenant, never the keys themselves
    List {
        /// The tenant's id
        #[arg(value_parser = parse::name)]
        tenant: String,
    },
    /// Issue another API key; it is shown this once
    Create {
        /// The tenant's id
        #[arg(value_parser = parse::name)]
        tenant: String,
        /// Name of the key, for people
        #[arg(long)]
        name: String,
    },
    /// Revoke an API key
    Revoke {
        /// The tenant's id
        #[arg(value_parser = parse::name)]
        tenant: String,
        /// The key's id, as `key list` has it
        #[arg(value_parser = parse::name)]
        id: String,
    },
}

const KEYS: [Column; 3] = [
    column("id", "/id", Kind::Text),
    column("name", "/name", Kind::Text),
    column("created", "/created_at", Kind::Text),
];

impl Key {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List { tenant } => context.list(Call::get(["api", "tenants", &tenant, "keys"]), &KEYS).await,
            Self::Create { tenant, name } => {
                let call = Call::post(["api", "tenants", &tenant, "keys"]).body(json!({"name": name}));
                let columns = [KEYS[0], KEYS[1], column("API key", "/api_key", Kind::Text)];
                context.show(call, |key| card(key, &columns)).await
            }
            Self::Revoke { tenant, id } => {
                let call = Call::delete(["api", "tenants", &tenant, "keys", &id]);
                context.change(call, format!("key {id} is revoked")).await
            }
        }
    }
}

//! Whether the server suits its role.

use crate::config::{Config, Role};
use crate::error::ConnectError;
use crate::shards::Shards;

/// Looks at the server; what works but should be known comes back as warnings.
pub(crate) async fn server(_shards: &Shards, _config: &Config, _role: Role) -> Result<Vec<String>, ConnectError> {
    Ok(Vec::new())
}

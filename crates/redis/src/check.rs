//! Whether the server suits its role.

use fred::clients::Client as FredClient;

use crate::config::{Config, Role};
use crate::error::ConnectError;

/// Looks at the server; what works but should be known comes back as warnings.
pub(crate) async fn server(_fred: &FredClient, _config: &Config, _role: Role) -> Result<Vec<String>, ConnectError> {
    Ok(Vec::new())
}

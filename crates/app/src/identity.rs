//! Who speaks, where several processes tell the same receiver.

use std::sync::LazyLock;

use serde::Serialize;
use uuid::Uuid;

/// A process: which program, and which of its runs.
#[derive(Debug, Serialize)]
pub(crate) struct Identity {
    /// The program's name.
    pub(crate) service: String,
    pub(crate) version: &'static str,
    /// New at each start.
    pub(crate) instance: String,
}

/// This one.
pub(crate) static THIS_PROCESS: LazyLock<Identity> = LazyLock::new(|| {
    let program = std::env::current_exe().ok();
    let name = program.as_deref().and_then(|path| path.file_stem()?.to_str());
    Identity {
        service: name.unwrap_or("tidegate").to_owned(),
        version: env!("CARGO_PKG_VERSION"),
        instance: Uuid::new_v4().to_string(),
    }
});

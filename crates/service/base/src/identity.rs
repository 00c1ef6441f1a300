//! Identifies the sender where several processes report to the same receiver.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The identity of a process: its program and its run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Name of the program.
    pub service: String,
    /// Version of the program.
    pub version: String,
    /// Random id, new at each start.
    pub instance: String,
    /// Name of the machine or container.
    #[serde(default)]
    pub host: String,
}

impl Identity {
    /// Returns a readable name: `tidegate-api 7c0f6b0e on node-1`.
    pub fn name(&self) -> String {
        let instance = self.instance.split('-').next().unwrap_or_default();
        match self.host.as_str() {
            "" => format!("{} {instance}", self.service),
            host => format!("{} {instance} on {host}", self.service),
        }
    }
}

/// The identity of this process.
pub static THIS_PROCESS: LazyLock<Identity> = LazyLock::new(|| {
    let program = std::env::current_exe().ok();
    let name = program.as_deref().and_then(|path| path.file_stem()?.to_str());
    Identity {
        service: name.unwrap_or("tidegate").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instance: Uuid::new_v4().to_string(),
        host: hostname::get().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
    }
});

//! What a worker did until it ended.

/// Result of a shutdown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Runs that were settled after their handler had ended, since the worker started.
    pub settled: u64,
    /// Runs whose job was released to the queue at the end of the grace period, without using up an
    /// attempt.
    pub released: u64,
    /// Runs whose settlement did not reach the broker. Their jobs will run again.
    pub abandoned: u64,
}

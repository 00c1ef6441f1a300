//! Size of the traffic, and its reaction to failures.

/// Users of one tenant.
pub const USERS_PER_TENANT: usize = 10;

/// Number of users, and the reaction to failures.
#[derive(Clone, Copy, Debug, Default)]
pub struct TrafficOptions {
    /// Users of the normal traffic.
    pub users: usize,
    /// Users of the crowd that comes in a spike.
    pub crowd: usize,
    /// Whether a write that is answered 503, 429 or not at all is sent again with the same key
    /// until it is acknowledged. Each attempt is a sample.
    pub repeats: bool,
}

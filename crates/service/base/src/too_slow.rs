//! The error of a request body that arrives too slowly.

use std::error::Error;

/// The body was slower than the minimum rate while the server waited for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body was slower than {rate} bytes per second")]
pub struct TooSlow {
    /// Minimum rate in bytes per second.
    pub rate: u64,
}

impl TooSlow {
    /// Finds this error among the causes of `error`. `None` if it is not among them.
    pub fn cause_of(error: &(dyn Error + 'static)) -> Option<Self> {
        std::iter::successors(Some(error), |&error| error.source()).find_map(|error| error.downcast_ref().copied())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn it_is_found_below_other_errors() {
        let slow = TooSlow { rate: 512 };
        assert_eq!(TooSlow::cause_of(&slow), Some(slow));
        assert_eq!(TooSlow::cause_of(&io::Error::other(Wrapped(slow))), Some(slow));
        assert_eq!(TooSlow::cause_of(&io::Error::other("the connection broke")), None);
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the body failed")]
    struct Wrapped(#[source] TooSlow);
}

//! How far back a reader looks.

/// A window that ends at the last tick.
///
/// It takes in the running second, minute or hour and the given number before it: at least as much as asked, and
/// less than one unit more. Numbers outside the range that is kept are clamped into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Window {
    /// 1 to 60 seconds.
    Seconds(u8),
    /// 1 to 60 minutes.
    Minutes(u8),
    /// 1 to 24 hours.
    Hours(u8),
}

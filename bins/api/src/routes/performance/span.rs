//! The windows that figures cover.

use tidegate_perfmon::Window;

/// One of the available windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Span {
    Minute,
    #[default]
    FiveMinutes,
    Hour,
    Day,
}

impl Span {
    pub(super) const KNOWN: [(&'static str, Self); 4] =
        [("1m", Self::Minute), ("5m", Self::FiveMinutes), ("1h", Self::Hour), ("24h", Self::Day)];

    pub(super) fn window(self) -> Window {
        match self {
            // A minute in seconds. In whole minutes it would be up to two.
            Self::Minute => Window::Seconds(60),
            Self::FiveMinutes => Window::Minutes(5),
            Self::Hour => Window::Minutes(60),
            Self::Day => Window::Hours(24),
        }
    }

    pub(super) fn seconds(self) -> u32 {
        match self {
            Self::Minute => 60,
            Self::FiveMinutes => 300,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }
}

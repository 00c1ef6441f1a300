//! The dashboard's addresses, as far as its own code names them.

/// Login page, to which a visitor without a session is redirected.
pub(super) const LOGIN: &str = "/dashboard/login";
/// Target of the logout.
pub(super) const LOGOUT: &str = "/dashboard/logout";
/// Stream of the figures.
pub(super) const LIVE: &str = "/dashboard/live";

/// A page in the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Here {
    Overview,
    Performance,
    Queues,
    Cron,
    Limits,
    Cache,
}

impl Here {
    pub(super) const ALL: [Self; 6] =
        [Self::Overview, Self::Performance, Self::Queues, Self::Cron, Self::Limits, Self::Cache];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Performance => "Performance",
            Self::Queues => "Queues",
            Self::Cron => "Cron",
            Self::Limits => "Limits",
            Self::Cache => "Cache",
        }
    }

    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Overview => "/dashboard",
            Self::Performance => "/dashboard/performance",
            Self::Queues => "/dashboard/queues",
            Self::Cron => "/dashboard/cron",
            Self::Limits => "/dashboard/limits",
            Self::Cache => "/dashboard/cache",
        }
    }

    /// Returns the page that a path belongs to.
    pub(super) fn of(path: &str) -> Self {
        let is_below = |here: &Self| *here != Self::Overview && path.starts_with(here.path());
        Self::ALL.into_iter().find(is_below).unwrap_or(Self::Overview)
    }
}

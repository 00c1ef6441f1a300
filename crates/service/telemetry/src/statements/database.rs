//! The databases whose statements are counted separately.

use tidegate_queue::SqliteOptions;

/// The owner of the tables of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Database {
    App,
    Queue,
}

impl Database {
    pub(super) const ALL: [Self; 2] = [Self::App, Self::Queue];

    /// sqlx does not report the database, but it reports on the thread of the connection.
    pub(super) fn of_this_thread() -> Self {
        let is_queue = std::thread::current().name().is_some_and(|name| name.starts_with(SqliteOptions::THREADS));
        if is_queue { Self::Queue } else { Self::App }
    }

    /// Its name in metrics and the log.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Queue => "queue",
        }
    }
}

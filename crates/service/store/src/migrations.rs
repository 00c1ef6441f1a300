//! The migrations of both databases, in the order in which they run.
//!
//! `sqlx::migrate!` could list them too, but would build PostgreSQL's driver and TLS twice.

use std::sync::LazyLock;

use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Makes a migrator from file names without `.sql`: a number, `_`, a description.
macro_rules! migrations {
    ($database:literal: $($file:literal),* $(,)?) => {
        LazyLock::new(|| Migrator::with_migrations(vec![$(
            migration($file, include_str!(concat!("../migrations/", $database, "/", $file, ".sql"))),
        )*]))
    };
}

pub(super) static SQLITE: LazyLock<Migrator> = migrations![
    "sqlite":
    "0001_foundation",
    "0002_installation",
    "0003_plan_epoch",
    "0004_files",
    "0005_accounts",
    "0006_analytics",
    "0007_notifications",
    "0008_reminders",
    "0009_reports",
    "0010_views",
    "0011_alerts",
];

pub(super) static POSTGRES: LazyLock<Migrator> = migrations![
    "postgres":
    "0003_foundation",
    "0004_files",
    "0005_accounts",
    "0006_analytics",
    "0007_notifications",
    "0008_reminders",
    "0009_reports",
    "0010_views",
    "0011_alerts",
];

fn migration(file: &'static str, sql: &'static str) -> Migration {
    let (number, description) = file.split_once('_').unwrap_or((file, ""));
    // The test below reports a file without a number.
    let version = number.parse().unwrap_or_default();
    let description = description.replace('_', " ").into();
    Migration::new(version, description, MigrationType::Simple, SqlStr::from_static(sql), false)
}

/// Returns the newest schema version among these migrations.
pub(super) fn newest(migrations: &Migrator) -> i64 {
    migrations.iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// The newest schema version that this program knows. It is the same for both databases.
pub(super) fn schema() -> i64 {
    newest(&SQLITE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_lists_name_every_file() {
        for (database, listed) in [("sqlite", &SQLITE), ("postgres", &POSTGRES)] {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(database);
            let read = Migrator::new(folder).await.unwrap();
            let known = |migrator: &Migrator| -> Vec<_> {
                let known = migrator.iter().map(|one| (one.version, one.description.clone(), one.checksum.clone()));
                known.collect()
            };
            assert_eq!(known(&read), known(listed), "{database}");
            assert!(read.iter().all(|one| one.version > 0 && !one.description.is_empty()));
        }
    }
}

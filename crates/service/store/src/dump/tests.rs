use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row as _;
use tidegate_cache::TieredCache;
use tidegate_testkit::PostgresServer;
use tokio_util::sync::CancellationToken;

use super::tables::LEFT_OUT;
use super::*;

type Columns = BTreeMap<String, BTreeSet<(String, String)>>;

/// Returns the columns of the list in the types of a database.
fn listed(int: &str, text: &str, blob: &str) -> Columns {
    let kind = |kind| match kind {
        Kind::Int => int.to_owned(),
        Kind::Text => text.to_owned(),
        Kind::Blob => blob.to_owned(),
    };
    let columns =
        |table: &Table| table.columns.iter().map(|column| (column.name.to_owned(), kind(column.kind))).collect();
    TABLES.iter().map(|table| (table.name.to_owned(), columns(table))).collect()
}

/// A new table or column belongs in `tables.rs`. If it must not be restored, it belongs in
/// `LEFT_OUT`.
#[tokio::test]
async fn a_backup_has_every_table_and_every_column_of_the_schema() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tidegate.db");
    let (store, _) = Store::open(&path, |_| TieredCache::builder().build(), CancellationToken::new()).await.unwrap();
    let tables = sqlx::query(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '_sqlx_%'",
    );
    let mut found = Columns::new();
    for table in tables.fetch_all(store.writer()).await.unwrap() {
        let name: String = table.get("name");
        if LEFT_OUT.contains(&&*name) {
            continue;
        }
        let columns = sqlx::query("SELECT name, type, pk FROM pragma_table_info($1)").bind(&name);
        let columns = columns.fetch_all(store.writer()).await.unwrap();
        let mut key: Vec<(i64, String)> = columns.iter().map(|row| (row.get("pk"), row.get("name"))).collect();
        key.retain(|(place, _)| *place > 0);
        key.sort_unstable();
        let key: Vec<_> = key.into_iter().map(|(_, name)| name).collect();
        if let Some(table) = Table::named(&name) {
            assert_eq!(table.key().map(|column| column.name).collect::<Vec<_>>(), key, "the key of {name}");
        }
        let referred = sqlx::query("SELECT \"table\" AS name FROM pragma_foreign_key_list($1)").bind(&name);
        for row in referred.fetch_all(store.writer()).await.unwrap() {
            let other: String = row.get("name");
            let place = |name: &str| TABLES.iter().position(|table| table.name == name);
            assert!(place(&other) < place(&name), "{name} refers to {other}, which must come before it");
        }
        found.insert(name, columns.iter().map(|row| (row.get("name"), row.get("type"))).collect());
    }
    assert_eq!(found, listed("INTEGER", "TEXT", "BLOB"));

    let server = PostgresServer::start(&[]).await;
    let settings = crate::ground::settings(&server.url());
    Store::connect(&settings, |_| TieredCache::builder().build(), CancellationToken::new()).await.unwrap();
    let told = server
        .psql(
            "SELECT table_name, column_name, data_type FROM information_schema.columns
             WHERE table_schema = 'public' AND table_name NOT LIKE '\\_sqlx%'",
        )
        .await;
    let mut found = Columns::new();
    for line in told.lines() {
        let cells: Vec<_> = line.split('|').map(str::to_owned).collect();
        let [table, column, kind] = &cells[..] else { panic!("{line}") };
        if !LEFT_OUT.contains(&table.as_str()) {
            found.entry(table.clone()).or_default().insert((column.clone(), kind.clone()));
        }
    }
    assert_eq!(found, listed("bigint", "text", "bytea"));
}

#[test]
fn bytes_are_written_as_digits_and_read_back() {
    let all: Vec<u8> = (0..=255).collect();
    let read = |digits: &str| value(Kind::Blob, &digits.into());
    assert!(matches!(read(&HEXLOWER.encode(&all)), Some(OwnedValue::Blob(Some(bytes))) if bytes == all));
    assert!(read("abc").is_none());
    assert!(read("zz").is_none());
    assert!(value(Kind::Int, &1.5.into()).is_none());
    assert!(value(Kind::Text, &1.into()).is_none());
}

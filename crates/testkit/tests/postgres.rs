//! A PostgreSQL of a test's own.

use tidegate_testkit::PostgresServer;

#[tokio::test]
async fn each_test_has_its_own_with_its_own_settings() {
    let (one, other) = tokio::join!(PostgresServer::start(&[("work_mem", "3MB")]), PostgresServer::start(&[]));
    assert_eq!(one.psql("SHOW work_mem; SELECT 1, 'it''s';").await, "3MB\n1|it's");
    one.psql("CREATE TABLE t (id int)").await;
    assert_eq!(other.psql("SELECT to_regclass('t') IS NULL").await, "t");
    assert_eq!(other.psql("SHOW listen_addresses").await, "", "it is on no port");
    tokio::join!(one.stop(), other.stop());
}

#[tokio::test]
#[should_panic(expected = "relation \"missing\" does not exist")]
async fn a_statement_that_fails_is_told() {
    let server = PostgresServer::start(&[]).await;
    server.psql("SELECT 1; SELECT * FROM missing; SELECT 2;").await;
}

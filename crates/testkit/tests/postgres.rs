//! The PostgreSQL server of the test kit.

use std::time::Duration;

use tidegate_testkit::{PostgresServer, Relay, poll_until};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(60);

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
async fn a_failed_statement_is_reported() {
    let server = PostgresServer::start(&[]).await;
    server.psql("SELECT 1; SELECT * FROM missing; SELECT 2;").await;
}

#[tokio::test]
async fn a_follower_has_what_its_primary_has_and_takes_its_place() {
    let mut primary = PostgresServer::start_tcp(&[("synchronous_standby_names", "*")]).await;
    let replica = primary.replica(&[("synchronous_standby_names", "")]).await;
    primary.psql("CREATE TABLE t (id int); INSERT INTO t VALUES (7)").await;
    let has_come = async || (replica.psql("SELECT to_regclass('t')").await == "t").then_some(());
    poll_until(LONG, has_come).await.unwrap();
    assert_eq!(replica.psql("SELECT pg_is_in_recovery()").await, "t");
    primary.kill9();
    replica.promote().await;
    assert_eq!(replica.psql("INSERT INTO t VALUES (8); SELECT count(*) FROM t").await, "2");
    primary.restart().await;
    assert_eq!(primary.psql("SELECT id FROM t").await, "7");
}

#[tokio::test]
async fn one_that_hangs_keeps_connections_and_answers_nothing_until_it_goes_on() {
    let mut server = PostgresServer::start_tcp(&[]).await;
    let asking = async |server: &PostgresServer| server.psql("SELECT 1").await;
    assert_eq!(asking(&server).await, "1");
    server.hang().await;
    assert!(timeout(Duration::from_millis(300), asking(&server)).await.is_err());
    server.resume();
    assert_eq!(asking(&server).await, "1");
}

#[tokio::test]
async fn a_relay_leads_elsewhere_and_resets_what_there_was() {
    let says = async |word: &'static str| {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut taken = Vec::new();
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::io::AsyncWriteExt::write_all(&mut client, word.as_bytes()).await.unwrap();
                taken.push(client);
            }
        });
        port
    };
    let (one, other) = (says("one").await, says("two").await);
    let relay = Relay::start(one).await;
    let connect = async || {
        let mut client = TcpStream::connect(("127.0.0.1", relay.port())).await.unwrap();
        let mut word = [0; 3];
        client.read_exact(&mut word).await.unwrap();
        (client, word)
    };
    let (mut first, word) = connect().await;
    assert_eq!(&word, b"one");
    relay.turn_to(other);
    let (_second, word) = connect().await;
    assert_eq!(&word, b"two");
    relay.reset();
    let ended = timeout(LONG, first.read_u8()).await.unwrap();
    assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    let (_third, word) = connect().await;
    assert_eq!(&word, b"two");
}

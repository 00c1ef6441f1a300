//! Writes to shapes, torn and on a full server.

use std::time::Duration;

use tidegate_cache::{Key, ShapeError, Shapes, TtlClass};
use tidegate_redis::Keyspace;
use tidegate_testkit::redis::RedisServer;

use crate::ground::{client, key, patient};

const DAY: TtlClass = TtlClass::new("day", Duration::from_secs(24 * 60 * 60));

async fn start() -> (RedisServer, Shapes) {
    let server = RedisServer::start().await;
    let shapes = Shapes::on_redis(client(&patient(&server.url())).await, &Keyspace::new("tg").unwrap());
    (server, shapes)
}

/// One write to a shape of each kind, with this number in it.
async fn write_each(shapes: &Shapes, key: &Key, number: u32) -> Result<(), ShapeError> {
    shapes.counter(DAY).add(key, 1).await?;
    shapes.set(DAY).add(key, &number.to_string()).await?;
    shapes.bitmap(DAY).set(key, number, true).await?;
    shapes.unique(DAY).add(key, &number.to_string()).await
}

/// The torn write may count, because its caller received a success. The next one counts, and sets
/// the expiry that the torn one may lack.
#[tokio::test]
async fn an_acknowledged_write_to_a_shape_counts_after_a_torn_one() {
    let (server, shapes) = start().await;
    write_each(&shapes, &key(1), 1).await.unwrap();
    let scripts = server.append_only_file().transactions().to_vec();
    assert_eq!(scripts.len(), 4, "{scripts:?}");
    for script in &scripts {
        let [write, expiry] = &*script.effects else { panic!("{script:?}") };
        for lost in [&[][..], std::slice::from_ref(write), &[write.clone(), expiry.clone()]] {
            server.replay(&[]).await;
            let before = server.append_only_file().effects().len();
            write_each(&shapes, &key(1), 2).await.unwrap();
            let kept = server.effects_since(before);
            server.replay(&[lost, &kept].concat()).await;
            let counts = [
                shapes.counter(DAY).get(&key(1)).await.unwrap().unwrap().unsigned_abs(),
                shapes.set(DAY).count(&key(1)).await.unwrap(),
                shapes.bitmap(DAY).count(&key(1)).await.unwrap(),
                shapes.unique(DAY).count(&key(1)).await.unwrap(),
            ];
            let twice = usize::from(!lost.is_empty());
            assert_eq!(counts.iter().filter(|count| **count == 2).count(), twice, "{counts:?} after {lost:?}");
            assert!(counts.iter().all(|count| (1..=2).contains(count)), "{counts:?} after {lost:?}");
            assert!(shapes.set(DAY).contains(&key(1), "2").await.unwrap());
            for name in server.cli(&["KEYS", "*"]).await.lines() {
                let left: i64 = server.cli(&["PTTL", name]).await.parse().unwrap();
                assert!(left > 0, "{name} never expires after {lost:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_full_server_refuses_what_shapes_add_and_lets_them_be_emptied() {
    let (server, shapes) = start().await;
    write_each(&shapes, &key(1), 1).await.unwrap();
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let before = server.append_only_file().effects().len();
    let is_full = |error: ShapeError| matches!(&error, ShapeError::Redis(error) if error.is_full());
    for key in [key(1), key(2)] {
        assert!(is_full(shapes.counter(DAY).add(&key, 1).await.unwrap_err()));
        assert!(is_full(shapes.set(DAY).add(&key, "2").await.unwrap_err()));
        assert!(is_full(shapes.bitmap(DAY).set(&key, 2, true).await.unwrap_err()));
        assert!(is_full(shapes.unique(DAY).add(&key, "2").await.unwrap_err()));
    }
    assert_eq!(server.effects_since(before), [], "what is refused has written nothing");
    assert!(shapes.set(DAY).remove(&key(1), "1").await.unwrap());
    assert!(shapes.counter(DAY).delete(&key(1)).await.unwrap() && shapes.bitmap(DAY).delete(&key(1)).await.unwrap());
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]).await;
    write_each(&shapes, &key(1), 2).await.unwrap();
}

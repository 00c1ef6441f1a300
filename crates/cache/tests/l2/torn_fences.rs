//! Fences that a torn append-only file leaves delay no load for longer than a dead process does.

use std::convert::Infallible;
use std::sync::Arc;

use tidegate_cache::{Fill, Json, Key, Lookup, RedisTier, TieredCache, TypedCache};
use tidegate_redis::{Client, Keyspace};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::{RedisServer, Transaction};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::ground::{CLASS, SOON, client, key, patient};

fn values(client: &Client) -> TypedCache<u32> {
    let tier = RedisTier::new(client.clone(), &Keyspace::new("tg").unwrap());
    TieredCache::builder().l2(tier).build().typed_with_codec(CLASS, Json::new())
}

/// The scripts that wrote several fences, and nothing else.
fn of_fences(server: &RedisServer) -> Vec<Transaction> {
    let mut scripts = server.append_only_file().transactions().to_vec();
    scripts.retain(|script| {
        script.effects.iter().all(|effect| effect.args().get(1).is_some_and(|key| key.starts_with(b"tg:cf:")))
    });
    scripts
}

/// Two fences are taken in one script, renewed in another and given back in a third.
#[tokio::test]
async fn fences_of_a_torn_script_delay_no_load() {
    let server = RedisServer::start().await;
    let client = client(&patient(&server.url())).await;
    let is_over = Arc::new(Semaphore::new(0));
    let waits = is_over.clone();
    let fails = async move |_: Vec<Key>| {
        waits.acquire().await.unwrap().forget();
        Err::<Vec<(Key, Fill<u32>)>, _>("no")
    };
    let loads = values(&client);
    let steps = async {
        let wrote = async |name: &str| {
            let has = || of_fences(&server).iter().any(|script| script.is_wrapped && script.effects[0].name() == name);
            poll_until(SOON, async || has().then_some(())).await.unwrap();
        };
        wrote("SET").await;
        wrote("PEXPIREAT").await;
        is_over.add_permits(1);
        wrote("DEL").await;
    };
    let (reads, ()) = tokio::join!(loads.fetch_many([key(1), key(2)], fails), steps);
    assert!(reads.iter().all(Result::is_err));

    let mut base = Vec::new();
    for script in of_fences(&server) {
        for prefix in 0..=script.effects.len() {
            server.replay(&[&base, &script.effects[..prefix]].concat()).await;
            let load = async |keys: Vec<Key>| {
                Ok::<_, Infallible>(keys.into_iter().map(|key| (key, Fill::new(7))).collect::<Vec<_>>())
            };
            let loading = values(&client);
            let reads = timeout(SOON, loading.fetch_many([key(1), key(2)], load)).await.unwrap();
            assert!(reads.into_iter().all(|read| *read.unwrap().unwrap().value == 7));
            let found = values(&client).get_many([key(1), key(2)]).await;
            assert_eq!(found, [Lookup::Fresh(7.into()), Lookup::Fresh(7.into())]);
        }
        base.extend(script.effects);
    }
}

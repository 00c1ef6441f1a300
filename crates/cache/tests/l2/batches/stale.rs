//! Values that L2 holds past their lifetime, read in a batch.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tidegate_cache::{Fill, Json, Key, Lookup, Source, TtlClass};
use tidegate_testkit::poll_until;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::{many, values};
use crate::ground::{Node, SOON, keys, server_and_nodes};

#[tokio::test]
async fn a_batch_of_a_new_process_gets_the_stale_values_of_its_predecessor() {
    const BRIEF: TtlClass = TtlClass::new("brief", Duration::from_millis(1)).grace(Duration::from_secs(600));
    let (_server, [one, other]) = server_and_nodes().await;
    let handle = |node: &Node| node.cache.typed_with_codec::<u32>(BRIEF, Json::new());
    handle(&one).put_many(many(0..100).into_iter().map(|key| (key, 7))).await;
    sleep(Duration::from_millis(5)).await;
    // After a mere read it is stale, and stays so.
    let found = handle(&other).get_many(many(0..50)).await;
    assert!(found.iter().all(|found| *found == Lookup::Stale(Arc::new(7))), "{found:?}");
    // Loaded, it is served meanwhile. Of the last one there is nothing.
    let (gate, loaded) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU32::new(0)));
    let load = |gate: &Arc<Semaphore>| {
        let (gate, loaded) = (Arc::clone(gate), Arc::clone(&loaded));
        async move |keys: Vec<Key>| {
            gate.acquire().await.unwrap().forget();
            loaded.fetch_add(u32::try_from(keys.len()).unwrap(), Ordering::SeqCst);
            let fill = |key: Key| (key, Fill::new(8).ttl(Duration::from_secs(600)));
            Ok::<_, Infallible>(keys.into_iter().map(fill).collect::<Vec<_>>())
        }
    };
    let stale = values(handle(&other).fetch_many(many(50..100), load(&gate)).await);
    assert_eq!(stale, vec![(7, Source::Stale); 50]);
    gate.add_permits(1);
    poll_until(SOON, async || {
        let found = handle(&other).get_many(many(50..100)).await;
        found.iter().all(|found| *found == Lookup::Fresh(Arc::new(8))).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(loaded.load(Ordering::SeqCst), 50, "loaded once");
    let missing = values(handle(&other).fetch_many(many(100..101), load(&Arc::new(Semaphore::new(1)))).await);
    assert_eq!(missing, [(8, Source::Loaded)]);
}

/// A key that the loader of a batch omits is gone, even if only L2 held it, stale or fresh.
#[tokio::test]
async fn a_key_without_a_value_in_a_batch_is_removed_from_l2() {
    const STALE: TtlClass = TtlClass::new("things", Duration::from_millis(1)).grace(Duration::from_secs(600));
    const AHEAD: TtlClass = TtlClass::new("ahead", Duration::from_secs(600))
        .l1_ttl(Duration::from_secs(600))
        .refresh_ahead(Duration::from_secs(300));
    let (_server, [one, other]) = server_and_nodes().await;
    let handle = |node: &Node, class| node.cache.typed_with_codec::<u32>(class, Json::new());
    for (index, class) in (0..).zip([STALE.soft_timeout(SOON), STALE, AHEAD]) {
        let (wanted, there) = (many(index..index + 1), handle(&other, class));
        handle(&one, class).put_many(wanted.iter().map(|key| (key, 7))).await;
        if class == AHEAD {
            assert_eq!(there.get_many(&wanted).await, [Lookup::Fresh(Arc::new(7))]);
            other.clock.advance(Duration::from_secs(301));
        } else {
            sleep(Duration::from_millis(5)).await;
        }
        let read = there.fetch_many(&wanted, async |_| Ok::<_, Infallible>(Vec::new())).await.remove(0).unwrap();
        // A caller with a servable value serves it at once.
        assert_eq!(read.map(|read| *read.value), (index > 0).then_some(7), "{class:?}");
        poll_until(SOON, async || (there.get_many(&wanted).await == [Lookup::Miss]).then_some(())).await.unwrap();
        one.outlive_l1();
        assert_eq!(handle(&one, class).get_many(&wanted).await, [Lookup::Miss], "{class:?}");
        poll_until(SOON, async || keys(&one.client).await.iter().all(|key| !key.contains("{thing")).then_some(()))
            .await
            .unwrap();
    }
}

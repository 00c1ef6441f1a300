//! State after a crash that tears the append-only file within a script.
//!
//! The server forgets the script that a crash has torn, but keeps its first effects in the file.
//! They run at the next restart, before all that was acknowledged since.

use std::collections::HashSet;

use tidegate_cache::{Direction, SortedSetShape};
use tidegate_testkit::redis::RedisServer;

use crate::ground::{Place, key};

/// A step on sets with a limit of 4.
#[derive(Debug, Clone, Copy)]
enum Step {
    Fill,
    Alone,
    Add,
    AddMany,
    ToMany,
    Improve,
    Increment,
    Renew,
    Remove,
    RemoveAll,
    /// All but the member that other steps write.
    RemoveOthers,
    RemoveFromMany,
    /// A name that does not count, as a torn file leaves it.
    Stale,
    Read,
}

use Step::*;

async fn run(place: &Place, step: Step) {
    let (sets, keys) = (place.sets().limit(4), [key(1), key(2)]);
    let done = match step {
        Fill => sets.add_many(&key(1), &[("a", 1), ("b", 2), ("c", 2), ("d", 3)]).await.map(drop),
        Alone => sets.add(&key(1), "a", 1).await.map(drop),
        Add => sets.add(&key(1), "a", 5).await.map(drop),
        AddMany => sets.add_many(&key(1), &[("a", 6), ("x", 7), ("y", 8)]).await.map(drop),
        ToMany => sets.add_to_many(&keys, "a", 9).await.unwrap().into_iter().try_for_each(|added| added.map(drop)),
        Improve => sets.add_if_better(&key(1), "a", 10).await.map(drop),
        Increment => sets.increment(&key(1), "a", 2).await.map(drop),
        Renew => sets.renewing().increment(&key(1), "a", 20).await.map(drop),
        Remove => sets.remove(&key(1), "a").await.map(drop),
        RemoveAll => sets.remove_many(&key(1), &["a", "b", "c", "d"]).await.map(drop),
        RemoveOthers => sets.remove_many(&key(1), &["b", "c", "d"]).await.map(drop),
        RemoveFromMany => sets.remove_from_many(&keys, "a").await.into_iter().try_for_each(|removed| removed.map(drop)),
        Read => sets.count(&key(1)).await.map(drop),
        Stale => {
            let name = format!("tg:csz:{{{}}}", key(1));
            let add = "return redis.call('ZADD', KEYS[1], 0, string.rep('\\1', 16) .. 'a')";
            let server = place.server.as_ref().unwrap();
            assert_eq!(server.cli(&["EVAL", add, "1", &name]).await, "1");
            Ok(())
        }
    };
    done.unwrap();
}

const WITHOUT_EXPIRY: &str = "local found = {}
    for _, name in ipairs(redis.call('KEYS', '*')) do
      if redis.call('PTTL', name) < 0 then found[#found + 1] = name end
    end
    return table.concat(found, ' ')";

const BOTH_AGREE: &str = "for _, name in ipairs(redis.call('KEYS', 'tg:csz:*')) do
      if redis.call('ZCARD', name) ~= redis.call('HLEN', (name:gsub('csz', 'cszx'))) then return name end
    end
    return ''";

/// Checks that every key expires, even if it is never read, that no member is there twice, and that
/// both keys agree once the set was read.
async fn check(server: &RedisServer, sets: &SortedSetShape, of: &str) {
    assert_eq!(server.cli(&["EVAL", WITHOUT_EXPIRY, "0"]).await, "", "after {of}");
    for key in [key(1), key(2)] {
        let range = sets.range(&key, Direction::Forward, 0, 100).await.unwrap();
        let different: HashSet<&str> = range.iter().map(|member| member.member.as_str()).collect();
        assert_eq!(different.len(), range.len(), "after {of}");
        assert_eq!(sets.count(&key).await.unwrap(), range.len() as u64, "after {of}");
        for (rank, member) in (0..).zip(&range) {
            assert_eq!(sets.rank(&key, &member.member).await.unwrap(), Some(rank), "after {of}");
            assert_eq!(sets.score(&key, &member.member).await.unwrap(), Some(member.score), "after {of}");
        }
    }
    assert_eq!(server.cli(&["EVAL", BOTH_AGREE, "0"]).await, "", "after {of}");
}

/// Replays each prefix of the effects of `torn`, alone and before those of `next`, which does not
/// know of it, and of an addition after that.
async fn tear(before: &[Step], torns: &[Step], nexts: &[Step]) {
    let place = Place::redis().await;
    let (sets, server) = (place.sets().limit(4), place.server.as_ref().unwrap());
    for step in before {
        run(&place, *step).await;
    }
    let base = server.append_only_file().effects();
    let mut written = base.len();
    let mut since = || {
        let effects = server.effects_since(written);
        written += effects.len();
        effects
    };
    for torn in torns {
        server.replay(&base).await;
        since();
        run(&place, *torn).await;
        let lost = since();
        assert!(!lost.is_empty(), "{torn:?} has effects");
        for next in nexts {
            server.replay(&base).await;
            since();
            run(&place, *next).await;
            let score = sets.score(&key(1), "a").await.unwrap();
            let kept = since();
            sets.add(&key(1), "z", 11).await.unwrap();
            let later = [kept.clone(), since()].concat();
            for prefix in 0..=lost.len() {
                for (name, more) in [("nothing", &[][..]), ("the next", &*kept), ("two more", &*later)] {
                    let of = format!("{prefix} effects of {torn:?} and {name} of {next:?}: {lost:?}");
                    server.replay(&[&base, &lost[..prefix], more].concat()).await;
                    check(server, &sets, &of).await;
                    if name != "nothing" && !matches!(next, RemoveOthers) {
                        assert_eq!(sets.score(&key(1), "a").await.unwrap(), score, "after {of}");
                    }
                    // The remaining set is still usable.
                    sets.add(&key(1), "new", 99).await.unwrap();
                    assert_eq!(sets.rank(&key(1), "new").await.unwrap(), Some(0), "after {of}");
                    assert!(sets.count(&key(1)).await.unwrap() <= 4, "after {of}");
                    check(server, &sets, &of).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_torn_first_write_leaves_no_member_twice_and_no_key_without_expiry() {
    tear(&[], &[Fill, Alone, AddMany, ToMany, Improve, Increment], &[Add, ToMany, Increment]).await;
}

#[tokio::test]
async fn a_torn_addition_leaves_no_member_twice_and_no_key_without_expiry() {
    tear(&[Fill], &[Add, AddMany, ToMany, Improve, Increment, Renew], &[Add, AddMany, Increment, Remove, RemoveAll])
        .await;
}

#[tokio::test]
async fn a_torn_removal_leaves_no_member_twice_and_no_key_without_expiry() {
    tear(&[Fill], &[Remove], &[RemoveOthers]).await;
    tear(&[Fill, ToMany], &[Remove, RemoveFromMany], &[Add, Improve, Increment, Remove, Renew, RemoveAll]).await;
}

#[tokio::test]
async fn a_torn_write_to_a_single_member_leaves_it_once_and_no_key_without_expiry() {
    tear(&[Alone], &[Add, Increment, ToMany], &[Add, Increment, Remove, RemoveFromMany]).await;
}

#[tokio::test]
async fn a_torn_repair_leaves_no_member_twice_and_no_key_without_expiry() {
    tear(&[Fill, Stale], &[Read, Add, ToMany, Remove, RemoveAll], &[Add, ToMany, RemoveAll]).await;
    tear(&[Alone, Stale], &[Read, Remove], &[Add, Remove]).await;
}

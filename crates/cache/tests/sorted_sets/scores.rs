//! Scores and their order, limits, lifetimes.

use std::time::Duration;

use tidegate_cache::{Direction, ManualClock, ShapeError, Shapes, TtlClass};

use crate::ground::{DAY, Place, all, key, names};

const HIGHEST: i64 = (1 << 53) - 1;

#[tokio::test]
async fn equal_scores_are_ordered_by_when_they_were_reached() {
    for place in &Place::all().await {
        for sets in [place.sets(), place.sets().lowest_first()] {
            for member in ["zoe", "ada", "mia"] {
                assert!(sets.add(&key(1), member, 5).await.unwrap());
            }
            assert!(!sets.add(&key(1), "zoe", 5).await.unwrap(), "it has this score already");
            let forward = sets.range(&key(1), Direction::Forward, 0, 10).await.unwrap();
            assert_eq!(names(&forward), ["zoe", "ada", "mia"]);
            let backward = sets.range(&key(1), Direction::Backward, 0, 10).await.unwrap();
            assert_eq!(names(&backward), ["mia", "ada", "zoe"]);
            // One that leaves its score and comes back is the last that reached it.
            sets.add(&key(1), "zoe", 6).await.unwrap();
            sets.add(&key(1), "zoe", 5).await.unwrap();
            assert_eq!(names(&sets.range(&key(1), Direction::Forward, 0, 10).await.unwrap()), ["ada", "mia", "zoe"]);
            assert_eq!(sets.rank(&key(1), "zoe").await.unwrap(), Some(2));
        }
    }
}

#[tokio::test]
async fn members_of_one_call_have_the_order_of_the_slice() {
    for place in &Place::all().await {
        let sets = place.sets();
        let members = [("c", 1), ("b", 1), ("c", 1), ("a", 1), ("b", 7)];
        assert_eq!(sets.add_many(&key(1), &members).await.unwrap(), 3);
        let expected = [("b", 7), ("c", 1), ("a", 1)].map(|(member, score)| (member.to_owned(), score));
        assert_eq!(all(&sets, &key(1)).await, expected);
        assert_eq!(sets.add_many(&key(1), &[("a", 1), ("d", 0)]).await.unwrap(), 1);
        assert_eq!(sets.add_many(&key(2), &[]).await.unwrap(), 0);
        assert_eq!(sets.ttl(&key(2)).await.unwrap(), None);
    }
}

#[tokio::test]
async fn scores_are_exact_up_to_both_ends_and_refused_beyond() {
    for place in &Place::all().await {
        for sets in [place.sets(), place.sets().lowest_first()] {
            let scores = [HIGHEST, HIGHEST - 1, 1, 0, -1, -255, -256, -HIGHEST + 1, -HIGHEST];
            for score in scores {
                sets.add(&key(1), &score.to_string(), score).await.unwrap();
            }
            for score in scores {
                assert_eq!(sets.score(&key(1), &score.to_string()).await.unwrap(), Some(score));
            }
            let direction = if sets.rank(&key(1), &HIGHEST.to_string()).await.unwrap() == Some(0) {
                Direction::Forward
            } else {
                Direction::Backward
            };
            let range = sets.range(&key(1), direction, 0, 100).await.unwrap();
            assert_eq!(range.iter().map(|member| member.score).collect::<Vec<_>>(), scores);
            for score in [HIGHEST + 1, -HIGHEST - 1, i64::MAX, i64::MIN] {
                assert!(matches!(sets.add(&key(1), "x", score).await, Err(ShapeError::Score)));
                assert!(matches!(sets.add_if_better(&key(1), "x", score).await, Err(ShapeError::Score)));
                assert!(matches!(sets.increment(&key(1), "x", score).await, Err(ShapeError::Score)));
                assert!(matches!(sets.add_to_many(&[key(1)], "x", score).await, Err(ShapeError::Score)));
                let some = [("y", 1), ("x", score)];
                assert!(matches!(sets.add_many(&key(1), &some).await, Err(ShapeError::Score)));
            }
            assert!(matches!(sets.increment(&key(1), &HIGHEST.to_string(), 1).await, Err(ShapeError::Score)));
            assert!(matches!(sets.increment(&key(1), &(-HIGHEST).to_string(), -1).await, Err(ShapeError::Score)));
            assert_eq!(sets.count(&key(1)).await.unwrap(), 9, "nothing was changed");
        }
    }
}

#[tokio::test]
async fn any_text_is_a_member_up_to_its_length() {
    for place in &Place::all().await {
        let sets = place.sets();
        let long = "x".repeat(512);
        for member in ["", "\u{ff}", "ü\n\0", "{}:", &long] {
            assert!(sets.add(&key(1), member, 1).await.unwrap());
            assert_eq!(sets.score(&key(1), member).await.unwrap(), Some(1));
        }
        let members = sets.range(&key(1), Direction::Forward, 0, 10).await.unwrap();
        assert_eq!(names(&members), ["", "\u{ff}", "ü\n\0", "{}:", &long]);
        let longer = "x".repeat(513);
        let refused = sets.add(&key(1), &longer, 1).await;
        assert!(matches!(refused, Err(ShapeError::TooLong { length: 513, limit: 512 })));
        for member in ["", "\u{ff}", "ü\n\0", "{}:"] {
            assert!(sets.remove(&key(1), member).await.unwrap() && !sets.remove(&key(1), member).await.unwrap());
        }
        assert_eq!(sets.remove_many(&key(1), &[&long, "a", &long]).await.unwrap(), 1);
        assert_eq!((sets.count(&key(1)).await.unwrap(), sets.ttl(&key(1)).await.unwrap()), (0, None));
        assert_eq!(sets.remove_many(&key(1), &[]).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_set_keeps_the_first_members_up_to_its_limit() {
    for place in &Place::all().await {
        let sets = place.sets().limit(3);
        assert_eq!(sets.add_many(&key(1), &[("a", 1), ("b", 2), ("c", 3), ("d", 4)]).await.unwrap(), 3);
        assert!(!sets.add(&key(1), "low", 1).await.unwrap() && !sets.add_if_better(&key(1), "low", 1).await.unwrap());
        assert_eq!(sets.score(&key(1), "low").await.unwrap(), None);
        assert_eq!(sets.increment(&key(1), "low", 1).await.unwrap(), 1);
        assert!(sets.add(&key(1), "e", 3).await.unwrap());
        assert_eq!(names(&sets.range(&key(1), Direction::Forward, 0, 9).await.unwrap()), ["d", "c", "e"]);
        assert!(!sets.clone().limit(0).add(&key(1), "c", 1).await.unwrap(), "a limit is one at least");
        assert_eq!(names(&sets.range(&key(1), Direction::Forward, 0, 9).await.unwrap()), ["d"]);

        let times = place.sets().lowest_first().limit(2);
        assert_eq!(times.add_many(&key(1), &[("x", 30), ("y", 10), ("z", 20)]).await.unwrap(), 2);
        assert_eq!(names(&times.range(&key(1), Direction::Forward, 0, 9).await.unwrap()), ["y", "z"]);
        assert_eq!(sets.count(&key(1)).await.unwrap(), 1, "the other set of the same key is left alone");
    }
}

#[tokio::test]
async fn a_big_set_is_written_and_trimmed_in_one_step() {
    for place in &Place::all().await {
        let members: Vec<String> = (0..5_000).map(|nth| format!("member {nth}")).collect();
        let scored: Vec<(&str, i64)> = members.iter().map(String::as_str).zip(0..).collect();
        assert_eq!(place.sets().add_many(&key(1), &scored).await.unwrap(), 5_000);
        assert_eq!(place.sets().add_many(&key(1), &scored).await.unwrap(), 0);
        let few = place.sets().limit(10);
        assert!(few.add(&key(1), "one more", 4_995).await.unwrap());
        let left = all(&few, &key(1)).await;
        assert_eq!((left.len(), left[4].1, &*left[5].0), (10, 4_995, "one more"));
        let all: Vec<&str> = members.iter().map(String::as_str).collect();
        assert_eq!(few.remove_many(&key(1), &all).await.unwrap(), 9);
    }
}

#[tokio::test]
async fn the_expiry_begins_with_the_first_write_or_with_each() {
    for place in &Place::all().await {
        let class = |seconds| TtlClass::new("short", Duration::from_secs(seconds));
        let (first, later) = (place.shapes.sorted_set(class(1_000)), place.shapes.sorted_set(class(5_000)));
        assert_eq!(first.ttl(&key(1)).await.unwrap(), None);
        first.add(&key(1), "a", 1).await.unwrap();
        later.add(&key(1), "b", 1).await.unwrap();
        let left = later.ttl(&key(1)).await.unwrap().unwrap();
        assert!(left <= Duration::from_secs(1_000) && left > Duration::from_secs(900), "{left:?}");
        later.renewing().add(&key(1), "b", 1).await.unwrap();
        let left = first.ttl(&key(1)).await.unwrap().unwrap();
        assert!(left > Duration::from_secs(4_900), "{left:?}");
        assert!(first.delete(&key(1)).await.unwrap() && !first.delete(&key(1)).await.unwrap());
        assert_eq!((first.count(&key(1)).await.unwrap(), first.rank(&key(1), "a").await.unwrap()), (0, None));
    }
}

#[tokio::test]
async fn an_expired_key_in_memory_starts_empty() {
    let clock = ManualClock::new();
    let sets = Shapes::in_memory_by(100, clock.clone()).sorted_set(DAY);
    sets.add(&key(1), "a", 5).await.unwrap();
    clock.advance(Duration::from_secs(24 * 60 * 60));
    assert_eq!((sets.count(&key(1)).await.unwrap(), sets.score(&key(1), "a").await.unwrap()), (0, None));
    assert_eq!(sets.increment(&key(1), "a", 1).await.unwrap(), 1);
}

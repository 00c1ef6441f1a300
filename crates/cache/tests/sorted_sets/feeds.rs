//! Sorted sets as feeds: one post into many sets, and pages of them.

use std::ops::Bound;

use tidegate_cache::{Direction, Key, ScoreCursor};

use crate::ground::{Place, key, names};

#[tokio::test]
async fn a_post_comes_into_the_feed_of_every_follower() {
    for place in &Place::all().await {
        let feeds = place.sets().limit(3);
        let followers: Vec<Key> = (0..200).map(key).collect();
        feeds.add(&followers[7], "post 2", 2).await.unwrap();
        for post in 0..5_i64 {
            let added = feeds.add_to_many(&followers, &format!("post {post}"), post).await.unwrap();
            for (nth, added) in added.into_iter().enumerate() {
                assert_eq!(added.unwrap(), (nth, post) != (7, 2), "{nth}");
            }
        }
        for follower in &followers {
            let feed = feeds.range(follower, Direction::Forward, 0, 10).await.unwrap();
            assert_eq!(names(&feed), ["post 4", "post 3", "post 2"]);
            assert!(feeds.ttl(follower).await.unwrap().is_some());
        }
        let some = [followers[0].clone(), key(999), followers[1].clone()];
        let removed = feeds.remove_from_many(&some, "post 3").await;
        let removed: Vec<bool> = removed.into_iter().map(Result::unwrap).collect();
        assert_eq!(removed, [true, false, true]);
        assert!(feeds.add_to_many(&[], "post 9", 9).await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_have_no_gaps_and_no_repeats_while_posts_arrive_and_go() {
    for place in &Place::all().await {
        for direction in [Direction::Forward, Direction::Backward] {
            let feed = place.sets().limit(2_000);
            feed.delete(&key(1)).await.unwrap();
            // Posts of a second have one score, so that many cursors stand between equal ones.
            let posts: Vec<String> = (0..400).map(|nth| format!("post {nth}")).collect();
            let scored: Vec<(&str, i64)> = posts.iter().map(String::as_str).zip((0..400).map(|nth| nth / 30)).collect();
            feed.add_many(&key(1), &scored).await.unwrap();
            let writer = tokio::spawn({
                let feed = feed.clone();
                async move {
                    for nth in 0..400_i64 {
                        feed.add(&key(1), &format!("new {nth}"), nth % 40 - 10).await.unwrap();
                        feed.remove(&key(1), &format!("new {}", nth - 3)).await.unwrap();
                    }
                }
            });
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = feed.page(&key(1), direction, .., after, 7).await.unwrap();
                seen.extend(page.iter().map(|post| post.member.clone()));
                let Some(last) = page.last() else { break };
                // In the form that the address of the next page has.
                after = Some(last.cursor.to_string().parse::<ScoreCursor>().unwrap());
                // The post at the cursor goes, and the next page continues all the same.
                if last.member.starts_with("new") {
                    feed.remove(&key(1), &last.member).await.unwrap();
                }
            }
            writer.await.unwrap();
            let mut old: Vec<&String> = seen.iter().filter(|member| member.starts_with("post")).collect();
            assert_eq!(old.len(), 400, "no gaps and no repeats");
            old.sort();
            old.dedup();
            assert_eq!(old.len(), 400);
            let count = seen.len();
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), count, "no new one is repeated");
        }
    }
}

#[tokio::test]
async fn a_page_has_the_requested_range_of_scores() {
    for place in &Place::all().await {
        for (sets, forward) in [(place.sets(), Direction::Forward), (place.sets().lowest_first(), Direction::Backward)]
        {
            for score in -5..=5_i64 {
                sets.add(&key(1), &score.to_string(), score).await.unwrap();
            }
            let falling = async |start, end| {
                let page = sets.page(&key(1), forward, (start, end), None, 100).await.unwrap();
                page.into_iter().map(|member| member.score).collect::<Vec<_>>()
            };
            use Bound::{Excluded, Included, Unbounded};
            assert_eq!(falling(Included(-1), Included(2)).await, [2, 1, 0, -1]);
            assert_eq!(falling(Excluded(-1), Excluded(2)).await, [1, 0]);
            assert_eq!(falling(Included(4), Unbounded).await, [5, 4]);
            assert_eq!(falling(Unbounded, Excluded(-4)).await, [-5]);
            assert_eq!(falling(Included(i64::MIN), Included(i64::MAX)).await.len(), 11);
            for (start, end) in [
                (Included(2), Included(1)),
                (Excluded(1), Excluded(2)),
                (Excluded(i64::MAX), Unbounded),
                (Unbounded, Excluded(i64::MIN)),
            ] {
                assert_eq!(falling(start, end).await, [0; 0]);
            }
            let first = sets.page(&key(1), forward, -2..=2, None, 3).await.unwrap();
            let next = sets.page(&key(1), forward, -2..=2, Some(first[2].cursor), 3).await.unwrap();
            assert_eq!(names(&next), ["-1", "-2"]);
            assert!(sets.page(&key(1), forward, 3..=5, Some(first[2].cursor), 3).await.unwrap().is_empty());
            assert!(sets.page(&key(1), forward, .., None, 0).await.unwrap().is_empty());
            assert!(sets.page(&key(2), forward, .., Some(first[2].cursor), 3).await.unwrap().is_empty());
        }
    }
}

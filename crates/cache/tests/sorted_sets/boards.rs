//! Sorted sets as leaderboards.

use tidegate_cache::Direction;
use tokio::task::JoinSet;

use crate::ground::{Place, all, key, names};

#[tokio::test]
async fn a_score_is_raised_only_by_a_better_one() {
    for place in &Place::all().await {
        let board = place.sets();
        assert!(board.add_if_better(&key(1), "ada", 10).await.unwrap());
        assert!(!board.add_if_better(&key(1), "ada", 10).await.unwrap());
        assert!(!board.add_if_better(&key(1), "ada", 9).await.unwrap());
        assert!(board.add_if_better(&key(1), "ada", 11).await.unwrap());
        assert_eq!(board.score(&key(1), "ada").await.unwrap(), Some(11));
        let times = place.sets().lowest_first();
        assert!(times.add_if_better(&key(1), "ada", 10).await.unwrap());
        assert!(!times.add_if_better(&key(1), "ada", 11).await.unwrap());
        assert!(times.add_if_better(&key(1), "ada", -1).await.unwrap());
        assert_eq!(times.score(&key(1), "ada").await.unwrap(), Some(-1));
    }
}

#[tokio::test]
async fn a_score_is_incremented_from_zero() {
    for place in &Place::all().await {
        for board in [place.sets(), place.sets().lowest_first()] {
            assert_eq!(board.increment(&key(1), "ada", 5).await.unwrap(), 5);
            assert_eq!(board.increment(&key(1), "ada", -7).await.unwrap(), -2);
            assert_eq!(board.increment(&key(1), "ben", 0).await.unwrap(), 0);
            assert_eq!(board.increment(&key(1), "ada", 2).await.unwrap(), 0);
            // Both have zero points, and ben had them first.
            assert_eq!(board.rank(&key(1), "ben").await.unwrap(), Some(0));
            assert_eq!(board.increment(&key(1), "ben", 0).await.unwrap(), 0);
            assert_eq!(board.rank(&key(1), "ben").await.unwrap(), Some(0));
        }
    }
}

#[tokio::test]
async fn pages_ranks_and_neighbours_agree() {
    for place in &Place::all().await {
        let board = place.sets();
        let players: Vec<String> = (0..300).map(|nth| format!("player {nth}")).collect();
        let scores: Vec<(&str, i64)> = players.iter().map(String::as_str).zip((0..300).map(|nth| nth / 7)).collect();
        board.add_many(&key(1), &scores).await.unwrap();
        let ordered = all(&board, &key(1)).await;
        let page = board.range(&key(1), Direction::Forward, 100, 100).await.unwrap();
        assert!(page.iter().map(|member| &member.member).eq(ordered[100..200].iter().map(|(member, _)| member)));
        let last = board.range(&key(1), Direction::Backward, 0, 2).await.unwrap();
        assert_eq!(names(&last), [ordered[299].0.as_str(), ordered[298].0.as_str()]);
        assert!(board.range(&key(1), Direction::Forward, 300, 10).await.unwrap().is_empty());
        assert!(board.range(&key(1), Direction::Forward, u64::MAX, usize::MAX).await.unwrap().is_empty());
        assert!(board.range(&key(1), Direction::Forward, 0, 0).await.unwrap().is_empty());
        for at in [0, 3, 150, 297, 299_usize] {
            let member = &ordered[at].0;
            assert_eq!(board.rank(&key(1), member).await.unwrap(), Some(at as u64));
            let near = board.neighbours(&key(1), member, 5).await.unwrap();
            let from = at.saturating_sub(5);
            let expected = &ordered[from..300.min(at + 6)];
            assert!(near.iter().map(|(_, near)| &near.member).eq(expected.iter().map(|(member, _)| member)));
            assert!(near.iter().map(|(rank, _)| *rank).eq((from as u64..).take(expected.len())));
        }
        assert_eq!(board.neighbours(&key(1), "player 0", u32::MAX).await.unwrap().len(), 300);
        assert!(board.neighbours(&key(1), "nobody", 5).await.unwrap().is_empty());
        assert_eq!(board.rank(&key(1), "nobody").await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_increment_of_players_at_once_is_lost_and_no_reader_sees_a_player_twice() {
    for place in &Place::all().await {
        let board = place.sets().limit(20);
        let mut tasks = JoinSet::new();
        for task in 0..8_u32 {
            let board = board.clone();
            tasks.spawn(async move {
                for nth in 0..50 {
                    board.increment(&key(1), &format!("player {}", nth % 10), 1).await.unwrap();
                    board.add(&key(1), &format!("guest {task} {nth}"), -nth).await.unwrap();
                    let range = board.range(&key(1), Direction::Forward, 0, 100).await.unwrap();
                    let mut seen = names(&range);
                    assert!(seen.len() <= 20, "{}", seen.len());
                    assert!(range.is_sorted_by(|one, next| one.score >= next.score));
                    seen.sort_unstable();
                    assert!(seen.is_sorted_by(|one, next| one < next), "{seen:?}");
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        let players = board.range(&key(1), Direction::Forward, 0, 10).await.unwrap();
        assert!(players.iter().all(|player| player.score == 40 && player.member.starts_with("player")));
        assert_eq!(board.count(&key(1)).await.unwrap(), 20);
    }
}

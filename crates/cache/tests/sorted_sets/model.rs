//! Sorted sets compared with a plain model: a list that is sorted after each step.

use std::cell::Cell;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tidegate_cache::{Direction, Key, ShapeError, SortedSetShape};
use tokio::runtime::Runtime;

use crate::ground::{Place, key};

const LIMIT: usize = 5;
const HIGHEST: i64 = (1 << 53) - 1;

#[derive(Debug, Clone)]
enum Step {
    Add(Vec<(String, i64)>),
    Improve(String, i64),
    Increment(String, i64),
    Remove(Vec<String>),
    Page { limit: usize, scores: (i64, i64) },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let member = || "[a-h]";
    let score = || prop_oneof![8 => -3..=3_i64, 1 => Just(HIGHEST), 1 => Just(-HIGHEST)];
    let step = prop_oneof![
        4 => vec((member(), score()), 1..4).prop_map(Step::Add),
        2 => (member(), score()).prop_map(|(member, score)| Step::Improve(member, score)),
        2 => (member(), score()).prop_map(|(member, by)| Step::Increment(member, by)),
        1 => vec(member(), 1..4).prop_map(Step::Remove),
        2 => (1..4_usize, (score(), score())).prop_map(|(limit, scores)| Step::Page { limit, scores }),
    ];
    vec(step, 1..30)
}

/// Members, scores, and the order in which these were reached.
struct Model {
    members: Vec<(String, i64, u64)>,
    reached: u64,
    is_lowest_first: bool,
}

impl Model {
    fn score(&self, member: &str) -> Option<i64> {
        self.members.iter().find(|known| known.0 == member).map(|known| known.1)
    }

    fn is_better(&self, score: i64, before: i64) -> bool {
        if self.is_lowest_first { score < before } else { score > before }
    }

    fn put(&mut self, member: &str, score: i64) {
        if self.score(member) != Some(score) {
            self.members.retain(|known| known.0 != member);
            self.reached += 1;
            self.members.push((member.to_owned(), score, self.reached));
        }
    }

    fn trim(&mut self) {
        let is_lowest_first = self.is_lowest_first;
        self.members.sort_by_key(|(_, score, reached)| (if is_lowest_first { *score } else { -*score }, *reached));
        self.members.truncate(LIMIT);
    }

    fn scored(&self) -> Vec<(String, i64)> {
        self.members.iter().map(|(member, score, _)| (member.clone(), *score)).collect()
    }
}

async fn apply(sets: &SortedSetShape, key: &Key, model: &mut Model, step: &Step) {
    match step {
        Step::Add(members) => {
            let before = model.scored();
            for (nth, (member, score)) in members.iter().enumerate() {
                if !members[nth + 1..].iter().any(|later| later.0 == *member) {
                    model.put(member, *score);
                }
            }
            model.trim();
            let is_new = |member: &&(String, i64)| !before.iter().any(|known| known.0 == member.0);
            let new = model.scored().iter().filter(is_new).count() as u64;
            let members: Vec<(&str, i64)> = members.iter().map(|(member, score)| (member.as_str(), *score)).collect();
            assert_eq!(sets.add_many(key, &members).await.unwrap(), new);
        }
        Step::Improve(member, score) => {
            let is_better = model.score(member).is_none_or(|before| model.is_better(*score, before));
            if is_better {
                model.put(member, *score);
            }
            model.trim();
            let is_changed = is_better && model.score(member).is_some();
            assert_eq!(sets.add_if_better(key, member, *score).await.unwrap(), is_changed);
        }
        Step::Increment(member, by) => {
            let sum = model.score(member).unwrap_or(0) + by;
            let answer = sets.increment(key, member, *by).await;
            if sum.abs() > HIGHEST {
                assert!(matches!(answer, Err(ShapeError::Score)));
                return;
            }
            assert_eq!(answer.unwrap(), sum);
            model.put(member, sum);
            model.trim();
        }
        Step::Remove(members) => {
            let before = model.members.len();
            model.members.retain(|known| !members.contains(&known.0));
            let members: Vec<&str> = members.iter().map(String::as_str).collect();
            let removed = (before - model.members.len()) as u64;
            assert_eq!(sets.remove_many(key, &members).await.unwrap(), removed);
        }
        Step::Page { limit, scores } => {
            for direction in [Direction::Forward, Direction::Backward] {
                let (mut seen, mut after) = (Vec::new(), None);
                loop {
                    let page = sets.page(key, direction, scores.0..=scores.1, after, *limit).await.unwrap();
                    after = page.last().map(|last| last.cursor);
                    let is_last = page.len() < *limit;
                    seen.extend(page.into_iter().map(|member| (member.member, member.score)));
                    if is_last {
                        break;
                    }
                }
                let mut expected = model.scored();
                expected.retain(|(_, score)| (scores.0..=scores.1).contains(score));
                if direction == Direction::Backward {
                    expected.reverse();
                }
                assert_eq!(seen, expected);
            }
        }
    }
}

async fn compare(sets: &SortedSetShape, key: &Key, model: &Model) {
    let mut expected = model.scored();
    assert_eq!(sets.count(key).await.unwrap(), expected.len() as u64);
    for member in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let rank = expected.iter().position(|known| known.0 == member).map(|rank| rank as u64);
        assert_eq!(sets.rank(key, member).await.unwrap(), rank);
        assert_eq!(sets.score(key, member).await.unwrap(), model.score(member));
    }
    for direction in [Direction::Forward, Direction::Backward] {
        let range = sets.range(key, direction, 1, 3).await.unwrap();
        let range: Vec<(String, i64)> = range.into_iter().map(|member| (member.member, member.score)).collect();
        assert_eq!(range, expected.iter().skip(1).take(3).cloned().collect::<Vec<_>>());
        expected.reverse();
    }
    if let Some((member, _)) = expected.get(1) {
        let near = sets.neighbours(key, member, 1).await.unwrap();
        let near: Vec<(u64, String)> = near.into_iter().map(|(rank, near)| (rank, near.member)).collect();
        assert_eq!(near, (0..).zip(expected.iter().take(3).map(|known| known.0.clone())).collect::<Vec<_>>());
    }
}

#[test]
fn any_steps_do_what_a_sorted_list_does() {
    let runtime = Runtime::new().unwrap();
    for (place, cases) in runtime.block_on(Place::all()).iter().zip([400, 40]) {
        let mut run = TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() });
        let tried = Cell::new(0);
        let outcome = run.run(&(steps(), any::<bool>()), |(steps, is_lowest_first)| {
            tried.set(tried.get() + 1);
            let key = key(tried.get());
            let sets = place.sets().limit(LIMIT);
            let sets = if is_lowest_first { sets.lowest_first() } else { sets };
            let mut model = Model { members: Vec::new(), reached: 0, is_lowest_first };
            runtime.block_on(async {
                for step in &steps {
                    apply(&sets, &key, &mut model, step).await;
                    compare(&sets, &key, &model).await;
                }
            });
            Ok(())
        });
        outcome.unwrap();
    }
}

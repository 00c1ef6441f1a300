//! Transitions on their way to a receiver.

use std::time::Duration;

use proptest::prelude::*;
use tidegate_perfmon::{AlertRule, Alerts, Observation, Outbox, Severity, Transition};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Transitions numbered from 1.
fn transitions(count: u64) -> Vec<Transition> {
    let mut alerts = Alerts::new(vec![AlertRule::new("r", Severity::Info)], 0).expect("a sound rule");
    let steps = (0..count).flat_map(|second| {
        let seen = Observation::new("r", Some(second % 2 == 0), 1.0, 1.0);
        alerts.evaluate(secs(second), second, &[seen])
    });
    steps.take(usize::try_from(count).expect("few")).collect()
}

fn seq(outbox: &Outbox, now: u64) -> Option<u64> {
    outbox.next(secs(now)).map(|transition| transition.seq)
}

#[test]
fn eight_tries_with_longer_and_longer_waits_between_and_the_others_behind() {
    let mut outbox = Outbox::new(10);
    transitions(2).into_iter().for_each(|transition| outbox.push(transition));
    assert_eq!((seq(&outbox, 0), outbox.due()), (Some(1), Some(secs(0))));
    let mut now = 10;
    for wait in [1, 5, 15, 30, 60, 120, 300] {
        outbox.failed(1, secs(now));
        now += wait;
        assert_eq!((seq(&outbox, now - 1), seq(&outbox, now)), (None, Some(1)));
    }
    outbox.failed(1, secs(now));
    assert_eq!(seq(&outbox, now), Some(2), "the next doesn't wait for one that was given up");
    outbox.delivered(2);
    let counts = outbox.counts();
    assert_eq!((counts.delivered, counts.failed, counts.given_up, counts.dropped), (1, 8, 1, 0));
    assert_eq!((outbox.waiting(), outbox.due()), (0, None));
}

#[test]
fn a_permanent_failure_is_given_up_at_once() {
    let mut outbox = Outbox::new(10);
    transitions(2).into_iter().for_each(|transition| outbox.push(transition));
    outbox.give_up(2);
    assert_eq!((seq(&outbox, 0), outbox.waiting()), (Some(1), 2), "it isn't its turn");
    outbox.give_up(1);
    assert_eq!((seq(&outbox, 0), outbox.counts().failed, outbox.counts().given_up), (Some(2), 1, 1));
}

#[test]
fn a_receiver_with_retry_after_is_retried_then_and_no_earlier() {
    let mut outbox = Outbox::new(10);
    transitions(2).into_iter().for_each(|transition| outbox.push(transition));
    outbox.failed_until(1, secs(10), secs(40));
    assert_eq!((seq(&outbox, 39), seq(&outbox, 40)), (None, Some(1)));
    outbox.failed_until(1, secs(40), secs(41));
    assert_eq!((seq(&outbox, 44), seq(&outbox, 45)), (None, Some(1)), "its own wait is longer");
}

#[test]
fn a_withdrawn_transition_is_neither_sent_nor_counted() {
    let mut outbox = Outbox::new(10);
    transitions(3).into_iter().for_each(|transition| outbox.push(transition));
    outbox.retain(|transition| transition.seq == 2);
    assert_eq!((seq(&outbox, 0), outbox.waiting(), outbox.counts().dropped), (Some(2), 1, 0));
}

#[test]
fn the_oldest_is_dropped_also_while_it_is_under_way() {
    let mut outbox = Outbox::new(2);
    let mut all = transitions(3).into_iter();
    outbox.push(all.next().expect("one"));
    assert_eq!(seq(&outbox, 0), Some(1));
    all.for_each(|transition| outbox.push(transition));
    // Word of the first comes late, and concerns none of these.
    outbox.delivered(1);
    outbox.failed(1, secs(0));
    assert_eq!((seq(&outbox, 0), outbox.waiting(), outbox.counts().dropped), (Some(2), 2, 1));
    assert_eq!((outbox.counts().delivered, outbox.counts().failed), (0, 0));
}

proptest! {
    /// Whatever the receiver does: the order is kept, the limit is never exceeded, and each
    /// transition's end is counted once.
    #[test]
    fn nothing_is_lost_uncounted(
        most in 0usize..8,
        acts in prop::collection::vec((any::<bool>(), prop::option::of(any::<bool>()), 0u64..4), 1..200),
    ) {
        let mut outbox = Outbox::new(most);
        let mut all = transitions(200).into_iter();
        let (mut now, mut pushed, mut last) = (0, 0, 0);
        for (push, answer, passes) in acts {
            now += passes;
            if push {
                outbox.push(all.next().expect("enough"));
                pushed += 1;
            }
            prop_assert!(outbox.waiting() <= most.max(1));
            if let (Some(head), Some(is_well)) = (seq(&outbox, now), answer) {
                prop_assert!(head >= last);
                last = head;
                if is_well { outbox.delivered(head) } else { outbox.failed(head, secs(now)) }
            }
            let counts = outbox.counts();
            let ended = counts.delivered + counts.given_up + counts.dropped;
            prop_assert_eq!(ended + outbox.waiting() as u64, pushed);
        }
    }
}

//! The machine against a plain model, which keeps the whole history and counts it anew at each
//! step.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::machine::{FailureRate, Machine, Rules, Signal, State};

#[derive(Clone, Debug)]
enum Step {
    Call,
    /// End of one of the calls in progress.
    End(prop::sample::Index, Signal),
    Pass(Duration),
    ForceOpen,
    Reset,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let signal = prop_oneof![2 => Just(Signal::Success), 4 => Just(Signal::Failure), 1 => Just(Signal::Nothing)];
    let step = prop_oneof![
        20 => Just(Step::Call),
        20 => (any::<prop::sample::Index>(), signal).prop_map(|(call, signal)| Step::End(call, signal)),
        8 => (0u64..400).prop_map(|millis| Step::Pass(Duration::from_millis(millis))),
        1 => Just(Step::ForceOpen),
        1 => Just(Step::Reset),
    ];
    prop::collection::vec(step, 1..200)
}

fn rules() -> impl Strategy<Value = Rules> {
    let rate = (0.1f64..=1.0, 100u64..2_000, 1u32..8).prop_map(|(share, window, min_calls)| FailureRate {
        share,
        window: Duration::from_millis(window),
        min_calls,
    });
    (prop::option::of(1u32..6), prop::option::of(rate), 0u64..1_000, 1u32..4).prop_map(
        |(consecutive, rate, open_for, probes)| Rules {
            consecutive,
            rate,
            open_for: Duration::from_millis(open_for),
            probes,
        },
    )
}

/// Everything that happened since the last change of state.
struct Model {
    rules: Rules,
    state: State,
    epoch: u32,
    entered: Duration,
    /// Results, with their times.
    log: Vec<(Duration, Signal)>,
    /// Times at which calls were admitted.
    admitted: Vec<Duration>,
}

impl Model {
    fn enter(&mut self, state: State, now: Duration) {
        let epoch = self.epoch + 1;
        *self = Self { rules: self.rules, state, epoch, entered: now, log: Vec::new(), admitted: Vec::new() };
    }

    /// Time until which the breaker refuses calls for sure.
    fn refuses_until(&self) -> Duration {
        let since = if self.state == State::HalfOpen { self.admitted.last().copied() } else { Some(self.entered) };
        since.unwrap_or_default() + self.rules.open_for
    }

    fn seen_state(&self, now: Duration) -> State {
        if self.state == State::Open && now >= self.refuses_until() { State::HalfOpen } else { self.state }
    }

    fn call(&mut self, now: Duration) -> Result<u32, Option<Duration>> {
        if self.seen_state(now) == State::HalfOpen && self.state == State::Open {
            self.enter(State::HalfOpen, now);
        }
        let slots = self.admitted.len() - self.count(Signal::Nothing);
        let is_full = slots >= usize::try_from(self.rules.probes).unwrap();
        let refused = match self.state {
            State::Closed => false,
            State::Open => true,
            State::HalfOpen => is_full && now < self.refuses_until(),
            _ => return Err(None),
        };
        if refused {
            return Err(Some(self.refuses_until() - now));
        }
        self.admitted.push(now);
        Ok(self.epoch)
    }

    fn count(&self, wanted: Signal) -> usize {
        self.log.iter().filter(|(_, signal)| *signal == wanted).count()
    }

    fn end(&mut self, epoch: u32, signal: Signal, now: Duration) {
        if epoch != self.epoch {
            return;
        }
        self.log.push((now, signal));
        match self.state {
            State::Closed if signal == Signal::Failure && (self.fails_in_a_row() || self.fails_by_rate(now)) => {
                self.enter(State::Open, now);
            }
            State::HalfOpen if signal == Signal::Failure => self.enter(State::Open, now),
            State::HalfOpen if self.count(Signal::Success) >= usize::try_from(self.rules.probes).unwrap() => {
                self.enter(State::Closed, now);
            }
            _ => {}
        }
    }

    fn fails_in_a_row(&self) -> bool {
        let counted = self.log.iter().rev().map(|(_, signal)| *signal).filter(|signal| *signal != Signal::Nothing);
        let row = counted.take_while(|signal| *signal == Signal::Failure).count();
        self.rules.consecutive.is_some_and(|most| row >= usize::try_from(most).unwrap())
    }

    fn fails_by_rate(&self, now: Duration) -> bool {
        let Some(FailureRate { share, window, min_calls }) = self.rules.rate else { return false };
        let part = |at: Duration| (at - self.entered).as_nanos() / (window.as_nanos() / 10);
        let live = |wanted| {
            let live = |at: Duration| part(now) - part(at) < 10;
            u32::try_from(self.log.iter().filter(|(at, signal)| *signal == wanted && live(*at)).count()).unwrap()
        };
        let (failures, calls) = (live(Signal::Failure), live(Signal::Failure) + live(Signal::Success));
        calls >= min_calls && f64::from(failures) >= share * f64::from(calls)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_breaker_agrees_with_a_plain_model(rules in rules(), steps in steps()) {
        let start = Instant::now();
        let mut now = Duration::ZERO;
        let mut machine = Machine::new(rules, start);
        let mut model = Model {
            rules, state: State::Closed, epoch: 0, entered: now, log: Vec::new(), admitted: Vec::new(),
        };
        let mut in_progress = Vec::new();
        for step in steps {
            let before = machine.state_entered();
            let change = match step {
                Step::Call => {
                    let (admission, change) = machine.admit(|| start + now);
                    match (admission, model.call(now)) {
                        (Ok(generation), Ok(epoch)) => in_progress.push((generation, epoch)),
                        (Err(wait), Err(expected)) => prop_assert_eq!(wait, expected),
                        (admission, expected) => prop_assert!(false, "{:?}, not {:?}", admission, expected),
                    }
                    change
                }
                Step::End(call, signal) if !in_progress.is_empty() => {
                    let (generation, epoch) = in_progress.swap_remove(call.index(in_progress.len()));
                    model.end(epoch, signal, now);
                    machine.finish(generation, signal, || start + now)
                }
                Step::End(..) => None,
                Step::Pass(time) => {
                    now += time;
                    None
                }
                Step::ForceOpen => {
                    model.enter(State::ForcedOpen, now);
                    machine.force_open()
                }
                Step::Reset => {
                    model.enter(State::Closed, now);
                    machine.reset(start + now)
                }
            };
            prop_assert_eq!(machine.state(start + now), model.seen_state(now));
            // Every change is reported, and only changes.
            let after = machine.state_entered();
            prop_assert_eq!(change.map(|change| (change.from, change.to)), (before != after).then_some((before, after)));
        }
    }

    #[test]
    fn a_half_open_breaker_never_has_more_probes_than_it_admits(probes in 1u32..5, callers in 1u32..50) {
        let start = Instant::now();
        let open_for = Duration::from_secs(1);
        let rules = Rules { consecutive: Some(1), rate: None, open_for, probes };
        let mut machine = Machine::new(rules, start);
        let (admission, _) = machine.admit(|| start);
        machine.finish(admission.unwrap(), Signal::Failure, || start);
        let later = start + open_for;
        let admitted = (0..callers).filter(|_| machine.admit(|| later).0.is_ok()).count();
        prop_assert_eq!(u32::try_from(admitted).unwrap(), probes.min(callers));
        // Hung probes: one more for each `open_for`.
        let more = (0..callers).filter(|_| machine.admit(|| later + open_for).0.is_ok()).count();
        prop_assert!(callers < probes || more == 1);
    }
}

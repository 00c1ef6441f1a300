//! The life of alerts agrees with a plain model.

use proptest::prelude::*;
use tidegate_perfmon::Phase;

use crate::support::{alerts, at, phases, rule, secs, seen, silence};

/// A model of one alert, calculated at each moment from its whole past.
struct Model<'a> {
    gaps: &'a [u64],
    words: &'a [Option<bool>],
    hold: u64,
    keep: u64,
    expire: u64,
}

impl Model<'_> {
    /// Seconds up to `to` that lie between two words that both are `word`, behind `from`.
    fn agreed(&self, from: usize, to: usize, word: bool) -> u64 {
        let both = |at: &usize| self.words[*at] == Some(word) && self.words[*at - 1] == Some(word);
        (from + 1..=to).filter(both).map(|at| self.gaps[at]).sum()
    }

    /// Seconds of nothing known that end at `to`.
    fn unknown(&self, to: usize) -> u64 {
        let known = self.words[..=to].iter().rposition(Option::is_some).map_or(0, |known| known + 1);
        self.gaps[known..=to].iter().sum()
    }

    fn after(&self, phase: Option<Phase>, began: usize, at: usize) -> Option<Phase> {
        let word = self.words[at];
        match phase {
            Some(Phase::Firing) => Some(match word {
                None if self.unknown(at) >= self.expire => Phase::Expired,
                Some(false) => {
                    let bad = self.words[..=at].iter().rposition(|word| *word == Some(true)).expect("it fired");
                    if self.agreed(bad, at, false) >= self.keep { Phase::Resolved } else { Phase::Firing }
                }
                _ => Phase::Firing,
            }),
            Some(Phase::Pending) => Some(match word {
                None if self.unknown(at) < self.expire => Phase::Pending,
                None | Some(false) => Phase::Withdrawn,
                Some(true) if self.agreed(began, at, true) >= self.hold => Phase::Firing,
                Some(true) => Phase::Pending,
            }),
            _ if word == Some(true) => Some(if self.hold == 0 { Phase::Firing } else { Phase::Pending }),
            _ => None,
        }
    }
}

fn is_over(phase: Phase) -> bool {
    matches!(phase, Phase::Resolved | Phase::Expired | Phase::Withdrawn)
}

proptest! {
    #[test]
    fn the_life_of_an_alert_agrees_with_its_model(
        steps in prop::collection::vec((0u64..20, prop::sample::select(vec![Some(true), Some(true), Some(false), None])), 1..150),
        (hold, keep, expire) in (0u64..40, 0u64..40, 1u64..60),
        silences in prop::collection::vec((0usize..150, 1u64..200), 0..6),
    ) {
        let (gaps, words): (Vec<_>, Vec<_>) = steps.into_iter().unzip();
        let model = Model { gaps: &gaps, words: &words, hold, keep, expire };
        let mut alerts = alerts([rule(hold, keep, expire)]);
        let (mut now, mut phase, mut began, mut told, mut silent_until, mut last_seq) = (1, None, 0, false, 0, 0);
        for at in 0..words.len() {
            now += if at == 0 { 0 } else { gaps[at] };
            for (_, lasts) in silences.iter().filter(|(from, _)| *from == at) {
                alerts.silence(silence("r", None, now + lasts), now * 1000).expect("in order");
                silent_until = now + lasts;
            }
            let happened = alerts.evaluate(secs(now), now * 1000, &[seen(words[at])]);

            let before = phase;
            phase = model.after(phase, began, at);
            if before.is_none() && phase.is_some() {
                began = at;
            }
            let is_silent = now < silent_until;
            let mut expected = Vec::new();
            if before.is_none() && phase.is_some() {
                expected.push((None, Phase::Pending, false));
            }
            let from = before.or(Some(Phase::Pending));
            match phase {
                Some(Phase::Firing) => {
                    let notify = !told && !is_silent;
                    told |= notify;
                    if before != Some(Phase::Firing) || notify {
                        expected.push((from, Phase::Firing, notify));
                    }
                }
                Some(over) if is_over(over) => {
                    expected.push((from, over, told));
                    (phase, told) = (None, false);
                }
                _ => {}
            }
            prop_assert_eq!(phases(&happened), expected, "at {}", at);
            for step in &happened {
                last_seq += 1;
                prop_assert_eq!((step.seq, step.at_unix_ms), (last_seq, now * 1000));
            }
            let alive = alerts.list(1).into_iter().find(|alert| !is_over(alert.phase));
            prop_assert_eq!(alive.as_ref().map(|alert| alert.phase), phase);
            if let Some(alert) = alive {
                prop_assert_eq!(alert.silenced, is_silent);
            }
        }
    }

    /// Two subjects under one rule live as if each were alone.
    #[test]
    fn subjects_do_not_know_of_each_other(
        steps in prop::collection::vec((0u64..20, prop::option::of(any::<bool>()), prop::option::of(any::<bool>())), 1..100),
    ) {
        let together = &mut alerts([rule(10, 15, 40)]);
        let alone = &mut [alerts([rule(10, 15, 40)]), alerts([rule(10, 15, 40)])];
        let mut now = 0;
        for (gap, a, b) in steps {
            now += gap;
            let [a, b] = [("a", a), ("b", b)].map(|(subject, word)| seen(word).subject(subject));
            let both = at(together, now, &[b.clone(), a.clone()]);
            for (subject, (alone, seen)) in ["a", "b"].into_iter().zip(alone.iter_mut().zip([a, b])) {
                let mine: Vec<_> = both.iter().filter(|step| step.alert.subject == subject).cloned().collect();
                prop_assert_eq!(phases(&mine), phases(&at(alone, now, &[seen])));
            }
        }
    }
}

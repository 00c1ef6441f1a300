//! Several windows that apply together.

use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;
use tidegate_ratelimit::{
    Algorithm, CheckError, Quota, QuotaError, Quotas, QuotasError, SlidingWindow, Timestamp, Windows,
};

use crate::trace::{Step, admitted, most_in_any, steps};

fn quotas() -> impl Strategy<Value = Quotas> {
    let periods = prop_oneof![Just(1_u64), Just(60), Just(1_000), Just(60_000_000), 2_u64..5_000];
    prop::collection::vec((1_u64..30, periods), 1..=Quotas::MAX).prop_map(|mut quotas| {
        let mut seen = HashSet::new();
        quotas.retain(|(_, period)| seen.insert(*period));
        let quota = |(limit, period)| Quota::new(limit, Duration::from_micros(period)).unwrap();
        Quotas::new(&quotas.into_iter().map(quota).collect::<Vec<_>>()).unwrap()
    })
}

fn quotas_and_steps() -> impl Strategy<Value = (Quotas, u64, Vec<Step>)> {
    (quotas(), 0_u64..1_000_000_000, any::<prop::sample::Index>()).prop_flat_map(|(quotas, start, which)| {
        let period = which.get(&quotas).period_micros();
        (Just(quotas), Just(start), steps(period, 4))
    })
}

proptest! {
    #[test]
    fn each_bound_holds_in_any_stretch((quotas, start, steps) in quotas_and_steps()) {
        let admitted = admitted(&Windows::new(quotas), start, &steps);
        for quota in quotas.iter() {
            prop_assert!(most_in_any(quota.period_micros(), &admitted) <= quota.limit());
        }
    }

    /// Compared with one window per quota, all charged or none: the decision is that of the binding
    /// one.
    #[test]
    fn decides_as_its_windows_together((quotas, start, steps) in quotas_and_steps()) {
        let windows = Windows::new(quotas);
        let parts: Vec<_> = quotas.iter().map(|quota| SlidingWindow::new(*quota)).collect();
        let mut now = Timestamp::from_micros(start);
        let mut state = windows.initial(now);
        let mut states: Vec<_> = parts.iter().map(|part| part.initial(now)).collect();
        let least = quotas.iter().map(Quota::limit).min().unwrap();
        for (gap, cost) in steps {
            now = now.saturating_add(Duration::from_micros(gap));
            let before = state.clone();
            let peeked = windows.peek(&state, now, cost);
            let decision = windows.check(&mut state, now, cost);
            if cost > least {
                let error = Err(CheckError::CostExceedsLimit { cost, limit: least });
                prop_assert_eq!((&peeked, &decision, &state), (&error, &error, &before));
                continue;
            }
            let (peeked, decision) = (peeked?, decision?);
            let each = |cost| parts.iter().zip(&states).map(move |(part, state)| part.peek(state, now, cost).unwrap());
            let fits = each(cost).all(|decision| decision.is_allowed());
            prop_assert_eq!((peeked.is_allowed(), decision.is_allowed()), (fits, fits));
            if !fits {
                let longest = each(cost).map(|decision| decision.retry_after()).max().unwrap();
                prop_assert_eq!(decision.retry_after(), longest);
                prop_assert_eq!(decision, each(cost).find(|decision| decision.retry_after() == longest).unwrap());
                // The first time at which it fits.
                let moment = now.saturating_add(longest.unwrap());
                prop_assert!(windows.peek(&state, moment, cost)?.is_allowed());
                let just_before = Timestamp::from_micros(moment.as_micros() - 1);
                prop_assert!(!windows.peek(&state, just_before, cost)?.is_allowed());
                continue;
            }
            let mut answers = Vec::new();
            for (part, state) in parts.iter().zip(&mut states) {
                answers.push(part.check(state, now, cost)?);
            }
            prop_assert_eq!(Some(&decision), answers.iter().min_by_key(|answer| answer.remaining()));
            let used = answers.iter().map(|answer| answer.limit() - answer.remaining()).max();
            prop_assert_eq!(Some(windows.charged(&state, now)), used);
            let gone = windows.expires_at(&state).max(now);
            prop_assert_eq!(windows.charged(&state, gone), 0);
        }
    }

    #[test]
    fn quotas_print_what_they_parse(quotas in quotas()) {
        prop_assert_eq!(quotas.to_string().parse::<Quotas>()?, quotas);
        let json = serde_json::to_string(&quotas).unwrap();
        prop_assert_eq!(serde_json::from_str::<Quotas>(&json).unwrap(), quotas);
    }

    #[test]
    fn no_text_breaks_the_parser(text in "\\PC{0,60}", lists in "([0-9]{0,3}/[0-9]{0,2}[a-z]{0,6}[;, ]{0,2}){0,10}") {
        for text in [text, lists] {
            if let Ok(quotas) = text.parse::<Quotas>() {
                prop_assert_eq!(quotas.to_string().parse::<Quotas>()?, quotas);
            }
        }
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let wrong = |text: &str| text.parse::<Quotas>().unwrap_err();
    assert_eq!(wrong(" "), QuotasError::Empty);
    assert_eq!(Quotas::new(&[]), Err(QuotasError::Empty));
    assert_eq!(wrong("5/s;"), QuotasError::Quota { position: 2, source: QuotaError::Syntax });
    assert_eq!(wrong("5/s, 7/m"), QuotasError::Quota { position: 1, source: QuotaError::Syntax });
    assert_eq!(wrong("5/s; 9/m; 0/h"), QuotasError::Quota { position: 3, source: QuotaError::ZeroLimit });
    let period = Duration::from_mins(1);
    assert_eq!(wrong("9/h; 5/minute; 7/s; 9/60s"), QuotasError::SamePeriod { period, first: 2, second: 4 });
    let nine: Vec<_> = (1..=9).map(|seconds| format!("5/{seconds}s")).collect();
    assert_eq!(wrong(&nine.join("; ")), QuotasError::TooMany { count: 9, max: Quotas::MAX });
    assert_eq!(nine[..8].join(";").parse::<Quotas>().unwrap().len(), 8);
}

#[test]
fn a_changed_quota_takes_the_place_of_the_one_over_its_period() {
    let windows = Windows::new("5/second; 20/minute".parse().unwrap());
    let mut state = windows.initial(Timestamp::MIN);
    assert!(windows.check(&mut state, Timestamp::MIN, 4).unwrap().is_allowed());
    let changed = windows.with_quota(Quota::per_minute(6).unwrap()).unwrap();
    assert_eq!(changed.quotas().to_string(), "5/second; 6/minute");
    changed.carry_over(&windows, &mut state, Timestamp::MIN);
    let refused = changed.check(&mut state, Timestamp::from_micros(2_000_000), 3).unwrap();
    assert_eq!((refused.is_allowed(), refused.remaining(), refused.quota().limit()), (false, 2, 6));
    let period = Duration::from_hours(1);
    assert_eq!(windows.with_quota(Quota::per_hour(6).unwrap()), Err(QuotaError::NoSuchWindow { period }));
}

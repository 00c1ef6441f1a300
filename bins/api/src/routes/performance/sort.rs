//! The order in which endpoints and operations are listed.

use std::cmp::Ordering;
use std::time::Duration;

use tidegate_perfmon::{EndpointSnapshot, LatencySummary, OperationSnapshot};

/// The figure to sort by, largest first, or the name from A.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    P99,
    P95,
    Mean,
    Count,
    Errors,
    Rate,
    Route,
}

pub(super) trait Sortable {
    fn latency(&self) -> &LatencySummary;
    fn count(&self) -> u64;
    fn errors(&self) -> u64;
    fn rate(&self) -> f64;
    /// First and second key of the order by name.
    fn name(&self) -> (&str, &str);
}

impl Sort {
    pub(super) const KNOWN: [(&'static str, Self); 7] = [
        ("p99", Self::P99),
        ("p95", Self::P95),
        ("mean", Self::Mean),
        ("count", Self::Count),
        ("errors", Self::Errors),
        ("rate", Self::Rate),
        ("route", Self::Route),
    ];

    pub(super) fn word(self) -> &'static str {
        Self::KNOWN.iter().find(|(_, sort)| *sort == self).map_or("", |(word, _)| word)
    }

    /// Sorts a list. Equal items stay in the order of their names.
    pub(super) fn sort<T: Sortable>(self, list: &mut [T]) {
        list.sort_by(|one, other| self.compare(one, other).then_with(|| one.name().cmp(&other.name())));
    }

    fn compare<T: Sortable>(self, one: &T, other: &T) -> Ordering {
        // Items without a measurement come last.
        let time = |of: fn(&LatencySummary) -> Option<Duration>| of(other.latency()).cmp(&of(one.latency()));
        match self {
            Self::P99 => time(|latency| latency.p99),
            Self::P95 => time(|latency| latency.p95),
            Self::Mean => time(|latency| latency.mean),
            Self::Count => other.count().cmp(&one.count()),
            Self::Errors => other.errors().cmp(&one.errors()),
            Self::Rate => other.rate().total_cmp(&one.rate()),
            Self::Route => Ordering::Equal,
        }
    }
}

impl Sortable for EndpointSnapshot {
    fn latency(&self) -> &LatencySummary {
        &self.latency
    }

    fn count(&self) -> u64 {
        self.count
    }

    fn errors(&self) -> u64 {
        self.errors
    }

    fn rate(&self) -> f64 {
        self.rate
    }

    fn name(&self) -> (&str, &str) {
        (&self.route, self.method)
    }
}

impl Sortable for OperationSnapshot {
    fn latency(&self) -> &LatencySummary {
        &self.latency
    }

    fn count(&self) -> u64 {
        self.count
    }

    /// Runs that ended without a result.
    fn errors(&self) -> u64 {
        self.failed + self.panicked + self.cancelled
    }

    fn rate(&self) -> f64 {
        self.rate
    }

    fn name(&self) -> (&str, &str) {
        (&self.operation, self.kind.name())
    }
}

#[cfg(test)]
mod tests {
    use tidegate_perfmon::{Kind, Registry, Window};

    use super::*;

    #[test]
    fn each_order_is_its_own_and_what_is_equal_stays_in_that_of_names() {
        let registry = Registry::builder().build();
        let run = |name: &str, millis: &[u64]| {
            let handle = registry.operation_handle(Kind::Database, name);
            millis.iter().for_each(|millis| handle.record(Duration::from_millis(*millis)));
        };
        run("b", &[1, 1, 1, 40]);
        run("a", &[20, 20]);
        run("c", &[20, 20]);
        registry.tick(registry.now() + Duration::from_secs(1));
        let sorted = |sort: Sort| {
            let mut list = registry.operations(Window::Seconds(60));
            sort.sort(&mut list);
            list.into_iter().map(|operation| operation.operation).collect::<String>()
        };
        let orders = [Sort::P99, Sort::Mean, Sort::Count, Sort::Rate, Sort::Errors, Sort::Route].map(sorted);
        assert_eq!(orders, ["bac", "acb", "bac", "bac", "abc", "abc"]);
    }
}

//! The text of `/metrics`, read as strictly as a scraper may.

use std::collections::BTreeMap;

/// Labels with their values.
pub(crate) type Labels = BTreeMap<String, String>;

/// The result of a scrape.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    /// Families by name, with their kind.
    pub(crate) families: BTreeMap<String, String>,
    samples: BTreeMap<(String, Labels), f64>,
}

/// A histogram under one set of labels.
#[derive(Debug)]
pub(crate) struct Buckets {
    /// Upper bounds and samples at or below each, `+Inf` last.
    pub(crate) cumulative: Vec<(f64, f64)>,
    pub(crate) count: f64,
    pub(crate) sum: f64,
}

impl Exposition {
    /// Reads the text, in which every sample must belong to a family that was declared before it.
    pub(crate) fn parse(text: &str) -> Self {
        let mut found = Self::default();
        let body = text.strip_suffix("# EOF\n").expect("the text ends with its end marker");
        for line in body.lines() {
            if let Some(declaration) = line.strip_prefix("# TYPE ") {
                let (family, kind) = declaration.split_once(' ').expect("a name and a kind");
                let before = found.families.insert(family.to_owned(), kind.to_owned());
                assert_eq!(before, None, "{family} is declared once");
            } else if let Some(help) = line.strip_prefix("# HELP ") {
                assert!(help.split_once(' ').is_some_and(|(_, text)| !text.trim().is_empty()), "{line}");
            } else {
                let (name, labels, value) = sample(line);
                assert!(found.declares(&name), "{name} belongs to no family");
                assert_eq!(found.samples.insert((name, labels), value), None, "one value each: {line}");
            }
        }
        found
    }

    /// All samples of that name, by their labels.
    pub(crate) fn all(&self, name: &str) -> BTreeMap<Labels, f64> {
        let samples = self.samples.iter().filter(|((found, _), _)| found == name);
        samples.map(|((_, labels), value)| (labels.clone(), *value)).collect()
    }

    /// The histograms of a family, by their labels.
    pub(crate) fn histograms(&self, family: &str) -> BTreeMap<Labels, Buckets> {
        let sums = self.all(&format!("{family}_sum"));
        let buckets = self.all(&format!("{family}_bucket"));
        let counts = self.all(&format!("{family}_count")).into_iter();
        counts
            .map(|(labels, count)| {
                let sum = sums[&labels];
                let of_these = buckets.iter().filter_map(|(with_bound, count)| {
                    let mut rest = with_bound.clone();
                    let bound = rest.remove("le").expect("a bucket has a bound");
                    (rest == labels).then(|| (bound.parse::<f64>().expect("a bound"), *count))
                });
                let mut cumulative: Vec<_> = of_these.collect();
                cumulative.sort_by(|(one, _), (two, _)| one.total_cmp(two));
                (labels, Buckets { cumulative, count, sum })
            })
            .collect()
    }

    /// Counters end in `_total`, and histograms have three kinds of samples.
    fn declares(&self, name: &str) -> bool {
        let is = |family: &str, kind| self.families.get(family).is_some_and(|found| found == kind);
        let of_histogram = ["_bucket", "_sum", "_count"].iter().filter_map(|suffix| name.strip_suffix(suffix));
        is(name, "gauge")
            || name.strip_suffix("_total").is_some_and(|family| is(family, "counter"))
            || of_histogram.into_iter().any(|family| is(family, "histogram"))
    }
}

impl Buckets {
    /// Asserts that the buckets agree with one another, with the count and with the sum.
    pub(crate) fn assert_consistent(&self) {
        let bounds: Vec<_> = self.cumulative.iter().map(|(bound, _)| *bound).collect();
        assert!(bounds.len() > 1 && bounds.is_sorted_by(|one, two| one < two), "{self:?}");
        assert!(self.cumulative.is_sorted_by(|(_, one), (_, two)| one <= two), "buckets are cumulative: {self:?}");
        assert_eq!(self.cumulative.last(), Some(&(f64::INFINITY, self.count)), "the last bucket is the count");

        // What lies between two bounds adds at least the lower and at most the upper to the sum.
        let (mut least, mut most, mut below, mut lower) = (0.0, 0.0, 0.0, 0.0);
        for (bound, count) in &self.cumulative {
            if *count > below {
                least += (count - below) * lower;
                most += (count - below) * bound;
            }
            (below, lower) = (*count, *bound);
        }
        assert!(least <= self.sum && self.sum <= most, "{least} <= {} <= {most}", self.sum);
        assert_eq!(self.count > 0.0, self.sum > 0.0, "{self:?}");
    }
}

/// Labels from pairs.
pub(crate) fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn sample(line: &str) -> (String, Labels, f64) {
    let (series, value) = line.rsplit_once(' ').expect("a series and a value");
    let value = value.parse().expect("a number");
    let Some((name, rest)) = series.split_once('{') else { return (series.to_owned(), Labels::new(), value) };
    let mut rest = rest.strip_suffix('}').expect("closed labels");
    let mut labels = Labels::new();
    while !rest.is_empty() {
        let (label, quoted) = rest.split_once("=\"").expect("a label and its value");
        let (text, after) = quoted.split_once('"').expect("a closed value");
        assert!(!text.contains('\\'), "none of our labels holds what must be escaped: {line}");
        labels.insert(label.to_owned(), text.to_owned());
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    (name.to_owned(), labels, value)
}

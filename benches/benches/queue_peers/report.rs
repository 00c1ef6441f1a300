//! The table, and whether the aims are met.
#![expect(clippy::print_stdout, reason = "the table is what it is run for")]

use std::collections::BTreeMap;

use crate::peer::Who;

/// Subject of a measurement. Numbers are concurrent jobs, or bytes of payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Row {
    Process(usize),
    ProcessCommands(usize),
    ProcessScripts(usize),
    ProcessServer(usize),
    ProcessClient(usize),
    Bulk,
    BulkServer,
    BulkClient,
    Single,
    SingleServer,
    SingleClient,
    PickUp50,
    PickUp99,
    Late50,
    Late99,
    Memory(usize),
    Idle,
    IdleServer,
}

/// Target for ours.
enum Aim {
    /// This multiple of `BullMQ`'s rate in that row.
    Times(f64, Row),
    AtMost(f64),
    /// This share of `BullMQ`'s figure.
    Share(f64),
}

impl Row {
    fn label(self) -> String {
        match self {
            Self::Process(jobs) => format!("process, {jobs} at once: jobs/s"),
            Self::ProcessCommands(jobs) => format!("process, {jobs} at once: commands a job, inner ones too"),
            Self::ProcessScripts(jobs) => format!("process, {jobs} at once: scripts called a job"),
            Self::ProcessServer(jobs) => format!("process, {jobs} at once: server's CPU, µs a job"),
            Self::ProcessClient(jobs) => format!("process, {jobs} at once: client's CPU, µs a job"),
            Self::Bulk => "enqueue in batches of 1,000: jobs/s".to_owned(),
            Self::BulkServer => "enqueue in batches: server's CPU, µs a job".to_owned(),
            Self::BulkClient => "enqueue in batches: client's CPU, µs a job".to_owned(),
            Self::Single => "enqueue one by one, 256 tasks: jobs/s".to_owned(),
            Self::SingleServer => "enqueue one by one: server's CPU, µs a job".to_owned(),
            Self::SingleClient => "enqueue one by one: client's CPU, µs a job".to_owned(),
            Self::PickUp50 => "idle pick-up, P50: ms".to_owned(),
            Self::PickUp99 => "idle pick-up, P99: ms".to_owned(),
            Self::Late50 => "delayed job late, P50: ms".to_owned(),
            Self::Late99 => "delayed job late, P99: ms".to_owned(),
            Self::Memory(bytes) => format!("memory a waiting job, payload of {bytes} B: B"),
            Self::Idle => "idle worker: commands a second, inner ones too".to_owned(),
            Self::IdleServer => "idle worker: server's CPU, µs a second".to_owned(),
        }
    }

    fn more_is_better(self) -> bool {
        matches!(self, Self::Process(_) | Self::Bulk | Self::Single)
    }

    fn aim(self) -> Option<Aim> {
        match self {
            Self::Process(100) => Some(Aim::Times(5.0, self)),
            Self::Bulk => Some(Aim::Times(8.0, self)),
            Self::Single => Some(Aim::Times(2.0, Self::Bulk)),
            Self::ProcessCommands(100) => Some(Aim::AtMost(1.0)),
            Self::PickUp50 => Some(Aim::Share(1.0)),
            Self::PickUp99 => Some(Aim::AtMost(2.0)),
            Self::Late99 => Some(Aim::AtMost(5.0)),
            Self::Memory(_) => Some(Aim::Share(0.5)),
            Self::Idle => Some(Aim::AtMost(1.0)),
            _ => None,
        }
    }
}

/// All figures of a run.
#[derive(Default)]
pub(crate) struct Report {
    figures: BTreeMap<Row, BTreeMap<Who, BTreeMap<usize, f64>>>,
    round: usize,
    failed: Vec<String>,
}

impl Report {
    /// Figures belong to this round from now on.
    pub(crate) fn begin(&mut self, round: usize) {
        self.round = round;
    }

    pub(crate) fn add(&mut self, row: Row, who: Who, value: f64) {
        self.figures.entry(row).or_default().entry(who).or_default().insert(self.round, value);
    }

    /// A turn that came to no figure.
    pub(crate) fn fail(&mut self, measurement: &str, who: Who) {
        self.failed.push(format!("{measurement} of {} in round {}", who.name(), self.round));
    }

    pub(crate) fn print(&self) {
        println!("| | tidegate | bullmq | bullmq, removing | apalis | ours : bullmq | ours : apalis | aim | met |");
        println!("|---|---|---|---|---|---|---|---|---|");
        for row in self.figures.keys().copied() {
            let cells: Vec<_> =
                Who::ALL.iter().map(|&who| self.median(row, who).map_or("–".to_owned(), number)).collect();
            let against_bullmq = self.ratio(row, self.better_bullmq(row));
            let against_apalis = self.ratio(row, Who::Apalis);
            let (aim, met) = self.judge(row);
            println!(
                "| {} | {} | {against_bullmq} | {against_apalis} | {aim} | {met} |",
                row.label(),
                cells.join(" | ")
            );
        }
        for turn in &self.failed {
            println!("\nFailed, and left out: {turn}");
        }
    }

    fn values(&self, row: Row, who: Who) -> Option<&BTreeMap<usize, f64>> {
        self.figures.get(&row)?.get(&who)
    }

    fn median(&self, row: Row, who: Who) -> Option<f64> {
        let values: Vec<f64> = self.values(row, who)?.values().copied().collect();
        Some(spread(&values)?.1)
    }

    /// Which of the two settings of `BullMQ` does better here; ours is compared with that one.
    fn better_bullmq(&self, row: Row) -> Who {
        match (self.median(row, Who::BullMq), self.median(row, Who::BullMqRemoving)) {
            (Some(keeps), Some(removes)) if (removes > keeps) == row.more_is_better() => Who::BullMqRemoving,
            _ => Who::BullMq,
        }
    }

    /// Ours to theirs, in another row perhaps, in the same round: least, median and greatest.
    fn ratios(&self, row: Row, who: Who, theirs: Row) -> Option<(f64, f64, f64)> {
        let (ours, theirs) = (self.values(row, Who::Tidegate)?, self.values(theirs, who)?);
        let ratios: Vec<f64> = ours.iter().filter_map(|(round, ours)| Some(ours / theirs.get(round)?)).collect();
        spread(&ratios)
    }

    fn ratio(&self, row: Row, who: Who) -> String {
        match self.ratios(row, who, row) {
            Some((least, middle, greatest)) if least < greatest => {
                format!("{} ({}–{})", number(middle), number(least), number(greatest))
            }
            Some((_, only, _)) => number(only),
            None => "–".to_owned(),
        }
    }

    /// Judges by the displayed ratios of rounds, because ratios of medians may be better.
    fn judge(&self, row: Row) -> (String, &'static str) {
        let Some(aim) = row.aim() else { return (String::new(), "") };
        let against_bullmq = |theirs| self.ratios(row, self.better_bullmq(theirs), theirs).map(|(_, middle, _)| middle);
        let (aim, met) = match aim {
            Aim::Times(times, theirs) => {
                let aim = if theirs == row { format!("≥ {times} ×") } else { format!("≥ {times} × its batches") };
                (aim, against_bullmq(theirs).map(|ratio| ratio >= times))
            }
            Aim::AtMost(most) => (format!("≤ {most}"), self.median(row, Who::Tidegate).map(|ours| ours <= most)),
            Aim::Share(share) => (format!("≤ {share} ×"), against_bullmq(row).map(|ratio| ratio <= share)),
        };
        (aim, met.map_or("–", |met| if met { "yes" } else { "**no**" }))
    }
}

/// Three digits, at least.
fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Least, median and greatest, if there are any.
fn spread(values: &[f64]) -> Option<(f64, f64, f64)> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some((*sorted.first()?, sorted[sorted.len() / 2], *sorted.last()?))
}

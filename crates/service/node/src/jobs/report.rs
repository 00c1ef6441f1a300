//! Queue `report`: makes a report on past and future schedules of a tenant, as a page and as a
//! table.
//!
//! The database computes the sums, all from one state. Both files are recorded with the end of the
//! job, or neither is.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidegate_base::clock;
use tidegate_domain::files::FileKind;
use tidegate_domain::report::{self, Heading, Report, ReportKind, ScheduleSums, Span};
use tidegate_model::tenant::TenantId;
use tidegate_queue::{Context, Handler, Job, Outcome, WorkerBuilder};
use tidegate_store::{Named, RunFiles, Snapshot, StoredFile};

use super::JobContext;
use super::file_run::{FileJob, FileRuns, RunFailure, Text, outcome, told};

/// Number of schedules that one statement adds up.
const STRETCH: u32 = 200;

/// Makes a report.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MakeReport {
    /// The tenant.
    pub tenant: TenantId,
    /// Kind of the report.
    pub kind: ReportKind,
    /// Start of the span, inclusive.
    pub from: DateTime<Utc>,
    /// End of the span, exclusive.
    pub to: DateTime<Utc>,
}

impl MakeReport {
    /// Makes the job for a report of that span.
    pub fn of(tenant: TenantId, kind: ReportKind, span: &Span) -> Self {
        Self { tenant, kind, from: span.from(), to: span.to() }
    }
}

impl Job for MakeReport {
    const KIND: &'static str = "report.make";
    const QUEUE: &'static str = "report";
}

impl FileJob for MakeReport {
    const MAKES: FileKind = FileKind::Report;

    fn tenant(&self) -> &TenantId {
        &self.tenant
    }
}

/// Runs [`MakeReport`].
#[derive(Debug, Clone)]
pub(crate) struct ReportHandler(pub(crate) FileRuns);

/// Adds the handler of reports to a worker.
pub(super) fn join(worker: WorkerBuilder, context: &JobContext<'_>) -> WorkerBuilder {
    worker.handler::<MakeReport, _>(ReportHandler(FileRuns::of(context, context.settings.files.report)))
}

#[async_trait::async_trait]
impl Handler<MakeReport> for ReportHandler {
    async fn run(&self, job: MakeReport, context: &Context) -> Outcome {
        let made = self.make(&job, context).await;
        outcome(made.map(|made| json!({ "html": told(&made.first), "csv": made.second.as_ref().map(told) })))
    }
}

impl ReportHandler {
    async fn make(&self, job: &MakeReport, context: &Context) -> Result<RunFiles<StoredFile>, RunFailure> {
        // Validated here too, since other programs than the API may enqueue the job.
        let span = Span::try_new(job.kind, job.from, job.to);
        let span = span.map_err(|errors| RunFailure::Unwanted(errors.to_string()))?;
        let tenant = self.0.store.tenant(&job.tenant).await?;
        let tenant = tenant.ok_or_else(|| RunFailure::Unwanted(format!("there is no tenant {}", job.tenant)))?;
        if let Some(made) = self.0.begin(job, context).await? {
            return Ok(made);
        }
        let mut snapshot = self.0.store.snapshot().await?;
        let report = match job.kind {
            ReportKind::Schedules => schedules(&mut snapshot, &job.tenant, &span, context).await?,
            ReportKind::Usage => usage(&mut snapshot, &job.tenant, &span, context).await?,
        };
        drop(snapshot);
        let heading = Heading { tenant: &tenant.name, span: &span, made_at: clock::now() };
        let pair = [
            Text {
                name: name(job, "html"),
                content_type: "text/html; charset=utf-8",
                content: report::page(heading, &report),
            },
            Text { name: name(job, "csv"), content_type: "text/csv; charset=utf-8", content: report::table(&report) },
        ];
        let made = self.0.write_pair(job, pair).await?;
        self.0.end(job, context, made).await
    }
}

async fn schedules(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    span: &Span,
    context: &Context,
) -> Result<Report, RunFailure> {
    let range = span.range();
    let all = snapshot.count_starting(tenant, &range).await?;
    let mut sums = ScheduleSums::default();
    let (mut counted, mut last) = (0_u64, None);
    loop {
        let stretch = snapshot.stretch(tenant, &range, STRETCH, last).await?;
        let days = snapshot.sums_by_day(tenant, &stretch).await?;
        counted += days.iter().map(|(_, sum)| sum.schedules).sum::<u64>();
        sums.add_days(days);
        sums.add_titles(snapshot.sums_by_name(tenant, &stretch, Named::Title).await?);
        sums.add_attendees(snapshot.sums_by_name(tenant, &stretch, Named::Attendee).await?);
        let percent = (counted * 100).checked_div(all).map_or(100, |percent| u8::try_from(percent).unwrap_or(100));
        tell(context, percent, format!("{counted} of {all} schedules")).await?;
        if stretch.is_last {
            return Ok(sums.report(span));
        }
        last = Some(stretch);
    }
}

async fn usage(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    span: &Span,
    context: &Context,
) -> Result<Report, RunFailure> {
    tell(context, 0, "adding up days".to_owned()).await?;
    let days = snapshot.analytics(tenant, span.from().date_naive(), span.last_day()).await?;
    tell(context, 100, format!("{} days", span.days().count())).await?;
    Ok(report::usage(span, &days))
}

/// Reports the progress. Fails if the job was cancelled.
async fn tell(context: &Context, percent: u8, message: String) -> Result<(), RunFailure> {
    if context.cancelled().is_cancelled() {
        return Err(RunFailure::Stopped);
    }
    context.progress(percent, message).await.map_err(|_| RunFailure::Stopped)
}

/// Contains only fixed words and digits.
fn name(job: &MakeReport, ending: &str) -> String {
    let (from, to) = (job.from.format("%Y%m%d"), job.to.format("%Y%m%d"));
    format!("report-{}-{from}-{to}.{ending}", job.kind.name())
}

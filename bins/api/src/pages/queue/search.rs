//! Finds a job by its id, or by a part of its id or kind.

use maud::{Markup, html};
use tidegate_queue::{JobRecord, JobState};

use super::super::queues::path;
use super::bulk::MOST_TICKED;
use super::list::Listed;
use crate::routes::queues::jobs::{self, JobsQuery};
use tidegate_web::app::App;
use tidegate_web::problem::Problem;

/// How many jobs the search visits, in pages of the maximum length. A queue may have a million.
const SEARCHED: usize = 1_000;
const PAGE: usize = 200;

/// Searches the first thousand jobs of a state for the text in the id or kind.
pub(super) async fn find(app: &App, queue: &str, state: JobState, sought: &str) -> Result<Listed, Problem> {
    let (mut found, mut cursor, mut seen) = (Vec::new(), None, 0);
    while seen < SEARCHED {
        let asked = JobsQuery { state: Some(state.to_string()), limit: Some(PAGE), cursor };
        let page = jobs::page(app, queue, asked).await?;
        seen += page.items.len();
        let holds = |job: &JobRecord| job.id.as_str().contains(sought) || job.kind.contains(sought);
        found.extend(page.items.into_iter().filter(holds));
        cursor = page.next.map(|cursor| cursor.to_string());
        if cursor.is_none() || found.len() >= MOST_TICKED {
            break;
        }
    }
    found.truncate(MOST_TICKED);
    Ok(Listed { jobs: found, next: None })
}

pub(super) fn form(queue: &str, state: JobState, sought: Option<&str>) -> Markup {
    html! {
        form.row method="get" action=(path(queue)) role="search" {
            input type="hidden" name="state" value=(state.as_str());
            div.grow {
                label for="q" { "Job ID, or part of an ID or kind among the first 1,000" }
                input #q name="q" maxlength="128" value=[sought];
            }
            button { "Search" }
            @if sought.is_some() { a.button href={ (path(queue)) "?state=" (state.as_str()) } { "Show all" } }
        }
    }
}

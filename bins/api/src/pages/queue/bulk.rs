//! Actions on the selected jobs of a list, one by one.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::html;
use serde::Deserialize;
use tidegate_queue::JobState;
use tokio::time::Instant;

use super::super::ask::{Question, is_sure};
use super::super::flash::{counted, said};
use super::super::form::{Change, Signed};
use super::super::queues::path;
use super::query::address;
use crate::routes::queues::actions::budget;
use crate::routes::queues::jobs::{self, Act};
use crate::routes::queues::known;
use tidegate_web::app::App;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;

pub(super) const MOST_TICKED: usize = 200;

/// A list of fields, because `id` occurs once per selected job, and serde's structs accept a name
/// only once.
#[derive(Deserialize)]
#[serde(try_from = "Vec<(String, String)>")]
pub(in crate::pages) struct Ticked {
    form: String,
    act: String,
    /// The state that was listed.
    state: String,
    sure: Option<String>,
    ids: Vec<String>,
}

impl TryFrom<Vec<(String, String)>> for Ticked {
    type Error = String;

    fn try_from(fields: Vec<(String, String)>) -> Result<Self, String> {
        let (mut form, mut act, mut state, mut sure, mut ids) = (None, None, None, None, Vec::new());
        for (name, value) in fields {
            let place = match name.as_str() {
                "id" => {
                    ids.push(value);
                    continue;
                }
                "form" => &mut form,
                "act" => &mut act,
                "state" => &mut state,
                "sure" => &mut sure,
                _ => return Err("the form has an unknown field".to_owned()),
            };
            if place.replace(value).is_some() {
                return Err(format!("`{name}` occurs twice"));
            }
        }
        if ids.len() > MOST_TICKED {
            return Err(format!("{} jobs are selected, above the limit of {MOST_TICKED}", ids.len()));
        }
        let missing = |name: &str| format!("`{name}` is missing");
        Ok(Self {
            form: form.ok_or_else(|| missing("form"))?,
            act: act.ok_or_else(|| missing("act"))?,
            state: state.ok_or_else(|| missing("state"))?,
            sure,
            ids,
        })
    }
}

impl Signed for Ticked {
    /// Size for the maximum number of ids of maximum length, each character percent-encoded.
    const LONGEST: usize = 16 * 1024 + MOST_TICKED * (128 * 3 + 4);

    fn form(&self) -> &str {
        &self.form
    }
}

pub(in crate::pages) async fn change(
    State(app): State<App>,
    Path(queue): Path<String>,
    Change { wanted, frame }: Change<Ticked>,
) -> Result<Response, Problem> {
    let queue = known(&queue)?;
    let (act, code, yes, title) = match wanted.act.as_str() {
        "retry" => (Act::Retry, "retried", "Retry them", "Retry the selected jobs?"),
        "cancel" => (Act::Cancel, "cancelled", "Cancel them", "Cancel the selected jobs?"),
        "promote" => (Act::Promote, "promoted", "Promote them", "Promote the selected jobs?"),
        "remove" => (Act::Remove, "removed", "Delete them", "Delete the selected jobs?"),
        _ => return Err(Problem::unprocessable("bad-form", "`act` is retry, cancel, promote or remove")),
    };
    let state: JobState =
        wanted.state.parse().map_err(|error| Problem::unprocessable("bad-form", format!("`state`: {error}")))?;
    let back = address(queue, state, None, None);
    if wanted.ids.is_empty() {
        return Ok(said(&back, "nothing-ticked").into_response());
    }
    if !is_sure(wanted.sure.as_deref()) {
        let action = format!("{}/bulk", path(queue));
        let text = html! {
            p { (wanted.ids.len()) " selected in queue " b { (queue) } ":" }
            ul.items { @for id in &wanted.ids { li { code { (id) } } } }
        };
        let mut fields = vec![("act", wanted.act.as_str()), ("state", state.as_str())];
        fields.extend(wanted.ids.iter().map(|id| ("id", id.as_str())));
        return Ok(Question { title, text: &text, yes, action: &action, back: &back }.page(&frame, &fields));
    }
    let end = Instant::now() + budget(&app);
    let mut done = 0;
    for id in &wanted.ids {
        if Instant::now() >= end {
            break;
        }
        // A job that is gone or has changed counts as left. Any other failure would affect all of
        // them.
        match jobs::act(&app, queue, id, act).await {
            Ok(_) => done += 1,
            Err(problem) if problem.is_of_client() => {}
            Err(problem) => return Err(problem),
        }
    }
    Ok(counted(&back, code, done, wanted.ids.len() - done).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_ticks_is_read_strictly() {
        let read = |fields: &[(&str, &str)]| {
            let fields: Vec<_> = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            Ticked::try_from(fields)
        };
        let three = [("form", "f"), ("act", "retry"), ("state", "dead")];
        let ticked = read(&[&three[..], &[("id", "a"), ("id", "b")]].concat()).unwrap();
        assert_eq!((ticked.ids, ticked.sure), (vec!["a".to_owned(), "b".to_owned()], None));
        for wrong in
            [&three[..2], &[&three[..], &[("act", "cancel")]].concat(), &[&three[..], &[("other", "")]].concat()]
        {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
        let many = [&three[..], &[("id", "a"); MOST_TICKED + 1]].concat();
        assert!(read(&many).is_err() && read(&many[..many.len() - 1]).is_ok());
    }
}

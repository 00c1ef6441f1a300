//! Refused forms: the page is shown again, with a message beside the field and the typed values.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::layout;
use tidegate_web::problem::Problem;

/// The refused form of a page, if there is one.
#[derive(Debug, Default)]
pub(super) struct Again(Option<Refusal>);

#[derive(Debug)]
struct Refusal {
    form: &'static str,
    /// Names and typed values. The first name stands for the form as a whole.
    fields: Vec<(&'static str, String)>,
    problem: Problem,
    /// Whether a field has shown the message.
    is_told: AtomicBool,
}

impl Again {
    /// Refusal of one form. A problem of the server is returned: other values would not help.
    ///
    /// # Errors
    ///
    /// The problem, where it is none of the client.
    pub(super) fn of(form: &'static str, fields: &[(&'static str, &str)], problem: Problem) -> Result<Self, Problem> {
        let mut again = Self::default();
        again.catch(form, fields, Err::<(), _>(problem))?;
        Ok(again)
    }

    /// Keeps the refusal of a form that the page itself evaluates, such as a search.
    ///
    /// # Errors
    ///
    /// The problem, where it is none of the client.
    pub(super) fn catch<T>(
        &mut self,
        form: &'static str,
        fields: &[(&'static str, &str)],
        result: Result<T, Problem>,
    ) -> Result<Option<T>, Problem> {
        match result {
            Ok(found) => Ok(Some(found)),
            Err(problem) if problem.is_of_client() => {
                let fields = fields.iter().map(|(name, typed)| (*name, (*typed).to_owned())).collect();
                self.0.get_or_insert(Refusal { form, fields, problem, is_told: AtomicBool::new(false) });
                Ok(None)
            }
            Err(problem) => Err(problem),
        }
    }

    /// Returns the typed value of a field, or `None` if that form was not refused.
    pub(super) fn typed(&self, form: &str, field: &str) -> Option<&str> {
        let refusal = self.0.as_ref().filter(|refusal| refusal.form == form)?;
        refusal.fields.iter().find(|(name, _)| *name == field).map(|(_, typed)| typed.as_str())
    }

    /// Whether the message belongs to this field. A problem that names no field belongs to the
    /// first one.
    pub(super) fn is_at(&self, form: &str, field: &str) -> bool {
        let Some(refusal) = self.0.as_ref().filter(|refusal| refusal.form == form) else { return false };
        let is_named = |name: &str| refusal.problem.detail().contains(&format!("`{name}`"));
        let named = refusal.fields.iter().map(|(name, _)| *name).find(|name| is_named(name));
        named.or(refusal.fields.first().map(|(name, _)| *name)) == Some(field)
    }

    /// The message of a field, above its input.
    pub(super) fn message(&self, form: &str, field: &str) -> Markup {
        let refusal = self.0.as_ref().filter(|_| self.is_at(form, field));
        if let Some(refusal) = refusal {
            refusal.is_told.store(true, Ordering::Relaxed);
        }
        html! {
            @if let Some(refusal) = refusal {
                p.fault id={ "fault-" (form) } role="alert" { (refusal.problem.detail()) }
            }
        }
    }

    /// Returns the problem if no field has shown its message. This happens if the page no longer
    /// has the form, for example because its alert has ended.
    pub(super) fn untold(&self) -> Option<&Problem> {
        let refusal = self.0.as_ref().filter(|refusal| !refusal.is_told.load(Ordering::Relaxed))?;
        Some(&refusal.problem)
    }

    /// For the attribute `aria-describedby` of a field.
    pub(super) fn described_by(&self, form: &str, field: &str) -> Option<String> {
        self.is_at(form, field).then(|| format!("fault-{form}"))
    }

    /// Gives the page the status of the refusal.
    pub(super) fn answer(&self, page: Response) -> Response {
        match &self.0 {
            Some(Refusal { problem, .. }) => layout::shown(problem.clone().into_response(), problem.clone(), page),
            None => page,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    fn again(detail: &str) -> Again {
        Again::of("quota", &[("quota", "<often>"), ("limiter", "api")], Problem::unprocessable("bad-quota", detail))
            .unwrap()
    }

    #[test]
    fn the_message_stands_at_the_field_that_it_names() {
        for (detail, field, other) in
            [("`limiter`: no", "limiter", "quota"), ("`quota`: no", "quota", "limiter"), ("no", "quota", "limiter")]
        {
            let again = again(detail);
            assert!(again.is_at("quota", field) && !again.is_at("quota", other), "{detail}");
            assert!(again.message("quota", field).into_string().contains("no"), "{detail}");
            assert!(again.message("quota", other).into_string().is_empty(), "{detail}");
            assert!(again.untold().is_none());
            assert!(!again.is_at("plan", field) && again.typed("plan", field).is_none(), "another form");
        }
        assert_eq!(again("no").typed("quota", "quota"), Some("<often>"));
    }

    #[test]
    fn a_failure_of_the_server_is_no_refusal() {
        let refused = Again::of("quota", &[("quota", "1/s")], Problem::unavailable("unavailable", "away"));
        assert!(refused.is_err());
        assert!(again("no").untold().is_some(), "shown above the page where no field shows it");
        let page = again("no").answer(StatusCode::OK.into_response());
        assert_eq!(page.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert!(page.extensions().get::<Problem>().is_some(), "the log and the counters see it");
    }
}

//! The server and the output, as each verb uses them.

use serde_json::Value;

use crate::call::Call;
use crate::client::{Answer, Client};
use crate::confirm::confirm;
use crate::failure::Failure;
use crate::options::{Connection, Style};
use crate::output::{self, Column, plain, table};

/// The server and the style of the output.
pub(crate) struct Context {
    pub(crate) client: Client,
    style: Style,
}

impl Context {
    pub(crate) fn new(connection: &Connection, style: Style) -> Result<Self, Failure> {
        Ok(Self { client: Client::new(connection)?, style })
    }

    /// Whether the output is for a script.
    pub(crate) fn is_json(&self) -> bool {
        self.style.json
    }

    /// Sends a request and prints the answer: its JSON, or what `view` makes of it.
    pub(crate) async fn show(&self, call: Call, view: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        let answer = self.client.send(&call).await?;
        self.print(&answer, view)
    }

    /// Sends a request and prints the items of the answer as a table.
    pub(crate) async fn list(&self, call: Call, columns: &[Column]) -> Result<(), Failure> {
        let answer = self.client.send(&call).await?;
        let list = answer.json()?;
        if !list["items"].is_array() {
            return Err(answer.foreign("it has no `items`"));
        }
        self.print(&answer, |list| table(&list["items"], columns))?;
        let next = list["next_cursor"].as_str().map(plain);
        if let Some(next) = next.filter(|_| !self.is_json()) {
            output::note(&format!("there are more: --cursor {next}"));
        }
        Ok(())
    }

    /// Sends a change and prints what it did.
    pub(crate) async fn change(&self, call: Call, done: impl Into<String>) -> Result<(), Failure> {
        self.show(call, |_| done.into()).await
    }

    /// Prints an answer: its JSON as it came, or what `view` makes of it.
    pub(crate) fn print(&self, answer: &Answer, view: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        let value = answer.json()?;
        match (self.is_json(), answer.text.is_empty()) {
            (true, true) => output::print(&value.to_string()),
            (true, false) => output::print(&answer.text),
            (false, _) => output::print(&view(&value)),
        }
    }

    /// Prints a value that was put together of several answers.
    pub(crate) fn print_value(&self, value: &Value, view: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        output::print(&if self.is_json() { value.to_string() } else { view(value) })
    }

    /// Asks before a change of many things, unless `--yes` was given.
    pub(crate) fn confirm(&self, question: &str) -> Result<(), Failure> {
        if self.style.yes { Ok(()) } else { confirm(question) }
    }

    /// Repeats a change of many things until nothing is left. Returns the last answer, with the sum
    /// of all in the field `count`.
    pub(crate) async fn repeat(&self, call: &Call, count: &str) -> Result<Value, Failure> {
        let mut sum = 0_u64;
        loop {
            let step = self.client.send(call).await.inspect_err(|_| {
                if sum > 0 {
                    output::note(&format!("{count}: {sum} before the failure"));
                }
            })?;
            let mut answer = step.json()?;
            let step = answer[count].as_u64().ok_or_else(|| step.foreign(&format!("it has no `{count}`")))?;
            sum = sum.saturating_add(step);
            // A step that does nothing and says that there is more would be repeated for ever.
            if answer["more"] != true || step == 0 {
                answer[count] = sum.into();
                return Ok(answer);
            }
        }
    }
}

//! One statement for many requests: a statement costs more than a row.

use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::Refused;

/// Most requests of one statement.
const BATCH: usize = 32;
/// How long a statement may take. A row may be locked for long by another process.
const PATIENCE: Duration = Duration::from_secs(5);

type Answer<R> = oneshot::Sender<Result<R, String>>;

/// Runs one batch after the other. What arrives meanwhile is the next batch.
pub(crate) struct Batches<T, R>(mpsc::Sender<(T, Answer<R>)>);

impl<T, R> Clone for Batches<T, R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Send + 'static, R: Send + 'static> Batches<T, R> {
    /// `run` answers each item of a batch, in the same order.
    pub(crate) fn start<F>(run: impl Fn(Vec<T>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<Vec<R>, sqlx::Error>> + Send,
    {
        let (sender, mut queue) = mpsc::channel(10 * BATCH);
        tokio::spawn(async move {
            let mut batch = Vec::with_capacity(BATCH);
            while queue.recv_many(&mut batch, BATCH).await > 0 {
                let (items, waiting): (Vec<T>, Vec<Answer<R>>) = batch.drain(..).unzip();
                let ran = match timeout(PATIENCE, run(items)).await {
                    Ok(ran) => ran.map_err(|error| error.to_string()),
                    Err(_) => Err(format!("SQL gave no answer within {PATIENCE:?}")),
                };
                // An answer can't be sent if the client has gone.
                match ran {
                    Ok(answers) => waiting.into_iter().zip(answers).for_each(|(to, answer)| drop(to.send(Ok(answer)))),
                    Err(reason) => waiting.into_iter().for_each(|to| drop(to.send(Err(reason.clone())))),
                }
            }
        });
        Self(sender)
    }

    /// The answer to one item.
    pub(crate) async fn run(&self, item: T) -> Result<R, Refused> {
        let (to, answer) = oneshot::channel();
        self.0.send((item, to)).await?;
        answer.await?.map_err(|reason| Refused(StatusCode::SERVICE_UNAVAILABLE, reason))
    }
}

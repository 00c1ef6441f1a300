//! Checkpoints, logs and progress.

use super::*;

#[tokio::test]
async fn checkpoints_and_logs_outlive_a_run() {
    async fn count(
        job: Step,
        mut checkpoint: Checkpoint<u32>,
        context: Context,
        progress: ProgressReporter,
    ) -> Result<u32, Failure> {
        let mut done = checkpoint.take().unwrap_or(0);
        while done < job.0 {
            done += 1;
            checkpoint.save(&done).await?;
            context.log(format!("step {done}")).await?;
            progress.advance(done.into(), job.0.into()).await?;
            if done == 3 && context.attempt() == 1 {
                return Err(Failure::retry("interrupted"));
            }
        }
        Ok(done)
    }
    let queue = served!(count);
    let id = queue.enqueue(&Step(5)).await;
    queue.drain().await;
    assert_eq!(queue.assert_retried(&id, 1).progress.unwrap().message, "3 of 5");
    queue.drain_through(Duration::from_secs(1)).await;
    assert_eq!(queue.assert_done(&id).result, Some(json!(5)));
    let logs = queue.broker().logs(QUEUE, &id).await.unwrap();
    let lines: Vec<_> = logs.iter().map(|line| (line.delivery, line.text.as_str())).collect();
    assert_eq!(lines, [(1, "step 1"), (1, "step 2"), (1, "step 3"), (2, "step 4"), (2, "step 5")]);
}

#[tokio::test]
async fn a_checkpoint_that_cannot_be_read_or_kept_buries() {
    async fn write(job: Step, checkpoint: Checkpoint<String>) -> Result<(), CheckpointError> {
        checkpoint.save(&"x".repeat(if job.0 == 0 { 3 } else { 100_000 })).await
    }
    let queue = served!(write);
    let Outcome::Bury { error } = queue.perform(&Step(1)).await else { panic!("too large") };
    assert!(error.starts_with("the checkpoint was not stored: "), "{error}");
    assert_eq!(queue.perform(&Step(0)).await, Outcome::Done(Value::Null));

    async fn changed(_: Step, context: Context, read: Result<Checkpoint<u32>, CheckpointError>) -> Outcome {
        match read {
            Err(error @ CheckpointError::Decode(_)) => Outcome::bury(error),
            Err(error) => Outcome::retry(error),
            Ok(_) => {
                let text = Checkpoint::<String>::from_context(&context).await.unwrap();
                text.save(&"seven".to_owned()).await.unwrap();
                Outcome::retry("written")
            }
        }
    }
    let queue = served!(changed);
    let id = queue.enqueue(&Step(0)).await;
    queue.drain_to_the_end().await;
    queue.assert_dead(&id, "the stored checkpoint does not fit its type");
}

#[tokio::test]
async fn progress_by_rows_is_written_by_percents() {
    async fn rows(job: Step, context: Context, progress: ProgressReporter) -> Result<(), Failure> {
        for row in 1..=job.0 {
            progress.advance(row.into(), job.0.into()).await?;
        }
        assert_eq!(context.attempt(), 1);
        Ok(())
    }
    let queue = served!(rows);
    let settings = tidegate_queue::QueueSettings { events: true, ..Default::default() };
    queue.broker().configure(QUEUE, settings).await.unwrap();
    let start = queue.broker().events(QUEUE, None, 0).await.unwrap().cursor;
    let id = queue.enqueue(&Step(10_000)).await;
    queue.drain().await;
    queue.assert_done(&id);
    let page = queue.broker().events(QUEUE, Some(start), 1_000).await.unwrap();
    assert_eq!(page.events.len(), 101 + 3);
}

//! A client's connection and the corresponding connection to the server.

use std::collections::VecDeque;

use redis_protocol::resp3::decode::complete::decode_range;
use redis_protocol::resp3::types::RangeFrame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use super::plan::{Fate, Plan};

/// Forwards in both directions until one side ends, the proxy is cut, or a reply is lost.
pub(super) async fn run(client: TcpStream, server: TcpStream, plan: &Plan) {
    let mut cuts = plan.cuts();
    // Small packets are sent at once: otherwise the delay of the proxy would be measured.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    // The fate of each request's reply, in the order of the replies.
    let (sent, fates) = mpsc::unbounded_channel();
    tokio::select! {
        () = carry_requests(from_client, to_server, sent, plan) => {}
        () = carry_replies(from_server, to_client, fates, plan) => {}
        _ = cuts.changed() => {}
    }
}

async fn carry_requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    sent: mpsc::UnboundedSender<Fate>,
    plan: &Plan,
) {
    let mut waiting = Vec::new();
    while read(&mut from, &mut waiting).await {
        if plan.hangs() {
            waiting.clear();
            continue;
        }
        while let Some((frame, length)) = decode_range(&waiting).ok().flatten() {
            let name = name_of(&frame, &waiting);
            if sent.send(plan.fate(&name, &waiting[..length])).is_err() {
                return;
            }
            if to.write_all(&waiting[..length]).await.is_err() {
                return;
            }
            waiting.drain(..length);
        }
    }
}

async fn carry_replies(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut fates: mpsc::UnboundedReceiver<Fate>,
    plan: &Plan,
) {
    let mut waiting = Vec::new();
    let mut known = VecDeque::new();
    while read(&mut from, &mut waiting).await {
        while let Some((frame, length)) = decode_range(&waiting).ok().flatten() {
            // A push message is not a reply.
            let is_reply = !matches!(frame, RangeFrame::Push { .. });
            while let Ok(fate) = fates.try_recv() {
                known.push_back(fate);
            }
            match if is_reply { known.pop_front() } else { None } {
                Some(Fate::IsLost) => {
                    plan.has_dropped();
                    return;
                }
                Some(Fate::Waits(turn)) => turn.comes().await,
                Some(Fate::Passes) | None => {}
            }
            if plan.hangs() {
                waiting.drain(..length);
                continue;
            }
            let delay = plan.delay();
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            if to.write_all(&waiting[..length]).await.is_err() {
                return;
            }
            waiting.drain(..length);
        }
    }
}

/// Reads the available bytes. Returns `false` at the end.
async fn read(from: &mut OwnedReadHalf, into: &mut Vec<u8>) -> bool {
    into.reserve(16_384);
    from.read_buf(into).await.is_ok_and(|length| length > 0)
}

/// The command's name. Empty if the request is not an array of strings.
fn name_of(frame: &RangeFrame, bytes: &[u8]) -> String {
    let RangeFrame::Array { data, .. } = frame else { return String::new() };
    match data.first() {
        Some(RangeFrame::BlobString { data: (start, end), .. }) => {
            String::from_utf8_lossy(&bytes[*start..*end]).into_owned()
        }
        _ => String::new(),
    }
}

//! Hears what instances announce to each other.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::mpsc;

use crate::breaker::Breaker;

/// Announcements that wait to be heard at most.
const QUEUE: usize = 16;
/// Between two attempts to listen.
const AGAIN: Duration = Duration::from_secs(1);

pub(crate) fn start(breaker: Arc<Breaker>) -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        while !sender.is_closed() {
            if breaker.bypassed().is_none()
                && let Ok(mut listening) = breaker.subscribe().await
            {
                let mut messages = listening.on_message();
                while let Some(message) = messages.next().await {
                    if sender.send(Bytes::copy_from_slice(message.get_payload_bytes())).await.is_err() {
                        return;
                    }
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    });
    receiver
}

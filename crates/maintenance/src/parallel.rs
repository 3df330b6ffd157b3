//! Many calls side by side.

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};

use crate::Watch;

/// Does `work` on every item, at most `limit` at a time; the results come in any order.
pub(crate) async fn each<'a, T, R, F>(items: Vec<T>, limit: usize, watch: &dyn Watch, work: F) -> Vec<R>
where
    F: Fn(T) -> BoxFuture<'a, R>,
{
    let mut running = stream::iter(items).map(work).buffer_unordered(limit.max(1));
    let mut results = Vec::new();
    while let Some(result) = running.next().await {
        watch.advance(1);
        results.push(result);
    }
    results
}

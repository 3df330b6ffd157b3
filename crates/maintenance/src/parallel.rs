//! Many calls side by side.

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};

use crate::Watch;

/// Does `work` on every item, at most `limit` at a time; the results come in any order.
pub(crate) async fn each<'a, T, R, F>(items: Vec<T>, limit: usize, watch: &dyn Watch, work: F) -> Vec<R>
where
    F: Fn(T) -> BoxFuture<'a, R>,
{
    // Boxed one by one, since the compiler cannot see that the futures of a borrowed iterator are `Send`.
    let work: Vec<BoxFuture<'a, R>> = items.into_iter().map(work).collect();
    let mut running = stream::iter(work).buffer_unordered(limit.max(1));
    let mut results = Vec::new();
    while let Some(result) = running.next().await {
        watch.advance(1);
        results.push(result);
    }
    results
}

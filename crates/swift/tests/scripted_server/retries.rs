//! What is tried again, how long, and what the error says in the end.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use wharfinger_swift::{Client, Delete, DeleteOutcome, ErrorKind, Listing, Put, Read};

use crate::server::{Reply, Server, object, status};

#[tokio::test(flavor = "multi_thread")]
async fn rate_limits_and_failures_are_waited_out_and_retry_after_is_obeyed() {
    let server = Server::start(|_, number| match number {
        0 => status(498),
        1 => Reply::Answer(429, vec![("retry-after", "1".into())], Vec::new()),
        2 => status(503),
        3 => Reply::Raw(Vec::new()),
        _ => object(b"", "e"),
    })
    .await;
    let begun = Instant::now();
    let info = server.container().head("o", &Read::default()).await.expect("in the end");
    assert_eq!(info.transaction.expect("known").as_str(), "tx-200");
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.seen().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_stop_at_the_budget() {
    let server = Server::start(|_, _| status(503)).await;
    let mut options = server.options();
    options.retry.attempts = 1000;
    options.retry.first_delay = Duration::from_millis(50);
    options.retry.longest_delay = Duration::from_millis(50);
    options.retry.budget = Duration::from_millis(400);
    let client = Client::new(options).expect("options");
    let begun = Instant::now();
    let container = client.container("box").expect("a name");
    let error = container.put("o", Bytes::from("x"), &Put::default()).await.expect_err("down");
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!((error.kind(), error.status()), (ErrorKind::Unavailable, StatusCode::from_u16(503).ok()));
    assert_eq!(error.attempts() as usize, server.seen().len());
    assert!(error.attempts() > 2);
    let text = error.to_string();
    assert!(text.starts_with("PUT box/o: 503") && text.contains("tx-503"), "{text}");
    assert_eq!((error.container(), error.object()), (Some("box"), Some("o")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_after_beyond_the_budget_is_the_callers_affair() {
    let server =
        Server::start(|_, _| Reply::Answer(503, vec![("retry-after", "30".into())], Vec::new())).await;
    let error = server.container().head("o", &Read::default()).await.expect_err("down");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(30)));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_server_ends_every_call_within_the_time_outs() {
    let server = Server::start(|_, _| Reply::Hang).await;
    let mut options = server.options();
    options.retry.budget = options.timeouts.head;
    let client = Client::new(options).expect("options");
    let container = client.container("box").expect("a name");
    let begun = Instant::now();
    let read = Read::default();
    let large = Bytes::from(vec![0; 4 << 20]);
    let listing = Listing::default();
    let put = Put::default();
    let outcomes = tokio::join!(
        async { container.head("o", &read).await.map(drop) },
        async { container.get("o", &read).await.map(drop) },
        async { container.get_bytes("o", 10, &read).await.map(drop) },
        async { container.put("o", Bytes::from("x"), &put).await.map(drop) },
        async { container.put("o", large, &put).await.map(drop) },
        async { container.delete("o", Delete::default()).await.map(drop) },
        async { container.list(&listing).await.map(drop) },
        async { client.capabilities().await.map(drop) },
    );
    let outcomes: [_; 8] = outcomes.into();
    for outcome in outcomes {
        assert_eq!(outcome.expect_err("hung").kind(), ErrorKind::Timeout);
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_said_to_be_so() {
    let server = Server::start(|_, _| status(200)).await;
    let mut options = server.options();
    options.storage_url = Some("http://127.0.0.1:1/v1/AUTH_test".into());
    let client = Client::new(options).expect("options");
    let container = client.container("box").expect("a name");
    let error = container.head("o", &Read::default()).await.expect_err("not there");
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Connection, true));
    assert!(error.to_string().contains("onnection refused"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_beyond_the_limit_wait_and_then_fail() {
    let server = Server::start(|_, _| Reply::Hang).await;
    let mut options = server.options();
    options.connections = 1;
    options.retry.attempts = 1;
    options.timeouts.head = Duration::from_millis(300);
    options.timeouts.large = Duration::from_secs(5);
    let client = Client::new(options).expect("options");
    let container = client.container("box").expect("a name");
    let busy = container.clone();
    let task = tokio::spawn(async move { busy.copy("a", &busy, "b", false).await });
    server.until(|seen| seen.len() == 1).await;
    let error = container.head("o", &Read::default()).await.expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(server.seen().len(), 1);
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_deleted_one_by_one_where_there_is_no_bulk_delete() {
    let server = Server::start(|seen, _| match (seen.method.as_str(), seen.target.as_str()) {
        ("GET", "/info") => Reply::Answer(200, Vec::new(), br#"{"swift": {}}"#.to_vec()),
        ("DELETE", "/v1/AUTH_test/box/b") => status(404),
        ("DELETE", "/v1/AUTH_test/box/c") => status(403),
        _ => status(204),
    })
    .await;
    let names: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
    let outcomes = server.client().bulk_delete("box", &names).await.expect("tried");
    let gone: Vec<bool> = outcomes.iter().map(|(_, out)| matches!(out, DeleteOutcome::Gone)).collect();
    assert_eq!(gone, [true, true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_of_a_bulk_delete_is_believed_and_not_its_status() {
    let server = Server::start(|seen, _| match (seen.method.as_str(), seen.target.as_str()) {
        ("GET", "/info") => {
            Reply::Answer(200, Vec::new(), br#"{"bulk_delete": {"max_deletes_per_request": 2}}"#.to_vec())
        }
        ("POST", "/v1/AUTH_test?bulk-delete") if seen.header("content-type") == Some("text/plain") => {
            let report =
                br#"  {"Response Status": "400 Bad Request", "Number Deleted": 1, "Number Not Found": 0,
                "Errors": [["/box/b%20b", "409 Conflict"]]}"#;
            Reply::Answer(200, Vec::new(), report.to_vec())
        }
        _ => status(500),
    })
    .await;
    let names: Vec<String> = ["a", "b b", "c", "d"].map(str::to_owned).to_vec();
    let outcomes = server.client().bulk_delete("box", &names).await.expect("tried");
    let kinds: Vec<Option<ErrorKind>> = outcomes
        .iter()
        .map(|(_, outcome)| match outcome {
            DeleteOutcome::Gone => None,
            DeleteOutcome::Failed(error) => Some(error.kind()),
        })
        .collect();
    // Of the second half the report names none, and counts only one of two: neither is known to be gone.
    assert_eq!(kinds[..2], [None, Some(ErrorKind::Superseded)]);
    assert!(kinds[2].is_none() && kinds[3].is_none() || kinds[2].is_some() && kinds[3].is_some());
    assert_eq!(server.seen()[1].body, b"/box/a\n/box/b%20b");
}

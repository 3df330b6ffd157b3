//! What this server keeps of one digest.

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};
use wharfinger_oci::{Digest, RepositoryName};
use wharfinger_registry::KeptCopy;

use super::{failure, read};
use crate::app::{App, json};
use crate::respond::Answer;

/// What to look at. The body of `POST /v1/look`.
#[derive(Debug, Deserialize)]
struct Wanted {
    repository: String,
    digest: String,
    /// Whether the copy in the disk cache is read, too.
    #[serde(default)]
    disk: bool,
}

/// Computes the digest of every copy; changes nothing.
pub(super) async fn look(app: &App, request: Request<Incoming>) -> Answer {
    let wanted: Wanted = match read(request).await {
        Ok(wanted) => wanted,
        Err(message) => return failure(&message),
    };
    let (name, digest) = match (RepositoryName::parse(&wanted.repository), Digest::parse(&wanted.digest)) {
        (Ok(name), Ok(digest)) => (name, digest),
        (Err(error), _) => return failure(&format!("repository: {error}")),
        (_, Err(error)) => return failure(&format!("digest: {error}")),
    };
    let look = app.registry.look(&name, &digest, wanted.disk).await;
    let copy = |copy: Option<KeptCopy>| {
        copy.map_or(Value::Null, |copy| json!({ "bytes": copy.bytes, "good": copy.good }))
    };
    let value = json!({
        "memory": look.memory,
        "disk": copy(look.disk),
        "redis": copy(look.redis),
        "withheld": look.withheld,
    });
    json(StatusCode::OK, &value)
}

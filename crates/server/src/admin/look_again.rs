//! A blob or manifest that somebody mended, or found damaged, beside this server.

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;
use wharfinger_oci::Digest;

use super::{failure, read};
use crate::app::{App, json};
use crate::respond::Answer;

/// What to look at. The body of `POST /v1/look-again`.
#[derive(Debug, Deserialize)]
pub(super) struct LookAgain {
    digest: String,
}

/// Forgets what is remembered of it, reads it whole, and offers or withholds it by what is found.
pub(super) async fn answer(app: &App, request: Request<Incoming>) -> Answer {
    let look: LookAgain = match read(request).await {
        Ok(look) => look,
        Err(message) => return failure(&message),
    };
    let digest = match Digest::parse(&look.digest) {
        Ok(digest) => digest,
        Err(error) => return failure(&format!("digest: {error}")),
    };
    let found = match app.registry.look_again(&digest).await {
        Ok(true) => {
            tracing::info!(%digest, "was read again and is right");
            true
        }
        Ok(false) => {
            if let Err(error) = app.registry.withhold(&digest).await {
                return failure(&error.to_string());
            }
            tracing::info!(%digest, "was read again and is withheld until it is pushed again");
            false
        }
        Err(error) => return failure(&error.to_string()),
    };
    json(StatusCode::OK, &json!({ "digest": digest.to_string(), "right": found }))
}

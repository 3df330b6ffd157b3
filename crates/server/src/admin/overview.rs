//! What the store tells of all instances together.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use wharfinger_maintenance::instances::{Fleet, damaged_marks};

use crate::app::{App, json};
use crate::respond::Answer;

/// How long a status may wait for the store.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it may count what could be served without the store.
const COUNTING: Duration = Duration::from_millis(300);

/// `GET /v1/overview`: what is not known is null.
pub(super) async fn overview(app: &App) -> Answer {
    let store = app.registry.store();
    let fleet = tokio::time::timeout(PATIENCE, Fleet::look(store));
    let marks = tokio::time::timeout(PATIENCE, damaged_marks(store));
    let (fleet, marks) = tokio::join!(fleet, marks);
    let known = |what: Result<Result<Value, String>, _>| match what {
        Ok(Ok(value)) => (value, Value::Null),
        Ok(Err(error)) => (Value::Null, error.into()),
        Err(_) => (Value::Null, format!("the store did not answer within {} s", PATIENCE.as_secs()).into()),
    };
    let (fleet, error) = known(fleet.map(|fleet| match fleet {
        Ok(fleet) => Ok(json!(fleet)),
        Err(error) => Err(error.to_string()),
    }));
    let marks = marks.ok().and_then(Result::ok);
    json(
        StatusCode::OK,
        &json!({ "fleet": fleet, "damaged_marks": marks, "error": error, "servable": servable(app).await }),
    )
}

/// Which images that were pulled lately could be served with the store gone, where that is counted quickly.
async fn servable(app: &App) -> Value {
    if app.registry.disk_cache().is_none() {
        return Value::Null;
    }
    match tokio::time::timeout(COUNTING, app.registry.servable()).await {
        Ok(servable) => json!({ "images": servable.images, "whole": servable.whole }),
        Err(_) => Value::Null,
    }
}

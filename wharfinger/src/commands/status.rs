//! `wharfinger status`.

use std::process::ExitCode;

use anyhow::Result;
use http::Method;

use crate::admin_client;
use crate::cli::{Output, Status};
use crate::units;

/// 0 healthy, 1 not ready, store failing or damaged blobs, 2 no server answered.
pub(crate) fn run(arguments: &Status) -> Result<ExitCode> {
    let status = admin_client::request(&arguments.socket, Method::GET, "/v1/status", None)?;
    let damaged = status["damaged_blobs"].as_u64().unwrap_or(0);
    let probe = &status["store"]["probe"];
    let known = probe["status"] != "unknown";
    let store = status["store"]["healthy"] == true || !known;
    let ready = status["ready"] == true;
    match arguments.output {
        Output::Json => println!("{status}"),
        Output::Text => {
            let text = |value: &serde_json::Value| value.as_str().unwrap_or("?").to_owned();
            println!("version            {}", text(&status["version"]));
            println!(
                "ready              {}",
                if ready { "yes" } else { "no: draining or taken out by hand" }
            );
            let error = probe["error"].as_str().map_or(String::new(), |error| format!(": {error}"));
            let age =
                probe["age_seconds"].as_u64().map_or(String::new(), |age| format!(", probed {age} s ago"));
            println!(
                "store              {} {}{age}{error}",
                text(&status["store"]["driver"]),
                text(&probe["status"])
            );
            if let Some(line) = redis(&status["redis"]) {
                println!("redis              {line}");
            }
            if let Some(line) = cache(&status["cache"]) {
                println!("cache              {line}");
            }
            for (address, port) in status["ports"].as_object().into_iter().flatten() {
                let error = port["error"].as_str().map_or(String::new(), |error| format!(": {error}"));
                println!("port {address:<13} {}{error}", text(&port["status"]));
            }
            println!("read-only          {}", if status["read_only"] == true { "yes" } else { "no" });
            println!("uploads in flight  {}", status["uploads_in_flight"]);
            println!("damaged blobs      {damaged}");
            println!("log level          {}", text(&status["log_level"]));
        }
    }
    Ok(if ready && store && damaged == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// One line on Redis, where there is one.
fn redis(redis: &serde_json::Value) -> Option<String> {
    let state = redis["state"].as_str()?;
    let since = redis["bypassed_seconds"].as_u64().map(|seconds| format!(" for {seconds} s"));
    let (hits, misses) = (redis["hit"].as_u64()?, redis["miss"].as_u64()?);
    let hits = units::share(hits, hits + misses);
    Some(format!("{state}{}, hits {hits}", since.unwrap_or_default()))
}

/// One line on the disk cache, where there is one.
fn cache(cache: &serde_json::Value) -> Option<String> {
    let (copies, bytes) = (cache["copies"].as_u64()?, cache["bytes"].as_u64()?);
    let (hits, misses) = (cache["hits"].as_u64()?, cache["misses"].as_u64()?);
    let (bytes, hits) = (units::size(bytes), units::share(hits, hits + misses));
    Some(format!("{copies} copies, {bytes}, hits {hits}"))
}

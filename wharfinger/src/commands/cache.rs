//! `wharfinger cache`.

use std::process::ExitCode;

use anyhow::Result;
use http::Method;
use serde_json::{Value, json};

use crate::admin_client;
use crate::cli::{Cache, Output, Socket};
use crate::units::{percent, share, size};

pub(crate) fn run(command: &Cache) -> Result<ExitCode> {
    match command {
        Cache::Status { socket, output } => {
            let status = admin_client::request(socket, Method::GET, "/v1/cache", None)?;
            print(*output, &status, show_status);
            Ok(verdict(is_well(&status)))
        }
        Cache::Verify { socket, reason, output } => {
            let verified = admin_client::act(socket, "/v1/cache/verify", None, reason)?;
            print(*output, &verified, show_verified);
            Ok(verdict(number(&verified, "dropped") == 0))
        }
        Cache::Flush { digest, all_instances, socket, reason, output } => {
            let body = json!({ "digest": digest, "all_instances": all_instances });
            let flushed = admin_client::act(socket, "/v1/cache/flush", Some(body), reason)?;
            print(*output, &flushed, show_flushed);
            Ok(ExitCode::SUCCESS)
        }
        Cache::Warm { images, top, socket, output } => {
            let warm = |image: &str| {
                let body = json!({ "image": image });
                admin_client::request(socket, Method::POST, "/v1/cache/warm", Some(body))
            };
            let mut refused = 0;
            for image in images {
                let warmed = warm(image)?;
                refused += number(&warmed, "refused");
                print(*output, &warmed, |warmed| show_warmed(image, warmed));
            }
            for image in most_pulled(socket, *top)?.iter().filter(|image| !images.contains(image)) {
                match warm(image) {
                    Ok(warmed) => {
                        refused += number(&warmed, "refused");
                        print(*output, &warmed, |warmed| show_warmed(image, warmed));
                    }
                    // Nobody named it: it may have been deleted since it was pulled.
                    Err(error) => {
                        eprintln!("{image}: {error}");
                        refused += 1;
                    }
                }
            }
            Ok(verdict(refused == 0))
        }
    }
}

/// The images that were pulled most lately.
fn most_pulled(socket: &Socket, top: Option<u16>) -> Result<Vec<String>> {
    let Some(top) = top else { return Ok(Vec::new()) };
    let body = json!({ "count": top });
    let named = admin_client::request(socket, Method::POST, "/v1/cache/top", Some(body))?;
    let images = named["images"].as_array().into_iter().flatten();
    let images: Vec<String> = images.filter_map(|image| image.as_str().map(str::to_owned)).collect();
    if images.is_empty() {
        eprintln!("nothing was pulled by way of this server yet");
    }
    Ok(images)
}

fn verdict(well: bool) -> ExitCode {
    if well { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn print(output: Output, value: &Value, show: impl Fn(&Value)) {
    match output {
        Output::Json => println!("{value}"),
        Output::Text => show(value),
    }
}

fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or(0)
}

/// Whether Redis, the disk and the caches in front do what they are there for.
fn is_well(status: &Value) -> bool {
    let failing = |front: &Value| front["failing"] == true;
    let fronts = !status["fronts"].as_array().into_iter().flatten().any(failing);
    fronts && status["write_error"].is_null() && status["redis"]["state"] != "bypassed"
}

fn show_status(status: &Value) {
    for front in status["fronts"].as_array().into_iter().flatten() {
        let state = if front["failing"] == true { "cannot be purged" } else { "purged" };
        let (cache, waiting) = (front["cache"].as_str().unwrap_or("?"), number(front, "waiting"));
        println!("cache in front          {cache}: {state}, {waiting} changes wait");
    }
    if let Some(state) = status["redis"]["state"].as_str() {
        let redis = |field| number(&status["redis"], field);
        let since = status["redis"]["bypassed_seconds"].as_u64().map(|seconds| format!(" for {seconds} s"));
        println!("Redis                   {state}{}", since.unwrap_or_default());
        println!("found in it             {}", share(redis("hit"), redis("hit") + redis("miss")));
        println!("no answer in time       {}", redis("failed"));
    }
    if status["directory"].is_null() {
        return;
    }
    let of = |field| number(status, field);
    println!("directory               {}", status["directory"].as_str().unwrap_or("?"));
    if let Some(error) = status["write_error"].as_str() {
        println!("cannot be written       {error}");
    }
    println!("copies                  {}", of("copies"));
    let used = percent(of("bytes"), of("capacity"));
    println!("size                    {} of {} ({used} %)", size(of("bytes")), size(of("capacity")));
    println!("hits                    {}", share(of("hits"), of("hits") + of("misses")));
    println!("fetched from the store  {}", of("fills"));
    println!("damaged, dropped        {}", of("damaged"));
    println!("could not be kept       {}", of("refused"));
    let (images, whole) = (of("recent_images"), of("recent_images_whole"));
    println!(
        "without the store       {whole} of {images} images pulled lately ({} %)",
        percent(whole, images)
    );
    println!("answered without it     {}", of("answered_without_store"));
}

fn show_flushed(flushed: &Value) {
    println!("dropped {} copies", number(flushed, "dropped"));
    if let Some(names) = flushed["redis"].as_u64() {
        println!("dropped {names} names in Redis");
    }
    if let Some(instances) = flushed["instances"].as_u64() {
        println!("told {instances} instances");
    }
}

fn show_verified(verified: &Value) {
    let (good, dropped) = (number(verified, "good"), number(verified, "dropped"));
    println!("{good} copies of {} are what they were filled with", size(number(verified, "bytes")));
    match dropped {
        0 => println!("none is damaged"),
        _ => println!("{dropped} were damaged and are dropped; the next pull fetches them again"),
    }
}

fn show_warmed(image: &str, warmed: &Value) {
    let (objects, fetched) = (number(warmed, "objects"), number(warmed, "fetched"));
    let bytes = size(number(warmed, "bytes"));
    println!("{image}: {objects} objects, {fetched} fetched now ({bytes})");
    let refused = number(warmed, "refused");
    if refused > 0 {
        println!("{image}: {refused} are not kept: see `wharfinger cache status`, and cache.size");
    }
}

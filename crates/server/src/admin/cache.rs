//! The disk cache, for operators.

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use wharfinger_oci::{Digest, Reference, RepositoryName};
use wharfinger_registry::{DiskCache, Flushed};

use super::caller::Caller;
use super::{failure, read};
use crate::app::{App, json};
use crate::respond::Answer;

/// What to drop. The body of `POST /v1/cache/flush`.
#[derive(Debug, Deserialize)]
pub(super) struct Flush {
    /// One copy; none: all.
    #[serde(default)]
    pub(super) digest: Option<String>,
    /// Whether other instances shall do the same.
    #[serde(default)]
    pub(super) all_instances: bool,
}

/// What to fetch. The body of `POST /v1/cache/warm`.
#[derive(Debug, Deserialize)]
pub(super) struct Warm {
    /// `NAME:TAG` or `NAME@DIGEST`.
    pub(super) image: String,
}

/// How many images to name. The body of `POST /v1/cache/top`.
#[derive(Debug, Deserialize)]
pub(super) struct Top {
    pub(super) count: usize,
}

/// One line of the status; null without a disk cache.
pub(super) fn summary(app: &App) -> Value {
    app.registry.disk_cache().map_or(Value::Null, numbers)
}

/// How things stand with Redis; null where none is configured.
pub(super) fn shared(app: &App) -> Value {
    let Some(shared) = app.registry.shared() else { return Value::Null };
    let status = shared.status();
    let mut value = json!({
        "state": if status.bypassed.is_some() { "bypassed" } else { "used" },
        "bypassed_seconds": status.bypassed.map(|time| time.as_secs()),
        "bypassed_since": status.bypassed.and_then(|time| (OffsetDateTime::now_utc() - time).format(&Rfc3339).ok()),
        "longest_wait_ms": status.counts.longest_wait().as_secs_f64() * 1000.0,
    });
    for (name, count) in status.counts.named() {
        value[name] = count.into();
    }
    value
}

fn numbers(cache: &DiskCache) -> Value {
    let status = cache.status();
    json!({
        "directory": cache.directory().display().to_string(),
        "copies": status.copies,
        "bytes": status.bytes,
        "capacity": status.capacity,
        "hits": status.hits,
        "misses": status.misses,
        "fills": status.fills,
        "damaged": status.damaged,
        "refused": status.refused,
    })
}

fn without() -> Answer {
    failure("this server has no disk cache (cache.directory), or its store is a directory itself")
}

pub(super) async fn status(app: &App) -> Answer {
    let Some(cache) = app.registry.disk_cache() else {
        return match app.registry.shared() {
            Some(_) => json(StatusCode::OK, &json!({ "redis": shared(app) })),
            None => without(),
        };
    };
    let mut value = numbers(cache);
    value["redis"] = shared(app);
    let servable = app.registry.servable().await;
    value["recent_images"] = servable.images.into();
    value["recent_images_whole"] = servable.whole.into();
    value["answered_without_store"] = app.registry.recalled_answers().into();
    json(StatusCode::OK, &value)
}

pub(super) async fn verify(app: &App, request: &Request<Incoming>) -> Answer {
    let caller = Caller::of(request);
    let Some(cache) = app.registry.disk_cache() else { return without() };
    let verified = cache.verify().await;
    if verified.dropped > 0 {
        let result = format!("dropped {} damaged copies, {} are good", verified.dropped, verified.good);
        caller.did(app, "cache verify", "every copy on disk", Ok(result)).await;
    }
    let value = json!({ "good": verified.good, "bytes": verified.bytes, "dropped": verified.dropped });
    json(StatusCode::OK, &value)
}

pub(super) async fn flush(app: &App, request: Request<Incoming>) -> Answer {
    let caller = Caller::of(&request);
    let flush: Flush = match read(request).await {
        Ok(flush) => flush,
        Err(message) => return failure(&message),
    };
    let digest = match flush.digest.as_deref().map(Digest::parse).transpose() {
        Ok(digest) => digest,
        Err(error) => return failure(&format!("digest: {error}")),
    };
    let flushed = app.registry.flush_caches(digest.as_ref(), flush.all_instances).await;
    let copies = flush.digest.as_deref().unwrap_or("every copy");
    let what = if flush.all_instances { format!("{copies}, all instances") } else { copies.to_owned() };
    caller.did(app, "cache flush", what, flushed.as_ref().map(told).map_err(Clone::clone)).await;
    match flushed {
        Ok(flushed) => {
            let (dropped, redis, instances) = (flushed.copies, flushed.shared, flushed.instances);
            tracing::info!(dropped, redis, instances, digest = flush.digest, "caches were flushed by hand");
            json(StatusCode::OK, &json!({ "dropped": dropped, "redis": redis, "instances": instances }))
        }
        Err(message) => failure(&message),
    }
}

fn told(flushed: &Flushed) -> String {
    let mut text = format!("dropped {} copies", flushed.copies);
    if let Some(names) = flushed.shared {
        text += &format!(", {names} names in Redis");
    }
    if let Some(instances) = flushed.instances {
        text += &format!(", told {instances} instances");
    }
    text
}

/// The images that were pulled most lately.
pub(super) async fn top(app: &App, request: Request<Incoming>) -> Answer {
    let Some(cache) = app.registry.disk_cache() else { return without() };
    match read::<Top>(request).await {
        Ok(top) => {
            let images: Vec<String> =
                cache.most_pulled(top.count).iter().map(|(name, reference)| text(name, reference)).collect();
            json(StatusCode::OK, &json!({ "images": images }))
        }
        Err(message) => failure(&message),
    }
}

fn text(name: &RepositoryName, reference: &Reference) -> String {
    match reference {
        Reference::Tag(tag) => format!("{name}:{tag}"),
        Reference::Digest(digest) => format!("{name}@{digest}"),
    }
}

pub(super) async fn warm(app: &App, request: Request<Incoming>) -> Answer {
    if app.registry.disk_cache().is_none() {
        return without();
    }
    let warm: Warm = match read(request).await {
        Ok(warm) => warm,
        Err(message) => return failure(&message),
    };
    let Some((name, reference)) = image(&warm.image) else {
        return failure(&format!("{:?} is not an image: NAME:TAG or NAME@DIGEST", warm.image));
    };
    match app.registry.warm(&name, &reference).await {
        Ok(warmed) => {
            let value = json!({
                "objects": warmed.objects,
                "fetched": warmed.fetched,
                "bytes": warmed.bytes,
                "refused": warmed.refused,
            });
            json(StatusCode::OK, &value)
        }
        Err(error) => failure(&error.to_string()),
    }
}

fn image(text: &str) -> Option<(RepositoryName, Reference)> {
    let (name, reference) = text.split_once('@').or_else(|| text.rsplit_once(':'))?;
    Some((RepositoryName::parse(name).ok()?, Reference::parse(reference).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_by_tag_or_digest() {
        let (name, reference) = image("team/app:1.0").unwrap();
        assert_eq!((name.to_string(), reference.to_string()), ("team/app".into(), "1.0".into()));
        let digest = format!("sha256:{}", "0".repeat(64));
        let (name, reference) = image(&format!("app@{digest}")).unwrap();
        assert_eq!((name.to_string(), reference.to_string()), ("app".into(), digest));
        for named in ["team/app:1.0".to_owned(), format!("app@sha256:{}", "0".repeat(64))] {
            let (name, reference) = image(&named).unwrap();
            assert_eq!(text(&name, &reference), named);
        }
        assert_eq!(image("app"), None);
        assert_eq!(image("APP:1"), None);
    }
}

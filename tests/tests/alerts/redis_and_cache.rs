//! Faults of what makes a registry fast: Redis, the disk cache, the caches in front.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use wharfinger_test_support::{
    Api, Blob, Builder, CacheProgram, CacheRules, HttpCache, Image, RedisServer, Registry, pause, wait_until,
};

use super::watch::Watch;
use super::{FIVE_MINUTES, SOON, Traffic, calm, watched};

const PATIENCE: Duration = Duration::from_secs(30);

fn on_swift() -> Builder {
    let swift = calm();
    Registry::builder().swift(swift, &swift.fresh_container())
}

/// Redis is halted: it takes connections and answers nothing.
pub(crate) fn redis() {
    let redis = RedisServer::start();
    let (builder, port) = watched(on_swift().redis(&redis.address()));
    let builder = builder.allow_log("redis.writetimeout").allow_log("Redis does not answer");
    let registry = builder.start();
    let api = registry.api();
    api.push_image("team/app", "v1", &Image::small(1));
    let _traffic = Traffic::start(1, &api, "/v2/team/app/manifests/v1");
    let mut watch = Watch::begin(&["WharfingerRedisBypassed"], port, registry.directory());
    watch.break_it(|| {
        redis.hang();
        // Pulls of what is in memory ask nobody.
        api.push_image("team/app", "v2", &Image::small(2));
    });
    watch.expect_alert(SOON);
    watch.mend_it(|| redis.resume(), SOON);
    watch.judge();
}

/// Blobs that are too large to be kept in memory.
fn blobs(api: &Api, seed: u64) -> Vec<String> {
    let push = |number| {
        format!("/v2/team/app/blobs/{}", api.push_blob("team/app", &Blob::seeded(number, 200_000).bytes()))
    };
    (seed..seed + 6).map(push).collect()
}

fn with_cache() -> (Builder, u16, PathBuf) {
    let (builder, port) = watched(on_swift());
    let directory = builder.directory().join("cache");
    let builder = builder.set("cache.directory", directory.to_str().unwrap()).set("cache.size", "64MiB");
    (builder, port, directory)
}

/// Something else lies where the directory was, as after a mount that failed.
pub(crate) fn disk_cache_refuses() {
    let (builder, port, directory) = with_cache();
    let registry = builder.start();
    let wanted = blobs(&registry.api(), 100);
    let _traffic = Traffic::start(1, &registry.api(), &wanted[0]);
    let mut watch = Watch::begin(&["WharfingerDiskCacheRefuses"], port, registry.directory());
    let aside = directory.with_extension("aside");
    let _other = {
        watch.break_it(|| {
            fs::rename(&directory, &aside).unwrap();
            fs::write(&directory, "no directory").unwrap();
        });
        Traffic::start(1, &registry.api(), &wanted[1])
    };
    watch.expect_alert(SOON);
    let put_back = || {
        fs::remove_file(&directory).unwrap();
        fs::rename(&aside, &directory).unwrap();
    };
    watch.mend_it(put_back, FIVE_MINUTES);
    watch.judge();
}

fn copies(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { copies(&path) } else { vec![path] });
    files.filter(|file| file.ends_with("data")).collect()
}

/// The disk changes a byte of every copy, twice: what was fetched again is damaged again.
pub(crate) fn disk_cache_damaged() {
    let (builder, port, directory) = with_cache();
    let registry = builder.allow_log("a copy in the disk cache was damaged").start();
    let (api, wanted) = (registry.api(), blobs(&registry.api(), 200));
    let pull_all = || wanted.iter().for_each(|target| drop(api.get(target).expect(200)));
    let copied = || wait_until("copies", PATIENCE, || copies(&directory).len() == wanted.len());
    let flip = || {
        for file in copies(&directory) {
            let mut bytes = fs::read(&file).unwrap();
            bytes[100_000] ^= 1;
            fs::write(&file, bytes).unwrap();
        }
    };
    pull_all();
    copied();
    let mut watch = Watch::begin(&["WharfingerDiskCacheDamaged"], port, registry.directory());
    watch.break_it(|| {
        flip();
        pull_all();
        pause(Duration::from_millis(500));
        pull_all();
        copied();
        flip();
    });
    watch.expect_alert(SOON + 8);
    // The command itself has dropped them.
    watch.mend_it(pull_all, 3 * FIVE_MINUTES);
    watch.judge();
}

/// Varnish in front ends; what is deleted waits to be told to it.
pub(crate) fn cache_in_front() {
    let front = HttpCache::port();
    let endpoint = HttpCache::endpoint(CacheProgram::Varnish, CacheRules::Shipped, front);
    let (builder, port) = watched(Registry::builder().set("purge.endpoints", json!([endpoint])));
    let backend = builder.port();
    let registry = builder.allow_log("a cache in front could not be purged").start();
    let start = || HttpCache::start(CacheProgram::Varnish, CacheRules::Shipped, front, backend);
    let (varnish, api) = (start(), registry.api());
    for tag in ["v1", "v2"] {
        api.push_image("team/app", tag, &Image::small(1));
    }
    let _traffic = Traffic::start(1, &api, "/v2/team/app/manifests/v1");
    let mut watch = Watch::begin(&["WharfingerCacheInFrontNotTold"], port, registry.directory());
    watch.break_it(|| {
        drop(varnish);
        api.delete("/v2/team/app/manifests/v2").expect(202);
    });
    watch.expect_alert(SOON);
    let mut again = None;
    watch.mend_it(|| again = Some(start()), SOON);
    watch.judge();
}

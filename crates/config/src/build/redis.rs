//! `redis`.

use std::time::Duration;

use crate::Driver;
use crate::config::redis::{Redis, RedisTls};
use crate::read::Reader;

/// What an answer may take by default.
const ANSWER: Duration = Duration::from_millis(50);
/// What it may take at most, whatever the file says: a request waits no longer for Redis in all.
const LONGEST: Duration = Duration::from_millis(100);

pub(super) fn redis(reader: &mut Reader<'_, '_>, driver: &Driver) -> Option<Redis> {
    // Distribution 3.x has a list.
    let address: Option<String> = reader.optional("redis.addr");
    let listed = reader.list::<String>("redis.addrs").unwrap_or_default();
    let addresses: Vec<String> = address.map_or(listed, |address| vec![address]);
    let cache = ["storage.cache.blobdescriptor", "storage.cache.layerinfo"];
    if addresses.is_empty() {
        for name in cache {
            if reader.optional::<String>(name).is_some_and(|kind| kind == "redis") {
                reader.warn(name, "no redis.addr is given: nothing is shared between instances");
            }
        }
        return None;
    }
    if let Driver::Filesystem(_) = driver {
        reader.warn("redis", "not used: the store is a directory, which is asked in less time than Redis");
    }
    let answer: Option<Duration> =
        reader.optional("redis.readtimeout").filter(|time: &Duration| !time.is_zero());
    Some(Redis {
        addresses,
        user: reader.optional("redis.username"),
        password: reader.optional("redis.password"),
        database: database(reader),
        tls: tls(reader),
        connect: reader
            .optional("redis.dialtimeout")
            .filter(|time: &Duration| !time.is_zero())
            .unwrap_or(LONGEST),
        answer: answer.unwrap_or(ANSWER).min(LONGEST),
    })
}

fn database(reader: &mut Reader<'_, '_>) -> u32 {
    let number: u64 = reader.optional("redis.db").unwrap_or(0);
    u32::try_from(number).unwrap_or_else(|_| {
        reader.error("redis.db", "no such database");
        0
    })
}

fn tls(reader: &mut Reader<'_, '_>) -> Option<RedisTls> {
    let tls = RedisTls {
        roots: reader.list("redis.tls.rootcas").unwrap_or_default(),
        certificate: reader.optional("redis.tls.certificate"),
        key: reader.optional("redis.tls.key"),
    };
    let named = tls != RedisTls::default();
    reader.optional::<bool>("redis.tls.enabled").unwrap_or(named).then_some(tls)
}

//! `redis`.

use crate::config::redis::Redis;
use crate::read::Reader;

pub(super) fn redis(reader: &mut Reader<'_, '_>) -> Option<Redis> {
    // Distribution 3.x has a list.
    let first = |reader: &mut Reader<'_, '_>| reader.list::<String>("redis.addrs")?.into_iter().next();
    let address = reader.optional("redis.addr").or_else(|| first(reader))?;
    Some(Redis {
        address,
        user: reader.optional("redis.username"),
        password: reader.optional("redis.password"),
        database: reader.optional("redis.db").unwrap_or(0),
    })
}

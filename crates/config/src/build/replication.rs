//! `replication`.

use super::storage;
use crate::config::replication::{Peer, Replication};
use crate::read::Reader;
use crate::value::quoted;

pub(super) fn replication(reader: &mut Reader<'_, '_>) -> Replication {
    const PEERS: &str = "replication.peers";
    let peers = reader.sections(PEERS, peer).unwrap_or_default();
    for (index, peer) in peers.iter().enumerate() {
        if peers[..index].iter().any(|earlier| earlier.name == peer.name) {
            reader.error(PEERS, format!("two sites have the name {}", quoted(&peer.name)));
        }
    }
    Replication { peers }
}

fn peer(reader: &mut Reader<'_, '_>) -> Option<Peer> {
    let name: Option<String> = reader.optional("name");
    match &name {
        None => reader.error("name", "every site needs a name"),
        Some(name) if !is_name(name) => {
            reader
                .error("name", format!("has to be letters, digits, `-`, `_` and `.`, not {}", quoted(name)));
        }
        Some(_) => {}
    }
    match (reader.has("storage.swift"), reader.has("storage.filesystem")) {
        (true, true) => reader.error("storage", "more than one storage driver: swift and filesystem"),
        (false, false) => {
            reader.error("storage", "every site needs a store: storage.swift or storage.filesystem");
        }
        _ => {}
    }
    Some(Peer { name: name?, driver: storage::driver(reader) })
}

/// Whether it is a name, which is never taken for the path of a file.
fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    name.bytes().all(allowed) && !name.starts_with('.')
}

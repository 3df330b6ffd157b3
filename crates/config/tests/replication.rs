//! The stores of other sites.

#[path = "support/common.rs"]
mod common;

use common::{errors, load, vars, warnings};
use wharfinger_config::*;

const SWIFT: &str = "authurl: https://swift.example.org/auth/v1.0, username: a:b, password: hunter2";

/// Loads a file with these peers, as a YAML list.
fn peers(list: &str) -> Result<Loaded, ConfigErrors> {
    load(
        &format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: /here}}}}\nreplication: {{peers: {list}}}\n"
        ),
        &[],
    )
}

#[test]
fn a_peer_has_the_storage_that_a_configuration_has() {
    let there = format!("storage: {{swift: {{{SWIFT}, container: c, AuthVersion: 1, prefix: /p}}}}");
    let loaded = peers(&format!("[{{name: codfw, {there}}}, {{name: b, storage: filesystem}}]")).unwrap();
    assert_eq!(warnings(&loaded), Vec::<String>::new());
    let of_its_own = load(&format!("version: 0.1\n{there}\n"), &[]).unwrap().config.storage.driver;
    let [codfw, b] = loaded.config.replication.peers.as_slice() else { panic!("two peers") };
    assert_eq!((codfw.name.as_str(), &codfw.driver), ("codfw", &of_its_own));
    let Driver::Filesystem(filesystem) = &b.driver else { panic!("a directory") };
    assert_eq!(filesystem.root.to_str(), Some("/var/lib/registry"));
    assert!(!format!("{:?}", loaded.config).contains("hunter2"));
}

#[test]
fn the_environment_reaches_a_peer() {
    let file = format!(
        "version: 0.1\nstorage: filesystem\nreplication: {{peers: [{{name: a, storage: {{swift: {{{SWIFT}}}}}}}]}}\n"
    );
    let env = vars(&[("REGISTRY_REPLICATION_PEERS_0_STORAGE_SWIFT_CONTAINER", "from-env")]);
    let loaded = load_str("config.yml", &file, env, &[]).unwrap();
    let Driver::Swift(swift) = &loaded.config.replication.peers[0].driver else { panic!("Swift") };
    assert_eq!(swift.container, "from-env");
}

#[test]
fn a_mistake_in_a_peer_is_told_with_its_place() {
    for (list, expected) in [
        ("[{storage: filesystem}]", "replication.peers.0.name: every site needs a name"),
        ("[{name: a/b, storage: filesystem}]", "replication.peers.0.name: has to be letters"),
        ("[{name: a}]", "replication.peers.0.storage: every site needs a store"),
        ("[{name: a, storage: {filesystem: {}, swift: {}}}]", "more than one storage driver"),
        ("[{name: a, storage: filesystem}, {name: a, storage: filesystem}]", "two sites have the name"),
        (
            "[{name: a, storage: {swift: {container: c}}}]",
            "replication.peers.0.storage.swift.authurl: has to be given",
        ),
        ("[{name: a, storage: {s3: {}}}]", "replication.peers.0.storage: every site needs a store"),
        ("[a]", "replication.peers.0: has to be a section"),
    ] {
        let found = errors(peers(list));
        assert!(found.iter().any(|error| error.contains(expected)), "{list}: {found:?}");
    }
    let unknown =
        peers(&format!("[{{name: a, storage: {{swift: {{{SWIFT}, container: c, kontainer: d}}}}}}]"));
    assert!(
        warnings(&unknown.unwrap())[0].contains("replication.peers.0.storage.swift.kontainer: unknown key")
    );
}

//! The store of another site.

use std::path::Path;

use anyhow::{Context, Result, bail};
use wharfinger_config::{self as config, Config, Driver};

use super::Backend;

impl Backend {
    /// Opens the store of another site to read from it alone. `name` is one of `replication.peers`, or the path of a
    /// configuration file of that site.
    pub(crate) fn open_peer(config: &Config, name: &str) -> Result<Backend> {
        let driver = peer(config, name)?;
        Backend::open_driver(&driver, false, None).with_context(|| format!("the store of {name}"))
    }
}

/// What holds everything at another site, as for [`Backend::open_peer`].
pub(crate) fn peer(config: &Config, name: &str) -> Result<Driver> {
    let peers = &config.replication.peers;
    if let Some(peer) = peers.iter().find(|peer| peer.name == name) {
        return Ok(peer.driver.clone());
    }
    let path = Path::new(name);
    if name.contains('/') || path.is_file() {
        return from_file(path);
    }
    let known: Vec<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
    match known.as_slice() {
        [] => bail!(
            "no site is called {name:?}: the configuration has no replication.peers (add it there, or give the path of \
             that site's configuration file)"
        ),
        known => bail!("no site is called {name:?}; replication.peers has {}", known.join(", ")),
    }
}

/// The storage of another configuration file. The environment speaks of this site, and what else the file asks for is
/// of no interest.
fn from_file(path: &Path) -> Result<Driver> {
    let load = |ignored: &[String]| config::load(Some(path), std::iter::empty(), ignored);
    let loaded = load(&[]).or_else(|errors| {
        let refused = errors.0.into_iter().map(|error| error.key).filter(|key| !key.is_empty());
        load(&refused.collect::<Vec<_>>())
    });
    let loaded = loaded.map_err(|errors| {
        let lines: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("the configuration of the other site cannot be used:\n  {}", lines.join("\n  "))
    })?;
    Ok(loaded.config.storage.driver)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEERS: &str = "version: 0.1\nstorage: filesystem\nreplication:\n  peers:\n    - name: codfw\n      storage: {filesystem: {rootdirectory: /srv/codfw}}\n";

    fn load(text: &str) -> Config {
        config::load_str("config.yml", text, std::iter::empty(), &[]).unwrap().config
    }

    fn root(driver: Driver) -> String {
        let Driver::Filesystem(filesystem) = driver else { panic!("a directory") };
        filesystem.root.display().to_string()
    }

    #[test]
    fn a_site_is_found_by_its_name_and_an_unknown_one_is_answered_with_the_known() {
        let config = load(PEERS);
        assert_eq!(root(peer(&config, "codfw").unwrap()), "/srv/codfw");
        let error = peer(&config, "eqiad").unwrap_err().to_string();
        assert_eq!(error, "no site is called \"eqiad\"; replication.peers has codfw");
        let error = peer(&Config::default(), "eqiad").unwrap_err().to_string();
        assert!(error.contains("has no replication.peers"), "{error}");
    }

    #[test]
    fn what_looks_like_a_path_is_one() {
        let missing = peer(&Config::default(), "/no/such/file.yml").unwrap_err().to_string();
        assert!(missing.contains("/no/such/file.yml") && missing.contains("cannot be read"), "{missing}");
    }
}

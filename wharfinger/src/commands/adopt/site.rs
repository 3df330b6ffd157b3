//! Where the data is, and what the cluster there can do.

use anyhow::Result;
use http::HeaderMap;
use serde::Serialize;
use wharfinger_config::Config;
use wharfinger_swift::Capabilities;

use crate::storage::Backend;
use crate::wiring;

/// A directory, or a container with its cluster.
#[derive(Serialize)]
pub(super) struct Site {
    pub(super) driver: &'static str,
    /// In a few words.
    pub(super) place: String,
    pub(super) mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) swift: Option<Cluster>,
}

/// What Swift says of itself and of the container.
#[derive(Serialize)]
pub(super) struct Cluster {
    pub(super) container: String,
    pub(super) prefix: String,
    pub(super) version: Option<String>,
    pub(super) static_large_objects: bool,
    pub(super) bulk_delete: bool,
    /// Methods that temporary URLs may have; empty without them.
    pub(super) temp_url_methods: Vec<String>,
    pub(super) temp_url_digests: Vec<String>,
    pub(super) objects: u64,
    pub(super) bytes: u64,
    pub(super) policy: Option<String>,
    pub(super) sync: Sync,
}

/// Container sync, as the container's headers tell.
#[derive(Serialize)]
pub(super) struct Sync {
    /// Where this container is copied to.
    pub(super) to: Option<String>,
    /// Whether there is a secret: then another container may be copied to here.
    pub(super) accepts: bool,
}

impl Site {
    /// Asks for it. Reads alone.
    pub(super) async fn look(config: &Config, backend: &Backend) -> Result<Site> {
        let swift = match backend {
            Backend::Filesystem(_) => None,
            Backend::Swift(store) => {
                let container = store.container();
                let info = container.info().await?;
                let known = container.client().capabilities().await?;
                let prefix = match &config.storage.driver {
                    wharfinger_config::Driver::Swift(swift) => swift.prefix.clone(),
                    wharfinger_config::Driver::Filesystem(_) => String::new(),
                };
                Some(Cluster::of(container.name(), prefix, &info, &known))
            }
        };
        let place = wiring::describe_store(config);
        Ok(Site { driver: backend.name(), place, mode: config.storage.mode.as_str(), swift })
    }

    /// The container's name.
    pub(super) fn container(&self) -> Option<&str> {
        self.swift.as_ref().map(|swift| swift.container.as_str())
    }
}

impl Cluster {
    fn of(
        container: &str,
        prefix: String,
        info: &wharfinger_swift::ContainerInfo,
        known: &Capabilities,
    ) -> Cluster {
        let temp_url = known.temp_url.as_ref();
        Cluster {
            container: container.to_owned(),
            prefix,
            version: known.version.clone(),
            static_large_objects: known.slo.is_some(),
            bulk_delete: known.bulk_delete.is_some(),
            temp_url_methods: temp_url.map(|limits| limits.methods.clone()).unwrap_or_default(),
            temp_url_digests: temp_url.map(|limits| limits.digests.clone()).unwrap_or_default(),
            objects: info.objects,
            bytes: info.bytes,
            policy: info.policy.clone(),
            sync: Sync { to: info.sync_to.clone(), accepts: has(&info.headers, "x-container-sync-key") },
        }
    }
}

fn has(headers: &HeaderMap, name: &str) -> bool {
    headers.get(name).is_some_and(|value| !value.is_empty())
}

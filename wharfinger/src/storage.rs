//! The store that the configuration names.

mod peer;

pub(crate) use peer::peer;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use wharfinger_config::{self as config, Config, Driver};
use wharfinger_registry::{DiskCache, Registry, layout};
use wharfinger_shared::Shared;
use wharfinger_store::layer::{Breaker, Guarded, Observed, Observer, Permit};
use wharfinger_store::swift::{LargeObjects, Signing, SwiftOptions};
use wharfinger_store::{Filesystem, Inventory, Store, StoreErrorKind, Swift};
use wharfinger_swift as swift;

use crate::wiring;

/// Between two attempts to find the container while Swift is down.
const PREPARE_AGAIN: Duration = Duration::from_secs(2);
/// Between two log lines that say so.
const COMPLAIN_AGAIN: u32 = 30;

/// A store, opened.
#[derive(Clone)]
pub(crate) enum Backend {
    Filesystem(Filesystem),
    Swift(Swift),
}

impl Backend {
    /// Opens the store. Of a directory it makes sure that it is there; of Swift nothing: it may be down.
    pub(crate) fn open(config: &Config) -> Result<Backend> {
        Backend::open_for(config, config.storage.mode != config::StorageMode::Observe)
    }

    /// Opens the store to read from it alone, whatever the mode allows; a directory has to be there.
    pub(crate) fn open_to_read(config: &Config) -> Result<Backend> {
        Backend::open_for(config, false)
    }

    fn open_for(config: &Config, writable: bool) -> Result<Backend> {
        Backend::open_driver(&config.storage.driver, writable, config.storage.redirects())
    }

    fn open_driver(driver: &Driver, writable: bool, redirects: Option<&config::Redirect>) -> Result<Backend> {
        match driver {
            Driver::Filesystem(filesystem) => {
                let root = &filesystem.root;
                let open = if writable { Filesystem::open } else { Filesystem::open_to_read };
                let opened = open(root).with_context(|| {
                    let key = "storage.filesystem.rootdirectory";
                    format!("the data directory {} cannot be opened ({key})", root.display())
                })?;
                Ok(Backend::Filesystem(opened))
            }
            Driver::Swift(settings) => {
                let client = swift::Client::new(client_options(settings)).context("storage.swift")?;
                let options = SwiftOptions {
                    container: settings.container.clone(),
                    prefix: settings.prefix.clone(),
                    segment_size: settings.segment_size,
                    large: match settings.objects {
                        config::LargeObjects::Auto => LargeObjects::Auto,
                        config::LargeObjects::Slo => LargeObjects::Static,
                        config::LargeObjects::Dlo => LargeObjects::Dynamic,
                    },
                    writable,
                    signing: redirects.map(|redirects| Signing {
                        key: settings.temp_url_key.as_ref().map(secret),
                        on_container: settings.temp_url_container_key,
                        base_url: redirects.base_url.clone(),
                    }),
                };
                Ok(Backend::Swift(Swift::new(client, options).context("storage.swift.container")?))
            }
        }
    }

    /// The store, kept to what the mode allows.
    pub(crate) fn guarded(&self, config: &Config) -> Arc<dyn Store> {
        let store: Arc<dyn Store> = match self {
            Backend::Filesystem(store) => Arc::new(store.clone()),
            Backend::Swift(store) => Arc::new(store.clone()),
        };
        let permit = match config.storage.mode {
            config::StorageMode::Adopted => return store,
            config::StorageMode::Trial => Permit::DeleteBelow(format!("{}/", layout::OURS)),
            config::StorageMode::Observe => Permit::ReadOnly,
        };
        Arc::new(Guarded::new(store, permit))
    }

    /// The store, to be read from alone.
    pub(crate) fn read_only(&self) -> Arc<dyn Store> {
        let store: Arc<dyn Store> = match self {
            Backend::Filesystem(store) => Arc::new(store.clone()),
            Backend::Swift(store) => Arc::new(store.clone()),
        };
        Arc::new(Guarded::new(store, Permit::ReadOnly))
    }

    /// The store, to be listed as a whole.
    pub(crate) fn inventory(&self) -> &dyn Inventory {
        match self {
            Backend::Filesystem(store) => store,
            Backend::Swift(store) => store,
        }
    }

    /// As [`Backend::inventory`], for those who list in the background.
    pub(crate) fn shared_inventory(&self) -> Arc<dyn Inventory> {
        match self {
            Backend::Filesystem(store) => Arc::new(store.clone()),
            Backend::Swift(store) => Arc::new(store.clone()),
        }
    }

    /// The repositories in it, observed.
    pub(crate) async fn registry(&self, config: &Config, observer: Arc<dyn Observer>) -> Result<Registry> {
        let store: Arc<dyn Store> = Arc::new(Observed::new(self.guarded(config), observer));
        let options = wiring::registry_options(config)?;
        if let Backend::Filesystem(_) = self {
            return Ok(Registry::new(store, options));
        }
        let store = Arc::new(Breaker::new(store, layout::catalog_complete()));
        let cache = match wiring::disk_options(config) {
            Some(options) => Some(DiskCache::open(options).await.context("cache.directory")?),
            None => None,
        };
        let shared = match wiring::shared_options(config)? {
            Some(options) => Some(Shared::new(&options).context("redis")?),
            None => None,
        };
        Ok(Registry::with_caches(store, options, cache, shared))
    }

    /// The backend's name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Backend::Filesystem(store) => store.name(),
            Backend::Swift(store) => store.name(),
        }
    }

    /// Makes sure that the container is there and may be used as the mode asks for, for as long as that takes. One line
    /// says what is wrong, where to look and which settings say so; again once a minute.
    pub(crate) async fn prepare(&self, registry: &Registry, config: &Config) {
        let (Backend::Swift(store), Driver::Swift(settings)) = (self, &config.storage.driver) else { return };
        let mut attempt = 0;
        while let Err((error, keys)) = usable(store, registry, settings).await {
            if attempt % COMPLAIN_AGAIN == 0 {
                let container = settings.container.as_str();
                tracing::error!(%error, container, keys, "Swift cannot be used yet; trying again");
            }
            attempt += 1;
            tokio::time::sleep(PREPARE_AGAIN).await;
        }
        if attempt > 0 {
            tracing::info!("Swift can be used");
        }
        if let Err(error) = store.prepare_signing().await {
            tracing::warn!(%error, "whether clients can be redirected to Swift is found out later");
        }
    }
}

/// Finds the container and tries to use it. If that fails, says why, and which settings may be wrong.
async fn usable(
    store: &Swift,
    registry: &Registry,
    settings: &config::Swift,
) -> Result<(), (anyhow::Error, &'static str)> {
    if let Err(error) = store.prepare().await {
        let keys = suspects(settings, &error);
        return Err((error.into(), keys));
    }
    match registry.probe().await {
        // A permission that lacks is a matter of the settings; the rest is one of the store's health.
        Err(wharfinger_registry::Error::Store(error)) if error.kind == StoreErrorKind::Denied => {
            Err((error.into(), "storage.swift.username, storage.swift.container"))
        }
        _ => Ok(()),
    }
}

/// The settings that a failure to find the container is about.
fn suspects(settings: &config::Swift, error: &swift::Error) -> &'static str {
    let credential = matches!(
        settings.auth,
        config::SwiftAuth::V3 {
            credential: config::SwiftCredential::ApplicationId { .. }
                | config::SwiftCredential::ApplicationName { .. },
            ..
        }
    );
    match (error.kind(), error.container().is_some()) {
        (swift::ErrorKind::Unauthorized | swift::ErrorKind::Forbidden, false) if credential => {
            "storage.swift.applicationcredentialid, storage.swift.applicationcredentialsecret"
        }
        (swift::ErrorKind::Unauthorized | swift::ErrorKind::Forbidden, false) => {
            "storage.swift.username, storage.swift.password"
        }
        (swift::ErrorKind::Unauthorized | swift::ErrorKind::Forbidden, true) => {
            "storage.swift.username, storage.swift.container"
        }
        (swift::ErrorKind::NotFound, true) => "storage.swift.container",
        (_, false) => "storage.swift.authurl",
        (_, true) if settings.storage_url.is_some() => "storage.swift.storageurl",
        (_, true) => "storage.swift.authurl, storage.swift.container",
    }
}

fn client_options(settings: &config::Swift) -> swift::Options {
    let mut options = swift::Options::new(auth(&settings.auth));
    options.region.clone_from(&settings.region);
    options.interface = match settings.interface {
        config::SwiftInterface::Public => swift::Interface::Public,
        config::SwiftInterface::Internal => swift::Interface::Internal,
        config::SwiftInterface::Admin => swift::Interface::Admin,
    };
    options.storage_url.clone_from(&settings.storage_url);
    options.insecure_skip_verify = settings.insecure_skip_verify;
    options.user_agent = concat!("wharfinger/", env!("CARGO_PKG_VERSION")).to_owned();
    options.connections = settings.concurrency;
    options.timeouts.connect = settings.connect_timeout;
    options.timeouts.head = settings.response_timeout;
    options.retry.budget = settings.response_timeout;
    options
}

fn auth(auth: &config::SwiftAuth) -> swift::Auth {
    match auth {
        config::SwiftAuth::V1 { url, user, key } => {
            swift::Auth::V1 { url: url.clone(), user: user.clone(), key: secret(key) }
        }
        config::SwiftAuth::V2 { url, user, password, tenant, tenant_id } => {
            let id = tenant_id.clone().map(swift::Tenant::Id);
            swift::Auth::V2 {
                url: url.clone(),
                user: user.clone(),
                password: secret(password),
                tenant: id.or_else(|| tenant.clone().map(swift::Tenant::Name)),
            }
        }
        config::SwiftAuth::V3 { url, credential, scope } => {
            swift::Auth::V3 { url: url.clone(), method: method(credential), scope: scope_of(scope) }
        }
    }
}

fn secret(secret: &config::Secret) -> swift::Secret {
    swift::Secret::new(secret.expose())
}

fn domain(domain: &config::SwiftDomain) -> swift::Domain {
    match domain {
        config::SwiftDomain::Name(name) => swift::Domain::Name(name.clone()),
        config::SwiftDomain::Id(id) => swift::Domain::Id(id.clone()),
    }
}

fn method(credential: &config::SwiftCredential) -> swift::V3Method {
    let user = |name: &str, of: &config::SwiftDomain| swift::User::Name {
        name: name.to_owned(),
        domain: domain(of),
    };
    match credential {
        config::SwiftCredential::Password { user: name, domain, password } => {
            swift::V3Method::Password { user: user(name, domain), password: secret(password) }
        }
        config::SwiftCredential::ApplicationId { id, secret: key } => {
            swift::V3Method::ApplicationCredential {
                credential: swift::ApplicationCredential::Id(id.clone()),
                secret: secret(key),
            }
        }
        config::SwiftCredential::ApplicationName { name, user: owner, domain, secret: key } => {
            let (name, user) = (name.clone(), user(owner, domain));
            swift::V3Method::ApplicationCredential {
                credential: swift::ApplicationCredential::Name { name, user },
                secret: secret(key),
            }
        }
    }
}

fn scope_of(scope: &config::SwiftScope) -> swift::Scope {
    match scope {
        config::SwiftScope::Unscoped => swift::Scope::Unscoped,
        config::SwiftScope::ProjectId(id) => swift::Scope::Project(swift::Project::Id(id.clone())),
        config::SwiftScope::Project { name, domain: of } => {
            swift::Scope::Project(swift::Project::Name { name: name.clone(), domain: domain(of) })
        }
        config::SwiftScope::Trust(id) => swift::Scope::Trust(id.clone()),
    }
}

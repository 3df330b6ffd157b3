//! The configuration as the structs that each part takes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use http::{HeaderName, HeaderValue};
use wharfinger_access as access;
use wharfinger_config as config;
use wharfinger_config::{Config, Diagnostic};
use wharfinger_registry as registry;
use wharfinger_server as server;
use wharfinger_server::tls::{Tls, TlsOptions};
use wharfinger_shared as shared;

/// Where htpasswd users of a registry that is partly public fetch their token.
const LOGIN_PATH: &str = "/auth/token";

/// Reads a configuration; prints what it warns about. All mistakes are in the error.
pub(crate) fn load(file: Option<&Path>, ignore_unsupported: &[String]) -> Result<config::Loaded> {
    let loaded = config::load(file, std::env::vars(), ignore_unsupported);
    loaded.map_err(|errors| {
        let lines: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("the configuration cannot be used:\n  {}", lines.join("\n  "))
    })
}

/// A configuration, with everything that there is to say about it.
pub(crate) struct AsItIs {
    pub(crate) config: Config,
    pub(crate) remarks: Vec<Diagnostic>,
}

/// Reads a configuration also where keys of it are not supported: these are among the remarks.
pub(crate) fn load_as_it_is(file: Option<&Path>, ignore_unsupported: &[String]) -> Result<AsItIs> {
    let mut ignored = ignore_unsupported.to_vec();
    let refused = match config::load(file, std::env::vars(), &ignored) {
        Ok(loaded) => return Ok(AsItIs { config: loaded.config, remarks: loaded.warnings }),
        Err(errors) => errors.0,
    };
    ignored.extend(refused.iter().filter(|error| !error.key.is_empty()).map(|error| error.key.clone()));
    // What is wrong for another reason stays wrong.
    let loaded = load(file, &ignored)?;
    let mut remarks = refused;
    let told = |warning: &Diagnostic| remarks.iter().any(|error| error.key == warning.key);
    let others: Vec<Diagnostic> = loaded.warnings.into_iter().filter(|warning| !told(warning)).collect();
    remarks.extend(others);
    Ok(AsItIs { config: loaded.config, remarks })
}

/// Where the admin socket is when the data is not in a directory.
const ADMIN_SOCKET: &str = "/run/wharfinger/admin.sock";

/// Where the admin socket is.
pub(crate) fn admin_socket(config: &Config) -> PathBuf {
    let beside = || match config.storage.directory() {
        Some(root) => root.join("wharfinger/admin.sock"),
        None => PathBuf::from(ADMIN_SOCKET),
    };
    config.admin.socket.clone().unwrap_or_else(beside)
}

/// Where the data is, in a few words.
pub(crate) fn describe_store(config: &Config) -> String {
    describe_driver(&config.storage.driver)
}

/// As [`describe_store`].
pub(crate) fn describe_driver(driver: &config::Driver) -> String {
    match driver {
        config::Driver::Filesystem(filesystem) => filesystem.root.display().to_string(),
        config::Driver::Swift(swift) => format!("Swift container {}", swift.container),
    }
}

/// How the repositories behave.
pub(crate) fn registry_options(config: &Config) -> Result<registry::Options> {
    let delete_by_digest = match config.storage.delete.by_digest {
        config::DeleteByDigest::UntagAll => registry::DeleteByDigest::UntagAll,
        config::DeleteByDigest::RefuseIfTagged => registry::DeleteByDigest::RefuseIfTagged,
    };
    let index_children = match &config.validation.index_children {
        config::IndexChildren::All => registry::IndexChildren::All,
        config::IndexChildren::None => registry::IndexChildren::None,
        config::IndexChildren::List(platforms) => {
            let platform = |p: &config::Platform| registry::Platform {
                os: p.os.clone(),
                architecture: p.architecture.clone(),
            };
            registry::IndexChildren::Platforms(platforms.iter().map(platform).collect())
        }
    };
    let rules = |texts: &[String]| -> Result<Vec<regex::Regex>> {
        let compile = |text: &String| {
            regex::Regex::new(text)
                .with_context(|| format!("validation.manifests.urls: {text:?} is no regular expression"))
        };
        texts.iter().map(compile).collect()
    };
    let layer_urls = match &config.validation.manifest_urls {
        None => None,
        Some(urls) => Some(registry::UrlPolicy { allow: rules(&urls.allow)?, deny: rules(&urls.deny)? }),
    };
    let buffer_bytes = usize::try_from(config.http.limits.buffer_bytes).unwrap_or(usize::MAX);
    Ok(registry::Options {
        mode: match config.storage.mode {
            config::StorageMode::Observe => registry::Mode::Observe,
            config::StorageMode::Trial => registry::Mode::Trial,
            config::StorageMode::Adopted => registry::Mode::Adopted,
        },
        delete_by_digest,
        index_children,
        require_blobs: config.validation.blobs,
        layer_urls,
        buffer_bytes,
        stale_limit: config.cache.as_ref().map_or(Duration::ZERO, |cache| cache.stale_limit),
        ..registry::Options::default()
    })
}

/// The Redis that instances share.
pub(crate) fn shared_options(config: &Config) -> Result<Option<shared::Options>> {
    let Some(redis) = &config.redis else { return Ok(None) };
    let tls = redis.tls.as_ref().map(redis_tls).transpose()?;
    Ok(Some(shared::Options {
        addresses: redis.addresses.clone(),
        user: redis.user.clone(),
        password: redis.password.as_ref().map(|password| password.expose().to_owned()),
        database: redis.database.into(),
        tls,
        connect: redis.connect,
        answer: redis.answer,
    }))
}

fn redis_tls(tls: &config::RedisTls) -> Result<shared::Tls> {
    let read = |path: &PathBuf| std::fs::read(path).with_context(|| format!("redis.tls: {}", path.display()));
    let roots: Vec<Vec<u8>> = tls.roots.iter().map(read).collect::<Result<_>>()?;
    let client = match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
        (None, None) => None,
        _ => anyhow::bail!("redis.tls: certificate and key go together"),
    };
    Ok(shared::Tls { roots: Some(roots.concat()).filter(|roots| !roots.is_empty()), client })
}

/// The disk cache.
pub(crate) fn disk_options(config: &Config) -> Option<registry::DiskOptions> {
    let cache = config.cache.as_ref()?;
    Some(registry::DiskOptions { directory: cache.directory.clone(), size: cache.size })
}

/// Who may do what.
pub(crate) fn access(config: &Config) -> Result<access::Access> {
    let method = match &config.auth {
        config::Auth::None => access::Method::Anonymous,
        config::Auth::Htpasswd(htpasswd) => {
            access::Method::Htpasswd { realm: htpasswd.realm.clone(), path: htpasswd.path.clone() }
        }
        config::Auth::Token(token) => access::Method::Token(access::TokenConfig {
            realm: token.realm.clone(),
            service: token.service.clone(),
            issuer: token.issuer.clone(),
            rootcertbundle: token.root_cert_bundle.clone(),
            jwks: token.jwks.clone(),
            signing_algorithms: token.signing_algorithms.clone(),
            autoredirect: token.auto_redirect,
            autoredirect_path: Some(token.auto_redirect_path.clone()),
        }),
    };
    let rule = |rule: &config::Rule| access::Rule {
        repositories: rule.repositories.clone(),
        who: rule.who.iter().map(who).collect(),
        actions: rule.actions.clone(),
    };
    let policy = access::PolicyConfig {
        rules: config.access.policy.iter().map(rule).collect(),
        catalog: config.access.catalog.iter().map(who).collect(),
    };
    let trusted_proxy = config.access.trusted_proxy.as_ref().map(|proxy| {
        let user_header =
            HeaderName::try_from(proxy.user_header.as_str()).context("access.trusted_proxy.user_header")?;
        anyhow::Ok(access::TrustedProxyConfig { addresses: proxy.addresses.clone(), user_header })
    });
    let settings = access::AccessConfig { method, policy, trusted_proxy: trusted_proxy.transpose()? };
    let secret = config.http.secret.as_ref().map(|secret| secret.expose().as_bytes());
    Ok(access::Access::new(settings)?.with_login_endpoint(LOGIN_PATH, secret)?)
}

fn who(who: &config::Who) -> access::Who {
    match who {
        config::Who::Anonymous => access::Who::Anonymous,
        config::Who::Authenticated => access::Who::Authenticated,
        config::Who::User(name) => access::Who::User(name.clone()),
        config::Who::TokenSubject(subject) => access::Who::Token(subject.clone()),
    }
}

/// How the server behaves.
pub(crate) fn server_options(config: &Config) -> Result<server::Options> {
    let mut headers = Vec::new();
    for (name, values) in &config.http.headers {
        let name = HeaderName::try_from(name.as_str()).with_context(|| format!("http.headers: {name:?}"))?;
        for value in values {
            let value = HeaderValue::try_from(value.as_str())
                .with_context(|| format!("http.headers.{name}: {value:?}"))?;
            headers.push((name.clone(), value));
        }
    }
    let (limits, activity) = (&config.http.limits, &config.activity);
    Ok(server::Options {
        host: config.http.host.clone(),
        prefix: config.http.prefix.clone().unwrap_or_default(),
        relative_urls: config.http.relative_urls,
        headers,
        delete_enabled: config.storage.delete.enabled,
        read_only: config.storage.read_only,
        catalog_max: usize::try_from(config.catalog_max_entries).unwrap_or(usize::MAX),
        tags_max: usize::try_from(config.tags_max_entries).unwrap_or(usize::MAX),
        access_log: config.log.access_log,
        header_timeout: limits.header_timeout,
        body_progress_timeout: limits.body_progress_timeout,
        max_header_bytes: limits.max_header_bytes,
        max_connections: limits.max_connections,
        drain_timeout: config.http.drain_timeout,
        http2: config.http.http2,
        h2c: config.http.h2c,
        redirects: redirects(config)?,
        activity: activity.enabled.then(|| access::Proxies::new(activity.proxies.clone())),
        purge: purge(config)?,
    })
}

/// Redirects to the store itself, where they are asked for.
fn redirects(config: &Config) -> Result<Option<server::Redirects>> {
    let Some(redirect) = config.storage.redirects() else { return Ok(None) };
    let rule = |rule: &config::RedirectRule| access::RedirectRule {
        repositories: rule.repositories.clone(),
        networks: rule.networks.clone(),
    };
    let rules: Vec<_> = redirect.rules.iter().map(rule).collect();
    Ok(Some(server::Redirects {
        rules: access::RedirectRules::new(&rules, access::Proxies::new(redirect.proxies.clone()))?,
        min_size: redirect.min_size,
        lifetime: redirect.lifetime,
    }))
}

/// The caches in front.
fn purge(config: &Config) -> Result<server::purge::PurgeOptions> {
    use server::purge::{Kind, PurgeOptions, Target};
    let target = |endpoint: &config::PurgeEndpoint| {
        let kind = match endpoint.kind {
            config::FrontKind::Varnish => Kind::Varnish,
            config::FrontKind::TrafficServer => Kind::TrafficServer,
        };
        let url = &endpoint.url;
        // Clients leave out the port that they need not say.
        let named = url.address.strip_suffix(":80").unwrap_or(&url.address);
        let host = endpoint.host.as_deref().unwrap_or(named);
        let credentials = url.credentials.as_ref().map(config::Secret::expose);
        Target::new(kind, &url.address, host, &url.path, credentials).context("purge.endpoints")
    };
    let caches = config.purge.endpoints.iter().map(target).collect::<Result<_>>()?;
    Ok(PurgeOptions { timeout: config.purge.timeout, caches })
}

/// TLS, where it is configured.
pub(crate) fn tls(config: &Config) -> Result<Option<Arc<Tls>>> {
    let Some(tls) = &config.http.tls else { return Ok(None) };
    let client_optional = match tls.client_auth {
        config::ClientAuth::VerifyIfGiven => true,
        config::ClientAuth::RequireAndVerify => false,
        config::ClientAuth::Request | config::ClientAuth::RequireAny => anyhow::bail!(
            "http.tls.clientauth: certificates that nobody verifies prove nothing; use \
             verify-client-cert-if-given or require-and-verify-client-cert"
        ),
    };
    let options = TlsOptions {
        certificate: tls.certificate.clone(),
        key: tls.key.clone(),
        client_authorities: tls.client_cas.clone(),
        client_optional,
        only_tls13: tls.minimum == config::TlsVersion::Tls13,
        http2: config.http.http2,
    };
    Ok(Some(Arc::new(Tls::new(options)?)))
}

//! Keystone's second protocol, for clouds that have kept it.
//!
//! Source: <https://docs.openstack.org/api-ref/identity/v2/> as it was; the catalogue has one object per endpoint with a
//! URL for each interface.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::v3::{life, no_endpoint};
use super::{Authenticator, Grant, expect, parse, post, sensitive};
use crate::url::Base;
use crate::{Interface, Result, Secret, Tenant};

#[derive(Deserialize)]
struct Reply {
    access: Access,
}

#[derive(Deserialize)]
struct Access {
    token: TokenPart,
    #[serde(rename = "serviceCatalog", default)]
    catalogue: Vec<Service>,
}

#[derive(Deserialize)]
struct TokenPart {
    id: String,
    expires: Option<String>,
    issued_at: Option<String>,
}

#[derive(Deserialize)]
struct Service {
    #[serde(rename = "type")]
    kind: String,
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint {
    region: Option<String>,
    #[serde(rename = "publicURL")]
    public: Option<String>,
    #[serde(rename = "internalURL")]
    internal: Option<String>,
    #[serde(rename = "adminURL")]
    admin: Option<String>,
}

pub(super) async fn log_in(
    authenticator: &Authenticator,
    limit: Duration,
    url: &str,
    user: &str,
    password: &Secret,
    tenant: Option<&Tenant>,
) -> Result<Grant> {
    let mut auth = json!({ "passwordCredentials": { "username": user, "password": password.expose() } });
    match tenant {
        Some(Tenant::Id(id)) => auth["tenantId"] = json!(id),
        Some(Tenant::Name(name)) => auth["tenantName"] = json!(name),
        None => {}
    }
    let request = post(&Base::parse("auth URL", url)?, "/tokens", &json!({ "auth": auth }))?;
    let answer = authenticator.exchange(request, limit).await?;
    expect(&answer, &[StatusCode::OK, StatusCode::NON_AUTHORITATIVE_INFORMATION])?;
    let access = parse::<Reply>(&answer)?.access;
    let endpoint = access
        .catalogue
        .into_iter()
        .filter(|service| service.kind == "object-store")
        .flat_map(|service| service.endpoints)
        .find(|endpoint| authenticator.region.is_none() || endpoint.region == authenticator.region);
    let storage = endpoint.and_then(|endpoint| match authenticator.interface {
        Interface::Public => endpoint.public,
        Interface::Internal => endpoint.internal,
        Interface::Admin => endpoint.admin,
    });
    if storage.is_none() && authenticator.storage.is_none() {
        return Err(no_endpoint(&answer, authenticator.region.as_deref(), authenticator.interface));
    }
    let life = life(access.token.issued_at.as_deref(), access.token.expires.as_deref());
    Ok(Grant { token: sensitive("token", &access.token.id)?, storage, life })
}

pub(super) fn describe(user: &str, tenant: Option<&Tenant>) -> String {
    match tenant {
        Some(Tenant::Id(tenant) | Tenant::Name(tenant)) => format!("user {user}, tenant {tenant}"),
        None => format!("user {user}"),
    }
}

//! Keystone: password, application credential, trust; the catalogue's endpoint by region and interface.
//!
//! Source: <https://docs.openstack.org/api-ref/identity/v3/#authentication-and-token-management>.

use std::time::{Duration, SystemTime};

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Authenticator, Grant, expect, parse, post, sensitive};
use crate::call::Answer;
use crate::url::Base;
use crate::{
    ApplicationCredential, Domain, Error, ErrorKind, Interface, Project, Result, Scope, User, V3Method,
};

#[derive(Deserialize)]
struct Reply {
    token: TokenPart,
}

#[derive(Deserialize)]
struct TokenPart {
    issued_at: Option<String>,
    expires_at: Option<String>,
    #[serde(default)]
    catalog: Vec<Service>,
}

#[derive(Deserialize)]
struct Service {
    #[serde(rename = "type")]
    kind: String,
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    interface: String,
    region: Option<String>,
    region_id: Option<String>,
    url: String,
}

pub(super) async fn log_in(
    authenticator: &Authenticator,
    limit: Duration,
    url: &str,
    method: &V3Method,
    scope: &Scope,
) -> Result<Grant> {
    let request = post(&Base::parse("auth URL", url)?, "/auth/tokens", &body(method, scope))?;
    let answer = authenticator.exchange(request, limit).await?;
    expect(&answer, &[StatusCode::CREATED, StatusCode::OK])?;
    let token = answer
        .headers
        .get("x-subject-token")
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| answer.error(ErrorKind::Protocol, "the answer has no X-Subject-Token"))?;
    let reply = parse::<Reply>(&answer)?.token;
    let (region, interface) = (authenticator.region.as_deref(), authenticator.interface);
    let storage = endpoint(&reply.catalog, region, interface);
    if storage.is_none() && authenticator.storage.is_none() {
        return Err(no_endpoint(&answer, region, interface));
    }
    let life = life(reply.issued_at.as_deref(), reply.expires_at.as_deref());
    Ok(Grant { token: sensitive("token", token)?, storage, life })
}

/// The body of the request.
fn body(method: &V3Method, scope: &Scope) -> Value {
    let identity = match method {
        V3Method::Password { user, password } => {
            let mut user = user_json(user);
            user["password"] = json!(password.expose());
            json!({ "methods": ["password"], "password": { "user": user } })
        }
        V3Method::ApplicationCredential { credential, secret } => {
            let mut part = match credential {
                ApplicationCredential::Id(id) => json!({ "id": id }),
                ApplicationCredential::Name { name, user } => {
                    json!({ "name": name, "user": user_json(user) })
                }
            };
            part["secret"] = json!(secret.expose());
            json!({ "methods": ["application_credential"], "application_credential": part })
        }
    };
    let mut auth = json!({ "identity": identity });
    match scope {
        Scope::Unscoped => {}
        Scope::Trust(id) => auth["scope"] = json!({ "OS-TRUST:trust": { "id": id } }),
        Scope::Project(Project::Id(id)) => auth["scope"] = json!({ "project": { "id": id } }),
        Scope::Project(Project::Name { name, domain }) => {
            auth["scope"] = json!({ "project": { "name": name, "domain": domain_json(domain) } });
        }
    }
    json!({ "auth": auth })
}

fn user_json(user: &User) -> Value {
    match user {
        User::Id(id) => json!({ "id": id }),
        User::Name { name, domain } => json!({ "name": name, "domain": domain_json(domain) }),
    }
}

fn domain_json(domain: &Domain) -> Value {
    match domain {
        Domain::Id(id) => json!({ "id": id }),
        Domain::Name(name) => json!({ "name": name }),
    }
}

/// The first endpoint of the object store that fits.
fn endpoint(catalogue: &[Service], region: Option<&str>, interface: Interface) -> Option<String> {
    let fits = |endpoint: &&Endpoint| {
        endpoint.interface == name_of(interface)
            && region.is_none_or(|region| {
                endpoint.region.as_deref() == Some(region) || endpoint.region_id.as_deref() == Some(region)
            })
    };
    let services = catalogue.iter().filter(|service| service.kind == "object-store");
    services.flat_map(|service| &service.endpoints).find(fits).map(|endpoint| endpoint.url.clone())
}

fn name_of(interface: Interface) -> &'static str {
    match interface {
        Interface::Public => "public",
        Interface::Internal => "internal",
        Interface::Admin => "admin",
    }
}

pub(super) fn no_endpoint(answer: &Answer, region: Option<&str>, interface: Interface) -> Error {
    let region = region.map_or_else(|| "any region".to_owned(), |region| format!("region {region}"));
    let message = format!(
        "the catalogue has no {} endpoint of an object store in {region} (without a project there is none at all)",
        name_of(interface)
    );
    answer.error(ErrorKind::Invalid, message)
}

/// How long a token lives, by Keystone's clock where that says when it made the token.
pub(super) fn life(issued: Option<&str>, expires: Option<&str>) -> Option<Duration> {
    let at = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
    let expires = at(expires?)?;
    let issued = issued.and_then(at).unwrap_or_else(|| SystemTime::now().into());
    Some((expires - issued).try_into().unwrap_or(Duration::ZERO))
}

/// Who we are, without secrets.
pub(super) fn describe(method: &V3Method, scope: &Scope) -> String {
    let domain = |domain: &Domain| match domain {
        Domain::Id(text) | Domain::Name(text) => text.clone(),
    };
    let user = |user: &User| match user {
        User::Id(id) => format!("user id {id}"),
        User::Name { name, domain: of } => format!("user {name} of domain {}", domain(of)),
    };
    let who = match method {
        V3Method::Password { user: who, .. } => user(who),
        V3Method::ApplicationCredential { credential: ApplicationCredential::Id(id), .. } => {
            format!("application credential {id}")
        }
        V3Method::ApplicationCredential {
            credential: ApplicationCredential::Name { name, user: who },
            ..
        } => format!("application credential {name} of {}", user(who)),
    };
    match scope {
        Scope::Unscoped => who,
        Scope::Trust(id) => format!("{who}, trust {id}"),
        Scope::Project(Project::Id(id)) => format!("{who}, project id {id}"),
        Scope::Project(Project::Name { name, domain: of }) => {
            format!("{who}, project {name} of domain {}", domain(of))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> User {
        User::Name { name: "robot".into(), domain: Domain::Name("Default".into()) }
    }

    #[test]
    fn the_body_for_a_password_names_user_and_project_with_their_domains() {
        let method = V3Method::Password { user: user(), password: "p".into() };
        let scope = Scope::Project(Project::Name { name: "p1".into(), domain: Domain::Id("default".into()) });
        let expected = json!({ "auth": {
            "identity": { "methods": ["password"], "password": { "user": {
                "name": "robot", "domain": { "name": "Default" }, "password": "p" } } },
            "scope": { "project": { "name": "p1", "domain": { "id": "default" } } } } });
        assert_eq!(body(&method, &scope), expected);
        let said = describe(&method, &scope);
        assert_eq!(said, "user robot of domain Default, project p1 of domain default");
    }

    #[test]
    fn the_body_for_an_application_credential_has_no_scope() {
        let secret = || "s".into();
        let by_id = ApplicationCredential::Id("abc".into());
        let method = V3Method::ApplicationCredential { credential: by_id, secret: secret() };
        let expected = json!({ "auth": { "identity": { "methods": ["application_credential"],
            "application_credential": { "id": "abc", "secret": "s" } } } });
        assert_eq!(body(&method, &Scope::Unscoped), expected);
        let by_name = ApplicationCredential::Name { name: "key".into(), user: User::Id("u1".into()) };
        let method = V3Method::ApplicationCredential { credential: by_name, secret: secret() };
        let part = &body(&method, &Scope::Unscoped)["auth"]["identity"]["application_credential"];
        assert_eq!(part, &json!({ "name": "key", "user": { "id": "u1" }, "secret": "s" }));
    }

    #[test]
    fn the_body_for_a_trust_names_it_as_the_scope() {
        let method = V3Method::Password { user: User::Id("u1".into()), password: "p".into() };
        let scope = &body(&method, &Scope::Trust("t1".into()))["auth"]["scope"];
        assert_eq!(scope, &json!({ "OS-TRUST:trust": { "id": "t1" } }));
    }

    #[test]
    fn the_endpoint_is_chosen_by_region_and_interface() {
        let catalogue: Vec<Service> = serde_json::from_value(json!([
            { "type": "identity", "endpoints": [{ "interface": "public", "region": "a", "url": "http://k/" }] },
            { "type": "object-store", "endpoints": [
                { "interface": "internal", "region": "a", "url": "http://a-internal/" },
                { "interface": "public", "region": "a", "url": "http://a/" },
                { "interface": "public", "region": null, "region_id": "b", "url": "http://b/" }] }]))
        .expect("a catalogue");
        let choose = |region, interface| endpoint(&catalogue, region, interface);
        assert_eq!(choose(None, Interface::Public).as_deref(), Some("http://a/"));
        assert_eq!(choose(Some("b"), Interface::Public).as_deref(), Some("http://b/"));
        assert_eq!(choose(Some("a"), Interface::Internal).as_deref(), Some("http://a-internal/"));
        assert_eq!(choose(Some("b"), Interface::Internal), None);
        assert_eq!(choose(None, Interface::Admin), None);
    }

    #[test]
    fn a_token_lives_as_long_as_keystone_says_by_its_own_clock() {
        let life = life(Some("2020-01-01T00:00:00.000000Z"), Some("2020-01-01T01:00:00.000000Z"));
        assert_eq!(life, Some(Duration::from_secs(3600)));
    }
}

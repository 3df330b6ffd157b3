//! The one entry to everything here.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use wharfinger_oci::{Action, RepositoryName};

use crate::basic::Credentials;
use crate::htpasswd::Htpasswd;
use crate::keyed_hash::Key;
use crate::login::{Login, LoginToken};
use crate::policy::Policy;
use crate::token::TokenVerifier;
use crate::{
    AccessConfig, AccessError, DEFAULT_AUTOREDIRECT_PATH, Identity, Method, Refused, Resource,
    TrustedProxyConfig, challenge, proxy,
};

/// Who may do what. Shared by all requests; files are read again when they change, at most a second later.
pub struct Access {
    method: Authenticator,
    policy: Policy,
    trusted_proxy: Option<TrustedProxyConfig>,
}

enum Authenticator {
    Anonymous,
    Htpasswd { realm: String, users: Htpasswd, login: Option<Login> },
    Token { realm: String, autoredirect: Option<String>, service: String, verifier: TokenVerifier },
}

impl Access {
    /// Checks the configuration and reads the files it names (blocking). Errors name the setting, file and line.
    pub fn new(config: AccessConfig) -> Result<Access, AccessError> {
        let method = match config.method {
            Method::Anonymous => Authenticator::Anonymous,
            Method::Htpasswd { realm, path } => {
                Authenticator::Htpasswd { realm, users: Htpasswd::new(path)?, login: None }
            }
            Method::Token(token) => {
                let verifier = TokenVerifier::new(&token)?;
                let path = token.autoredirect_path.unwrap_or_else(|| DEFAULT_AUTOREDIRECT_PATH.to_owned());
                let autoredirect = token.autoredirect.then_some(path);
                Authenticator::Token { realm: token.realm, autoredirect, service: token.service, verifier }
            }
        };
        let policy = Policy::new(&config.policy)?;
        Ok(Access { method, policy, trusted_proxy: config.trusted_proxy })
    }

    /// Says that the server answers `GET path` with [`Access::login`], so that challenges may send clients there.
    ///
    /// It is used with [`Method::Htpasswd`] where the policy opens something to anonymous callers: see
    /// [`Access::authorize`]. `secret` must be the same on all instances behind one name; without it tokens are good
    /// on this instance until it stops.
    pub fn with_login_endpoint(mut self, path: &str, secret: Option<&[u8]>) -> Result<Access, AccessError> {
        let wanted = self.policy.opens_anything_to_anonymous();
        if let Authenticator::Htpasswd { login, .. } = &mut self.method
            && wanted
        {
            let key = match secret {
                Some(secret) => Key::derive(secret, "login token"),
                None => Key::random()?,
            };
            *login = Some(Login::new(path.to_owned(), key));
        }
        Ok(self)
    }

    /// The path that the server must answer with [`Access::login`]; `None`: no such endpoint.
    pub fn login_endpoint(&self) -> Option<&str> {
        match &self.method {
            Authenticator::Htpasswd { login: Some(login), .. } => Some(&login.path),
            _ => None,
        }
    }

    /// Who the request comes from, by `headers` and the address of the connection's other end.
    ///
    /// No credentials are [`Identity::Anonymous`]. Wrong ones are [`Refused::Unauthenticated`], also where an
    /// anonymous caller would be let through: a client that means to be somebody must not be served as nobody.
    /// [`Method::Anonymous`] ignores credentials. A trusted proxy's header counts before all else.
    pub async fn identify(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<Identity, Refused> {
        if let Some(config) = &self.trusted_proxy
            && let Some(identity) = proxy::identify(config, headers, peer)?
        {
            return Ok(identity);
        }
        match &self.method {
            Authenticator::Anonymous => Ok(Identity::Anonymous),
            Authenticator::Htpasswd { users, login, .. } => match Credentials::read(headers)? {
                Credentials::None => Ok(Identity::Anonymous),
                Credentials::Basic { user, password } => {
                    Ok(Identity::User(users.verify(&user, password).await?))
                }
                Credentials::Bearer(token) => identify_login(users, login.as_ref(), &token).await,
            },
            Authenticator::Token { verifier, .. } => match Credentials::read(headers)? {
                Credentials::None => Ok(Identity::Anonymous),
                Credentials::Bearer(token) => verifier.verify(&token).await,
                Credentials::Basic { .. } => {
                    Err(Refused::unauthenticated("this registry takes bearer tokens, not passwords"))
                }
            },
        }
    }

    /// Answers the login endpoint: a token for whoever the request comes from, anonymous callers included.
    ///
    /// On [`Refused::Unauthenticated`] answer 401 with [`Access::login_challenge`].
    pub async fn login(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<LoginToken, Refused> {
        let Authenticator::Htpasswd { users, login: Some(login), .. } = &self.method else {
            return Err(Refused::Denied { reason: "this registry gives no tokens".to_owned() });
        };
        match self.identify(headers, peer).await? {
            Identity::User(name) => {
                let line = users.line_of(&name).await.ok_or_else(|| {
                    Refused::unauthenticated(format!("user {name} is not in the htpasswd file"))
                })?;
                Ok(login.issue(&name, &line))
            }
            Identity::Anonymous | Identity::Token { .. } => Ok(login.issue("", "")),
        }
    }

    /// Whether `identity` may do `action` on `resource`. `None` is `/v2/` itself, which asks only who calls.
    ///
    /// [`Refused::Unauthenticated`] where other credentials may help, else [`Refused::Denied`]. A token that grants
    /// too little is `Unauthenticated` with `insufficient_scope`, at which clients fetch a wider one.
    ///
    /// # Why `/v2/` asks for credentials even where everybody may pull
    ///
    /// Clients learn from `GET /v2/` whether to send credentials. With htpasswd or tokens an anonymous call of it is
    /// always refused, as a 200 would keep docker, podman, skopeo and buildah from ever sending theirs. What clients
    /// without credentials do after the challenge:
    ///
    /// | client | after Basic | after Bearer |
    /// |---|---|---|
    /// | docker (classic image store) | gives up: "no basic auth credentials" | fetches an anonymous token |
    /// | podman, skopeo, buildah | send an empty user and password, which count as none | fetch an anonymous token |
    /// | containerd, docker (containerd image store), oras, regctl | ask again only where refused | same |
    /// | crane | goes on without | fetches an anonymous token |
    ///
    /// So only a Bearer challenge lets all of them pull what is public *and* push with a password. That is why
    /// htpasswd users log in by [`Access::with_login_endpoint`] where the policy opens something to anonymous
    /// callers. `Authorization: Basic` is accepted all the same.
    pub fn authorize(
        &self,
        identity: &Identity,
        resource: Resource<'_>,
        action: Option<Action>,
    ) -> Result<(), Refused> {
        let allowed = match (resource, action) {
            (Resource::Registry, None) => self.takes_everyone() || *identity != Identity::Anonymous,
            (Resource::Registry, Some(Action::Catalog)) => self.may_list(identity),
            (Resource::Repository(name), Some(action)) => self.may(identity, name, action),
            (Resource::Repository(_), None) | (Resource::Registry, Some(_)) => false,
        };
        if allowed { Ok(()) } else { Err(self.refusal(identity, resource, action)) }
    }

    /// Whether anonymous callers may pull from `repository`: only then may a shared cache keep its answers.
    pub fn is_public(&self, repository: &RepositoryName) -> bool {
        self.may(&Identity::Anonymous, repository, Action::Pull)
    }

    /// The value of `WWW-Authenticate` for a 401; `None` where nobody can log in.
    ///
    /// `host_base` is scheme and authority as the client knows them (`https://registry.example:5000`), `wanted` all
    /// that the request needs (a push `pull,push`, a mount also `pull` on the source), `error` as
    /// [`Refused::challenge_error`] has it.
    pub fn challenge(
        &self,
        host_base: &str,
        wanted: &[(Resource<'_>, Vec<Action>)],
        error: Option<&str>,
    ) -> Option<HeaderValue> {
        match &self.method {
            Authenticator::Anonymous => None,
            Authenticator::Htpasswd { realm, login: None, .. } => challenge::basic(realm),
            Authenticator::Htpasswd { realm, login: Some(login), .. } => {
                challenge::bearer(&format!("{host_base}{}", login.path), realm, wanted, error)
            }
            Authenticator::Token { autoredirect: Some(path), service, .. } => {
                challenge::bearer(&format!("{host_base}{path}"), service, wanted, error)
            }
            Authenticator::Token { realm, service, .. } => challenge::bearer(realm, service, wanted, error),
        }
    }

    /// The value of `WWW-Authenticate` for a 401 of the login endpoint.
    pub fn login_challenge(&self) -> Option<HeaderValue> {
        match &self.method {
            Authenticator::Htpasswd { realm, .. } => challenge::basic(realm),
            _ => None,
        }
    }

    fn may(&self, identity: &Identity, name: &RepositoryName, action: Action) -> bool {
        let allowed = self.policy.repository(identity, name, action);
        allowed.unwrap_or_else(|| self.may_by_default(identity))
            || grants(identity, Resource::Repository(name), action)
    }

    fn may_list(&self, identity: &Identity) -> bool {
        let allowed = self.policy.catalog(identity);
        allowed.unwrap_or_else(|| self.may_by_default(identity))
            || grants(identity, Resource::Registry, Action::Catalog)
    }

    /// What holds where the policy table says nothing.
    fn may_by_default(&self, identity: &Identity) -> bool {
        match self.method {
            Authenticator::Anonymous => true,
            Authenticator::Htpasswd { .. } => matches!(identity, Identity::User(_)),
            Authenticator::Token { .. } => false,
        }
    }

    fn takes_everyone(&self) -> bool {
        matches!(self.method, Authenticator::Anonymous)
    }

    #[cold]
    fn refusal(&self, identity: &Identity, resource: Resource<'_>, action: Option<Action>) -> Refused {
        let what = match action {
            Some(Action::Catalog) => "list the repositories of",
            Some(Action::Pull) => "pull from",
            Some(Action::Push) => "push to",
            Some(Action::Delete) => "delete from",
            None => "use",
        };
        match identity {
            Identity::Anonymous if !self.takes_everyone() => {
                Refused::unauthenticated(format!("log in to {what} {resource}"))
            }
            Identity::Token { .. } => Refused::Unauthenticated {
                reason: format!("{identity} does not grant to {what} {resource}"),
                error: Some("insufficient_scope"),
            },
            _ => Refused::Denied { reason: format!("{identity} may not {what} {resource}") },
        }
    }
}

/// Whether a token's own `access` claim allows it.
fn grants(identity: &Identity, resource: Resource<'_>, action: Action) -> bool {
    match identity {
        Identity::Token { grants, .. } => grants.iter().any(|grant| grant.allows(resource, action)),
        _ => false,
    }
}

/// Who one of our own tokens stands for.
async fn identify_login(users: &Htpasswd, login: Option<&Login>, token: &str) -> Result<Identity, Refused> {
    let foreign = || Refused::invalid_token("this registry takes passwords, not tokens of other issuers");
    let (Some(login), Some(parsed)) = (login, Login::parse(token)) else { return Err(foreign()) };
    if parsed.user.is_empty() {
        login.check(&parsed, "").map_err(Refused::invalid_token)?;
        return Ok(Identity::Anonymous);
    }
    let line = users.line_of(&parsed.user).await.unwrap_or_default();
    login.check(&parsed, &line).map_err(Refused::invalid_token)?;
    Ok(Identity::User(Arc::from(parsed.user)))
}

#[cfg(test)]
mod tests;

//! From a path to what it names, from there to its handler, with faults before and after.

use crate::exchange::{self, Exchange, Stop};
use crate::faults::{Fault, Kind};
use crate::http::{Head, Reply, unquote};
use crate::options::Pipeline;
use crate::{auth, bulk, container, copy, object, options, read, slo_put, temp_url};

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Auth,
    Info,
    Health,
    Account { account: String },
    Container { account: String, container: String },
    Object { account: String, container: String, object: String },
    Nothing,
}

impl Target {
    /// What that percent-encoded path names; `None` when it is not UTF-8.
    pub(crate) fn parse(raw: &str) -> Option<Target> {
        let path = unquote(raw)?;
        Some(match path.as_str() {
            "/info" => Target::Info,
            "/healthcheck" => Target::Health,
            "/auth/v1.0" | "/auth/v1.0/" | "/v1.0" => Target::Auth,
            _ => match path.strip_prefix("/v1/") {
                Some(rest) => Target::inside(rest),
                None => Target::Nothing,
            },
        })
    }

    fn inside(rest: &str) -> Target {
        let mut parts = rest.splitn(3, '/').map(str::to_owned);
        let account = parts.next().filter(|part| !part.is_empty());
        let container = parts.next().filter(|part| !part.is_empty());
        let object = parts.next().filter(|part| !part.is_empty());
        match (account, container, object) {
            (Some(account), Some(container), Some(object)) => Target::Object { account, container, object },
            (Some(account), Some(container), None) => Target::Container { account, container },
            (Some(account), None, None) => Target::Account { account },
            _ => Target::Nothing,
        }
    }

    /// The account that a path is in.
    pub(crate) fn account(&self) -> Option<&str> {
        match self {
            Target::Account { account }
            | Target::Container { account, .. }
            | Target::Object { account, .. } => Some(account),
            _ => None,
        }
    }
}

/// What kind of request this is.
pub(crate) fn kind(head: &Head, target: &Target, pipeline: Pipeline) -> Kind {
    let full = pipeline == Pipeline::Full;
    let manifest = head.parameter("multipart-manifest").filter(|_| full);
    match (target, head.method.as_str()) {
        (Target::Auth, _) => Kind::Auth,
        (Target::Info, _) => Kind::Info,
        (Target::Account { .. }, "POST" | "DELETE") if full && head.parameter("bulk-delete").is_some() => {
            Kind::BulkDelete
        }
        (Target::Account { .. }, _) => Kind::Account,
        (Target::Container { .. }, "GET") => Kind::Listing,
        (Target::Container { .. }, "HEAD") => Kind::ContainerHead,
        (Target::Container { .. }, _) => Kind::ContainerWrite,
        (Target::Object { .. }, "PUT") if head.header("x-copy-from").is_some() => Kind::Copy,
        (Target::Object { .. }, "PUT") if manifest == Some("put") => Kind::SloPut,
        (Target::Object { .. }, "PUT") => Kind::Put,
        (Target::Object { .. }, "COPY") => Kind::Copy,
        (Target::Object { .. }, "GET") => Kind::Get,
        (Target::Object { .. }, "HEAD") => Kind::Head,
        (Target::Object { .. }, "POST") => Kind::Post,
        (Target::Object { .. }, "DELETE") if manifest == Some("delete") => Kind::SloDelete,
        (Target::Object { .. }, "DELETE") => Kind::Delete,
        _ => Kind::Other,
    }
}

/// Answers a request.
pub(crate) async fn answer(exchange: &mut Exchange, target: &Target) -> Result<Reply, Stop> {
    exchange::before(exchange)?;
    let reply = match auth::authorize(exchange, target) {
        Ok(()) => dispatch(exchange, target).await?,
        Err(refused) => refused,
    };
    let reply = temp_url::finish(exchange, target, reply);
    if exchange.plan.has(Fault::AnswerLost) {
        return Err(Stop::Reset);
    }
    if exchange.plan.has(Fault::AnswerHung) {
        return Err(Stop::Hang);
    }
    Ok(exchange::after(&exchange.plan, reply))
}

async fn dispatch(exchange: &mut Exchange, target: &Target) -> Result<Reply, Stop> {
    match (target, exchange.kind) {
        (Target::Auth, _) => Ok(auth::log_in(exchange)),
        (Target::Info, _) => Ok(options::info(&exchange.cluster.options)),
        (Target::Health, _) => Ok(Reply::bare(200).header("Content-Type", "text/plain").text("OK")),
        (Target::Account { .. }, Kind::BulkDelete) => bulk::delete(exchange).await,
        (Target::Account { .. }, _) => Ok(container::answer_account(exchange)),
        (Target::Container { container, .. }, _) => Ok(container::answer(exchange, container)),
        (Target::Object { container, object, .. }, kind) => {
            on_object(exchange, kind, container, object).await
        }
        (Target::Nothing, _) => Ok(Reply::html(412, "Bad URL")),
    }
}

async fn on_object(
    exchange: &mut Exchange,
    kind: Kind,
    container: &str,
    object: &str,
) -> Result<Reply, Stop> {
    match kind {
        Kind::Put => object::put(exchange, container, object).await,
        Kind::SloPut => slo_put::put(exchange, container, object).await,
        Kind::Copy => copy::copy(exchange, container, object).await,
        Kind::Get | Kind::Head => Ok(read::read(exchange, container, object)),
        Kind::Post => object::post(exchange, container, object).await,
        Kind::Delete => object::delete(exchange, container, object).await,
        Kind::SloDelete => bulk::delete_slo(exchange, container, object).await,
        _ => {
            let status = if exchange.head.method == http::Method::OPTIONS { 200 } else { 405 };
            Ok(Reply::status(status).header("Allow", "HEAD, POST, GET, PUT, OPTIONS, DELETE, COPY"))
        }
    }
}

//! What the running server withholds and keeps, by its admin socket.

use std::path::{Path, PathBuf};

use anyhow::Result;
use async_trait::async_trait;
use http::Method;
use serde_json::{Value, json};
use wharfinger_maintenance::doctor::{Claim, Object, Station, Testimony, Witness};

use crate::admin_client;

/// One side of the server.
pub(super) struct View {
    socket: PathBuf,
    station: Station,
    /// What names the configuration in commands.
    config: String,
}

/// What there is to ask of the server at a socket, from the client inwards.
pub(super) async fn views(socket: &Path, config: &str) -> Result<Vec<View>> {
    let status = admin_client::ask(socket, Method::GET, "/v1/status", None).await?;
    let view = |station| View { socket: socket.to_owned(), station, config: config.to_owned() };
    let mut views = vec![view(Station::Server)];
    if !status["cache"].is_null() {
        views.push(view(Station::DiskCache));
    }
    if !status["redis"].is_null() {
        views.push(view(Station::SharedRedis));
    }
    Ok(views)
}

impl View {
    fn testimony(&self, answer: &Value, object: &Object) -> Testimony {
        let copy = match self.station {
            Station::DiskCache => &answer["disk"],
            Station::SharedRedis => &answer["redis"],
            _ if answer["withheld"] == true => {
                return Testimony::Broken(
                    "withholds it, since its copy in the store failed a check".to_owned(),
                );
            }
            _ => return Testimony::Nothing,
        };
        match copy["good"].as_bool() {
            None => Testimony::Nothing,
            Some(true) => Testimony::Has(Claim {
                size: copy["bytes"].as_u64(),
                hashed: object.digest(),
                ..Claim::default()
            }),
            Some(false) => {
                let bytes = copy["bytes"].as_u64().unwrap_or(0);
                Testimony::Broken(format!("has {bytes} bytes that have another digest"))
            }
        }
    }
}

#[async_trait]
impl Witness for View {
    fn name(&self) -> String {
        match self.station {
            Station::DiskCache => "the server's disk cache".to_owned(),
            Station::SharedRedis => "the servers' Redis".to_owned(),
            _ => "the server".to_owned(),
        }
    }

    fn station(&self) -> Station {
        self.station
    }

    fn mend(&self, object: &Object) -> String {
        let Some(digest) = object.digest() else { return String::new() };
        match self.station {
            Station::Server => format!("wharfinger heal --digest {digest}{}", self.config),
            _ => format!("wharfinger cache flush --digest {digest}{}", self.config),
        }
    }

    async fn ask(&self, object: &Object, _deep: bool) -> Testimony {
        let Some(digest) = object.digest() else { return Testimony::Nothing };
        let body = json!({
            "repository": object.repository.as_str(),
            "digest": digest.to_string(),
            "disk": self.station == Station::DiskCache,
        });
        match admin_client::ask(&self.socket, Method::POST, "/v1/look", Some(body)).await {
            Ok(answer) => self.testimony(&answer, object),
            Err(error) => Testimony::Silent(format!("{error:#}")),
        }
    }
}

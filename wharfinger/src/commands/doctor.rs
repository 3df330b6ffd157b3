//! `wharfinger doctor`.

mod client;
mod front;
mod server;
mod text;
mod token;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use wharfinger_config::Config;
use wharfinger_maintenance::doctor::{self, DistributionRedis, Image, Options, Site, Witness, examine};
use wharfinger_registry::Mode;

use crate::cli::{Doctor, Output};
use crate::progress::Progress;
use crate::storage::Backend;
use crate::wiring;

/// Objects that are looked at side by side.
const PARALLEL: usize = 8;

/// 0 every layer says the same, 1 something is wrong, 2 it could not be told.
pub(crate) fn run(arguments: &Doctor) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(look(arguments))
}

async fn look(arguments: &Doctor) -> Result<ExitCode> {
    let config = wiring::load_as_it_is(arguments.socket.config.as_deref(), &[])?.config;
    let backend = Backend::open_to_read(&config)?;
    let store = backend.read_only();
    let mut images = arguments.images.clone();
    for repository in &arguments.all_tags {
        let found: Vec<Image> =
            doctor::images_of(&*store, repository).await.context("the store cannot be looked at")?;
        if found.is_empty() {
            bail!("no tag is listed in repository {repository}");
        }
        images.extend(found);
    }
    let mut asked = Asked { witnesses: Vec::new(), not_asked: Vec::new() };
    asked.add_fronts(&arguments.via).await?;
    asked.add_server(arguments, &config).await;
    asked.add_redis(&config)?;
    asked.add_sites(&arguments.with, &config)?;
    let registry_options = wiring::registry_options(&config)?;
    let options = Options {
        platform: arguments.platform.clone(),
        deep: match (arguments.deep, arguments.no_deep) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        },
        parallel: PARALLEL,
        index_children: registry_options.index_children,
        observe: registry_options.mode == Mode::Observe,
        store: wiring::describe_store(&config),
        config: named(arguments),
        not_asked: asked.not_asked,
    };
    let progress = Progress::new();
    let report = examine(&*store, &asked.witnesses, &images, &options, &progress).await;
    progress.clear();
    match arguments.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
        Output::Text => print!("{}", text::page(&report)),
    }
    Ok(ExitCode::from(report.exit_code()))
}

/// What names the configuration in commands.
fn named(arguments: &Doctor) -> String {
    match &arguments.socket.config {
        Some(file) => format!(" --config {}", file.display()),
        None => String::new(),
    }
}

/// Who is asked, from the client inwards.
struct Asked {
    witnesses: Vec<Box<dyn Witness>>,
    not_asked: Vec<String>,
}

impl Asked {
    async fn add_fronts(&mut self, urls: &[String]) -> Result<()> {
        let client = client::Client::new()?;
        for url in urls {
            let front = front::Front::open(url, client.clone()).await.context("--via")?;
            self.witnesses.push(Box::new(front));
        }
        Ok(())
    }

    async fn add_server(&mut self, arguments: &Doctor, config: &Config) {
        let socket = arguments.socket.socket.clone().unwrap_or_else(|| wiring::admin_socket(config));
        match server::views(&socket, &named(arguments)).await {
            Ok(views) => {
                self.witnesses.extend(views.into_iter().map(|view| Box::new(view) as Box<dyn Witness>));
            }
            Err(error) => self.not_asked.push(format!("the server: {error:#}")),
        }
    }

    fn add_redis(&mut self, config: &Config) -> Result<()> {
        if let Some(options) = wiring::shared_options(config)? {
            self.witnesses.push(Box::new(DistributionRedis::new(options)));
        }
        Ok(())
    }

    fn add_sites(&mut self, wanted: &[String], config: &Config) -> Result<()> {
        for name in wanted {
            let backend = Backend::open_peer(config, name).context("--with")?;
            self.witnesses.push(Box::new(Site::new(name, backend.read_only())));
        }
        for peer in config.replication.peers.iter().filter(|_| wanted.is_empty()) {
            match Backend::open_peer(config, &peer.name) {
                Ok(backend) => self.witnesses.push(Box::new(Site::new(&peer.name, backend.read_only()))),
                Err(error) => self.not_asked.push(format!("site {}: {error:#}", peer.name)),
            }
        }
        Ok(())
    }
}

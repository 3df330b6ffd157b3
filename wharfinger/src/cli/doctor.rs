//! `wharfinger doctor`.

use clap::Args;
use wharfinger_maintenance::doctor::{Image, Platform};
use wharfinger_oci::RepositoryName;

use super::{Output, Socket};

/// What to look at, and whom to ask.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wharfinger doctor shop/cart:v1 --config /etc/wharfinger/config.yml
      Ask the running server's caches, Redis, the store and the configured sites
  wharfinger doctor shop/cart:v1 --via http://edge:6081 --via https://user:password@registry.example.org
      And each of these, the outermost first: what they answer to a pull
  wharfinger doctor shop/cart@sha256:4ec95b9e13213893df41ee220c9ef413930f59d9af66654cc8924c44e751a966 --deep
      Read all bytes and compute their digests, however many there are
  wharfinger doctor --all-tags shop/cart --no-deep --output json

Exit codes: 0 every layer says the same, 1 something is wrong, 2 it could not be told.")]
pub(crate) struct Doctor {
    /// NAME:TAG or NAME@DIGEST, also with the registry's host before it.
    #[arg(value_name = "IMAGE", required_unless_present = "all_tags")]
    pub(crate) images: Vec<Image>,
    /// Every tag of this repository; may be repeated.
    #[arg(long, value_name = "REPO")]
    pub(crate) all_tags: Vec<RepositoryName>,
    /// Of an index only this platform, e.g. linux/amd64.
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<Platform>,
    /// Read the bytes of config and layers too, wherever they can be had; without this where that is less than 1 GiB.
    #[arg(long, conflicts_with = "no_deep")]
    pub(crate) deep: bool,
    /// Read no bytes of config and layers.
    #[arg(long)]
    pub(crate) no_deep: bool,
    /// Ask this front too: nginx, Varnish, Traffic Server or a server itself, by its base URL; NAME=URL gives it a
    /// name. May be repeated, the outermost first.
    #[arg(long, value_name = "URL")]
    pub(crate) via: Vec<String>,
    /// Ask this site: a name of replication.peers, or the configuration file of that site. May be repeated; by default all
    /// of replication.peers.
    #[arg(long, value_name = "SITE")]
    pub(crate) with: Vec<String>,
    #[command(flatten)]
    pub(crate) socket: Socket,
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

//! Varnish.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{replaced, shipped};
use crate::tools::system_tool;

pub(super) fn command(work: &Path, port: u16, registry: u16, is_shipped: bool) -> Command {
    let vcl = if is_shipped {
        replaced(&shipped("varnish.vcl"), "\"5000\"", &format!("\"{registry}\""))
    } else {
        format!("vcl 4.1;\nbackend default {{ .host = \"127.0.0.1\"; .port = \"{registry}\"; }}\n")
    };
    let file = work.join("test.vcl");
    fs::write(&file, vcl).expect("a file of Varnish");
    let mut command = system_tool("varnishd").command();
    command.args(["-F", "-T", "none", "-s", "malloc,100m", "-a", &format!("127.0.0.1:{port}")]);
    command.arg("-n").arg(work.join("instance")).arg("-f").arg(file);
    command
}

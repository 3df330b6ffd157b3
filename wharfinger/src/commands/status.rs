//! `wharfinger status`.

mod fleet;
mod screen;

use std::io::{IsTerminal, Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use http::Method;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use wharfinger_maintenance::instances::{self, Fleet};

use crate::admin_client::{self, NoServer};
use crate::cli::{Output, Status};
use crate::storage::Backend;
use crate::wiring;

/// How long the store may take to answer for what is only told beside the rest.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one look found: what to print, and the exit code.
struct Look {
    code: u8,
    page: String,
}

/// 0 all is well, 1 something is not, 2 no server answered.
pub(crate) fn run(arguments: &Status) -> Result<ExitCode> {
    match arguments.watch {
        None => {
            let Look { code, page } = look(arguments)?;
            print!("{page}");
            Ok(ExitCode::from(code))
        }
        Some(every) => watch(arguments, every),
    }
}

/// Looks again and again until Ctrl-C; then the exit code is that of the last look.
fn watch(arguments: &Status, every: Duration) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let mut first = true;
    loop {
        // A look that fails is what there is to see; the next one may not.
        let Look { code, page } =
            look(arguments).unwrap_or_else(|error| Look { code: 2, page: format!("{error:#}\n") });
        let mut out = stdout().lock();
        let between = match (stdout().is_terminal(), first) {
            (true, _) => "\x1b[H\x1b[2J",
            (false, false) if arguments.output() == Output::Text => "\n",
            _ => "",
        };
        if write!(out, "{between}{page}").and_then(|()| out.flush()).is_err() {
            // Whoever read it has gone.
            return Ok(ExitCode::from(code));
        }
        drop(out);
        first = false;
        let stopped = runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => true,
                _ = terminate.recv() => true,
                () = tokio::time::sleep(every) => false,
            }
        });
        if stopped {
            return Ok(ExitCode::from(code));
        }
    }
}

fn look(arguments: &Status) -> Result<Look> {
    let answered = if arguments.all_instances {
        admin_client::request(&arguments.socket, Method::GET, "/v1/overview", None)
            .and_then(|overview| all_instances(arguments, &overview))
    } else {
        one_instance(arguments)
    };
    match answered {
        Err(error) if error.is::<NoServer>() && arguments.socket.socket.is_none() => {
            from_the_store(arguments, error)
        }
        answered => answered,
    }
}

fn one_instance(arguments: &Status) -> Result<Look> {
    let mut status = admin_client::request(&arguments.socket, Method::GET, "/v1/status", None)?;
    // What the others do is told beside the rest; an older server does not know.
    let overview =
        admin_client::request(&arguments.socket, Method::GET, "/v1/overview", None).unwrap_or_default();
    let fleet: Option<Fleet> = serde_json::from_value(overview["fleet"].clone()).ok();
    status["instances"] = fleet
        .as_ref()
        .map_or(Value::Null, |fleet| json!({ "count": fleet.instances.len(), "troubled": fleet.troubled() }));
    for name in ["damaged_marks", "servable"] {
        status[name] = overview[name].clone();
    }
    let code = u8::from(!is_well(&status));
    let page = match arguments.output() {
        Output::Json => format!("{status}\n"),
        Output::Text => screen::page(&status),
    };
    Ok(Look { code, page })
}

/// Ready, its store well as far as it is known, nothing damaged, no other trouble.
fn is_well(status: &Value) -> bool {
    let store = &status["store"];
    let store = store["healthy"] == true || store["probe"]["status"] == "unknown";
    let quiet = status["troubles"].as_array().is_none_or(Vec::is_empty);
    status["ready"] == true && store && status["damaged_blobs"].as_u64().unwrap_or(0) == 0 && quiet
}

fn all_instances(arguments: &Status, overview: &Value) -> Result<Look> {
    let unknown = || anyhow!("{}", overview["error"].as_str().unwrap_or("the store does not tell"));
    let fleet: Option<Fleet> = serde_json::from_value(overview["fleet"].clone())?;
    tell(arguments, &fleet.ok_or_else(unknown).context("the records of the instances cannot be read")?)
}

/// 1 if one is silent or not well, 2 if there is none: then nothing is known.
fn tell(arguments: &Status, fleet: &Fleet) -> Result<Look> {
    let code = match fleet.instances.len() {
        0 => 2,
        _ => u8::from(!fleet.is_well()),
    };
    let page = match arguments.output() {
        Output::Json => format!("{}\n", fleet::json(fleet)?),
        Output::Text => fleet::table(fleet),
    };
    Ok(Look { code, page })
}

/// No server answers here: what the store itself tells.
fn from_the_store(arguments: &Status, no_server: anyhow::Error) -> Result<Look> {
    let config = wiring::load(arguments.socket.config.as_deref(), &[])?.config;
    let Ok(backend) = Backend::open_to_read(&config) else { return Err(no_server) };
    let store = backend.read_only();
    let place = wiring::describe_store(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let looked = runtime.block_on(async {
        let looking = async { tokio::try_join!(Fleet::look(&*store), instances::damaged_marks(&*store)) };
        match tokio::time::timeout(PATIENCE, looking).await {
            Ok(looked) => looked.map_err(anyhow::Error::from),
            Err(_) => Err(anyhow!("it did not answer within {} s", PATIENCE.as_secs())),
        }
    });
    if arguments.all_instances {
        let (fleet, _) = looked.with_context(|| format!("{place}: the instances cannot be read"))?;
        return tell(arguments, &fleet);
    }
    let (fleet, marks) = looked.as_ref().map_or((None, None), |(fleet, marks)| (Some(fleet), Some(*marks)));
    let error = looked.as_ref().err().map(|error| format!("{error:#}"));
    let page = match arguments.output() {
        Output::Json => {
            let instances =
                fleet.map(|fleet| json!({ "count": fleet.instances.len(), "troubled": fleet.troubled() }));
            let store = json!({ "place": place, "reachable": error.is_none(), "error": error });
            let no_server = format!("{no_server:#}");
            let told = json!({
                "error": no_server, "store": store, "damaged_marks": marks, "instances": instances,
            });
            format!("{told}\n")
        }
        Output::Text => screen::store_alone(&no_server, &place, error.as_deref(), marks, fleet),
    };
    Ok(Look { code: 2, page })
}

//! `wharfinger serve`: everything put together, started, and stopped in order.

use std::net::ToSocketAddrs;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use wharfinger_config::{Config, Listen};
use wharfinger_server::listen::{self, Listener};
use wharfinger_server::metrics::Metrics;
use wharfinger_server::{App, admin, debug, instance};

use crate::background;
use crate::cli;
use crate::logging::{self, Logging};
use crate::storage::Backend;
use crate::wiring;

/// Threads for what may block: disks are not faster with more, and each keeps a buffer.
const BLOCKING_THREADS: usize = 64;
/// How long a server that stops writes down who pushed and pulled.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;

pub(crate) fn run(arguments: &cli::Serve) -> Result<ExitCode> {
    let loaded = wiring::load(arguments.source.file.as_deref(), &arguments.source.ignore_unsupported)?;
    let log = Arc::new(logging::start(&loaded.config.log));
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .context("the runtime cannot start")?;
    runtime.block_on(serve(loaded.config, log, arguments.source.file.is_none()))
}

async fn serve(config: Config, log: Arc<Logging>, unconfigured: bool) -> Result<ExitCode> {
    // Before anything is served, so that no early signal finds nobody listening for it.
    let signals = Signals::install()?;
    let backend = Backend::open(&config)?;
    let metrics = Arc::new(Metrics::new(backend.name()));
    let registry = backend.registry(&config, metrics.clone()).await?;
    let access = wiring::access(&config)?;
    let app = Arc::new(App::new(registry, access, wiring::server_options(&config)?, metrics));
    let tls = wiring::tls(&config)?;
    if let Some(tls) = &tls {
        app.health.watch_certificate(tls.clone());
    }
    let main = main_listener(&config.http.listen).await?;
    let address = describe(&main, tls.is_some());
    app.myself.listens_at(&address);
    let (stop, stopping) = watch::channel(false);

    if let Some(debugging) = &config.http.debug {
        let listener = bind(&debugging.listen).await.context("http.debug.addr")?;
        tokio::spawn(debug::serve(
            app.clone(),
            listener,
            debugging.prometheus_path.clone(),
            stopping.clone(),
        ));
    }
    let socket = wiring::admin_socket(&config);
    match Listener::unix(&socket) {
        Ok(listener) => {
            drop(tokio::spawn(admin::serve(app.clone(), listener, log.clone(), stopping.clone())));
        }
        Err(error) => tracing::warn!(socket = %socket.display(), %error, "no admin socket (admin.socket)"),
    }
    tokio::spawn(app.registry.clone().follow_announcements());
    let background = background::start(&app, &config, &backend, log);
    if let Some(tls) = &tls {
        tokio::spawn(tls.clone().follow());
    }
    announce(&config, &address, unconfigured);
    let serving = tokio::spawn(listen::serve(app.clone(), main, tls, stopping));
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);

    let signal = signals.wait().await;
    tracing::info!(signal, "stopping: letting requests end");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    app.health.drain();
    let _ = stop.send(true);
    serving.await.context("the server broke down")?;
    app.purger.finish().await;
    for task in background {
        task.abort();
        // Aborted or done, both are fine.
        let _ = task.await;
    }
    // What is not written by then is missing from the record.
    let _ = tokio::time::timeout(LAST_WORDS, app.registry.keep_activity(true)).await;
    instance::leave(&app).await;
    keep_broken_uploads(&app).await;
    if let Some(cache) = app.registry.disk_cache() {
        cache.keep_pulls().await;
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// The signals that stop the server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn install() -> Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn wait(mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Uploads that were cut by the drain write down how far they came.
async fn keep_broken_uploads(app: &App) {
    for _ in 0..500 {
        if app.registry.uploads_in_flight() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The socket that systemd hands over, else one of our own.
async fn main_listener(listen: &Listen) -> Result<Listener> {
    let mut inherited = listenfd::ListenFd::from_env();
    if let Ok(Some(listener)) = inherited.take_tcp_listener(0) {
        listener.set_nonblocking(true)?;
        return Ok(Listener::Tcp(TcpListener::from_std(listener)?));
    }
    bind(listen).await.context("http.addr")
}

async fn bind(listen: &Listen) -> Result<Listener> {
    match listen {
        Listen::Unix(path) => Ok(Listener::unix(path).with_context(|| path.display().to_string())?),
        Listen::Tcp { host: Some(host), port } => {
            let target = (host.clone(), *port);
            let found = tokio::task::spawn_blocking(move || target.to_socket_addrs()).await?;
            let mut found = found.with_context(|| format!("{host} is no address of this machine"))?;
            let address = found.next().with_context(|| format!("{host} has no address"))?;
            bind_tcp(address, false)
        }
        Listen::Tcp { host: None, port } => {
            // All interfaces, IPv4 through the IPv6 socket; without IPv6 in the kernel, IPv4 alone.
            let any = std::net::SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, *port));
            let any4 = std::net::SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, *port));
            match bind_tcp(any, true) {
                Ok(listener) => Ok(listener),
                Err(_) => bind_tcp(any4, false),
            }
        }
    }
}

fn bind_tcp(address: std::net::SocketAddr, dual: bool) -> Result<Listener> {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if dual {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into()).with_context(|| format!("cannot listen on {address}"))?;
    socket.listen(BACKLOG)?;
    Ok(Listener::Tcp(TcpListener::from_std(socket.into())?))
}

fn describe(listener: &Listener, tls: bool) -> String {
    match listener {
        Listener::Unix(_, path) => path.display().to_string(),
        Listener::Tcp(listener) => {
            let address =
                listener.local_addr().map_or_else(|_| "?".to_owned(), |address| address.to_string());
            format!("{}://{address}", if tls { "https" } else { "http" })
        }
    }
}

/// One line for the log; without a configuration also what to do next.
fn announce(config: &Config, address: &str, unconfigured: bool) {
    let data = wiring::describe_store(config);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), address, data, "listening");
    if unconfigured {
        let host = address.split("://").last().unwrap_or(address);
        eprintln!("\n  Push to it:  docker tag IMAGE {host}/IMAGE && docker push {host}/IMAGE");
        eprintln!("  Data is in {data}; stop with Ctrl-C; `wharfinger config sample` shows all settings.\n");
    }
}

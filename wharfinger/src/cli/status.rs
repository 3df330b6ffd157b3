//! Arguments of `wharfinger status`.

use std::time::Duration;

use clap::Args;

use super::{Output, Socket};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wharfinger status --config /etc/wharfinger/config.yml
      How the server on this machine is doing, on one screen
  wharfinger status --watch 2
      The same, every two seconds, until Ctrl-C
  wharfinger status --all-instances
      Every server on this store; also from the store alone, when none runs here
  wharfinger status --json
      The same for programs

Exit codes: 0 all is well, 1 something is not, 2 no server answers.")]
pub(crate) struct Status {
    /// Every instance on the same store, by the record that each writes there every 15 seconds.
    #[arg(long)]
    pub(crate) all_instances: bool,
    /// Look again every so many seconds, until Ctrl-C.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "5", value_parser = parse_seconds)]
    pub(crate) watch: Option<Duration>,
    #[command(flatten)]
    pub(crate) socket: Socket,
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    /// The same as --output json.
    #[arg(long, conflicts_with = "output")]
    pub(crate) json: bool,
}

impl Status {
    /// How to print.
    pub(crate) fn output(&self) -> Output {
        if self.json { Output::Json } else { self.output }
    }
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds".to_owned())?;
    if !(0.1..=86_400.0).contains(&seconds) {
        return Err("between 0.1 and 86400 seconds".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

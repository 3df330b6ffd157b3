//! The figures that measures give: name, unit, which way is better.

use std::collections::BTreeMap;

/// One kind of figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Figure {
    /// Wall time of one push or pull.
    Seconds,
    /// Wall time of the pull after that.
    NextSeconds,
    /// Requests that reached Swift, for one push, pull or page.
    SwiftRequests,
    /// Of the objects that were read, the GETs of the one that was read most.
    MostGets,
    /// Answers per second.
    RequestsPerSecond,
    /// Median latency.
    P50Ms,
    /// Latency that one request in a hundred exceeds.
    P99Ms,
    /// Server CPU per request.
    CpuUsPerRequest,
    /// This tool's CPU per request.
    ClientCpuUsPerRequest,
    /// Megabytes (10^6) per second.
    MbPerSecond,
    /// Server CPU per gigabyte (10^9).
    CpuSPerGb,
    /// Peak `RssAnon` above what it was before, for each stream.
    MibPerStream,
    /// Blobs per second.
    BlobsPerSecond,
    /// Server CPU per blob.
    CpuMsPerBlob,
    /// Median latency of a page.
    PageMs,
    /// Server CPU per page.
    CpuMsPerPage,
    /// 1 when the server ignores `n`.
    WholeListSent,
    /// Peak `RssAnon`.
    AnonymousMib,
    /// Peak `RssFile` and `RssShmem`.
    FileMib,
    /// The two together.
    ResidentMib,
    /// Peak kernel TCP memory, both ends.
    TcpMib,
    /// Slow clients that got no byte of the body in the time.
    StarvedClients,
    /// From the start of the process to the first answer.
    ReadyMs,
    /// 99th percentile without pushes.
    IdleP99Ms,
    /// 99th percentile during pushes.
    BusyP99Ms,
    /// The second over the first.
    BusyOverIdle,
    /// 99th percentile while Redis is well.
    HealthyP99Ms,
    /// 99th percentile with Redis out of order, over that.
    OverHealthy,
    /// Longest request since Redis went out of order, above the median while it was well.
    LongestWaitMs,
}

impl Figure {
    /// Name with unit, for tables.
    pub(crate) fn title(self) -> &'static str {
        use Figure as F;
        match self {
            F::RequestsPerSecond => "requests/s",
            F::P50Ms => "p50 ms",
            F::P99Ms => "p99 ms",
            F::CpuUsPerRequest => "server CPU us/request",
            F::ClientCpuUsPerRequest => "client CPU us/request",
            F::MbPerSecond => "MB/s",
            F::CpuSPerGb => "server CPU s/GB",
            F::Seconds => "s",
            F::NextSeconds => "s, the next time",
            F::SwiftRequests => "requests to Swift",
            F::MostGets => "most GETs of one object",
            F::MibPerStream => "MiB per stream",
            F::BlobsPerSecond => "blobs/s",
            F::CpuMsPerBlob => "server CPU ms/blob",
            F::PageMs => "ms/page",
            F::CpuMsPerPage => "server CPU ms/page",
            F::WholeListSent => "sends the whole list",
            F::AnonymousMib => "peak RssAnon MiB",
            F::FileMib => "peak RssFile MiB",
            F::ResidentMib => "peak RSS MiB",
            F::TcpMib => "peak kernel TCP MiB",
            F::StarvedClients => "clients without a byte",
            F::ReadyMs => "ready after ms",
            F::IdleP99Ms => "idle p99 ms",
            F::BusyP99Ms => "p99 ms during pushes",
            F::BusyOverIdle => "during pushes / idle",
            F::HealthyP99Ms => "p99 ms, Redis healthy",
            F::OverHealthy => "p99 / p99 with Redis healthy",
            F::LongestWaitMs => "longest, above the healthy p50, ms",
        }
    }

    /// The key in JSON.
    pub(crate) fn key(self) -> String {
        let mut key = String::new();
        for character in format!("{self:?}").chars() {
            if character.is_uppercase() && !key.is_empty() {
                key.push('_');
            }
            key.extend(character.to_lowercase());
        }
        key
    }

    /// Whether more is better.
    pub(crate) fn is_rate(self) -> bool {
        matches!(self, Figure::RequestsPerSecond | Figure::MbPerSecond | Figure::BlobsPerSecond)
    }

    /// Whether a ratio to nginx says anything.
    pub(crate) fn has_ratio(self) -> bool {
        !matches!(
            self,
            Figure::ClientCpuUsPerRequest
                | Figure::WholeListSent
                | Figure::BusyOverIdle
                | Figure::StarvedClients
        )
    }
}

/// What one run of a measure gave.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures(pub(crate) BTreeMap<Figure, f64>);

impl Figures {
    /// Adds a figure.
    pub(crate) fn set(&mut self, figure: Figure, value: f64) {
        self.0.insert(figure, value);
    }

    /// Adds a figure that may be missing.
    pub(crate) fn set_some(&mut self, figure: Figure, value: Option<f64>) {
        if let Some(value) = value {
            self.set(figure, value);
        }
    }
}

/// A figure with as many digits as it deserves, thousands set apart.
pub(crate) fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 0.1 => 2,
        0.0 => 0,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    if value.abs() < 10_000.0 {
        return text;
    }
    let (sign, whole) = text.strip_prefix('-').map_or(("", &text[..]), |rest| ("-", rest));
    let mut out = String::from(sign);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_they_deserve() {
        let cases = [(83_640.2, "83,640"), (1_234_567.0, "1,234,567"), (1619.4, "1619"), (12.04, "12.0")];
        for (value, text) in cases.into_iter().chain([(1.047, "1.05"), (0.0194, "0.019"), (0.0, "0")]) {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn keys_are_snake_case() {
        assert_eq!(Figure::CpuUsPerRequest.key(), "cpu_us_per_request");
        assert_eq!(Figure::P99Ms.key(), "p99_ms");
    }
}

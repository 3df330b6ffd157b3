//! Who is told how far the work is.

/// Is told how far the work is. Called often: must be quick.
pub trait Watch: Send + Sync {
    /// A step begins; `total` is how much there is to do in it, where that is known.
    fn begin(&self, step: &'static str, total: Option<u64>);

    /// So much more is done.
    fn advance(&self, by: u64);

    /// Whether to find out how much there is to do where that costs something.
    fn wants_totals(&self) -> bool {
        false
    }

    /// There is so much to do in this step, as far as can be told by now.
    fn expect(&self, _total: u64) {}
}

/// Nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn begin(&self, _step: &'static str, _total: Option<u64>) {}

    fn advance(&self, _by: u64) {}
}

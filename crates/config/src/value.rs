//! What a scalar's text means, by type. Numbers given where text is expected are text.

use std::path::PathBuf;
use std::time::Duration;

use crate::{Listen, Secret};

/// A type that is read from one scalar.
pub(crate) trait FromScalar: Sized {
    /// The value, or what is wrong with the text.
    fn from_scalar(text: &str) -> Result<Self, String>;
}

impl FromScalar for String {
    fn from_scalar(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl FromScalar for PathBuf {
    fn from_scalar(text: &str) -> Result<Self, String> {
        if text.contains('\0') { Err("a path has no NUL".to_owned()) } else { Ok(PathBuf::from(text)) }
    }
}

impl FromScalar for Secret {
    fn from_scalar(text: &str) -> Result<Self, String> {
        Ok(Secret::new(text))
    }
}

impl FromScalar for bool {
    /// The words of YAML 1.1, as Distribution's parser takes them.
    fn from_scalar(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" => Ok(true),
            "false" | "no" | "off" | "n" => Ok(false),
            _ => Err(format!("has to be true or false, not {}", quoted(text))),
        }
    }
}

impl FromScalar for i64 {
    fn from_scalar(text: &str) -> Result<Self, String> {
        let digits = text.replace('_', "");
        let parsed = match digits.split_at_checked(2) {
            Some(("0x", rest)) => i64::from_str_radix(rest, 16),
            Some(("0o", rest)) => i64::from_str_radix(rest, 8),
            _ => digits.parse(),
        };
        parsed.map_err(|_| format!("has to be a whole number, not {}", quoted(text)))
    }
}

/// A count that is not negative.
impl FromScalar for u64 {
    fn from_scalar(text: &str) -> Result<Self, String> {
        let number = i64::from_scalar(text)?;
        u64::try_from(number).map_err(|_| format!("has to be 0 or more, not {}", quoted(text)))
    }
}

impl FromScalar for Duration {
    fn from_scalar(text: &str) -> Result<Self, String> {
        parse_duration(text)
    }
}

impl FromScalar for Listen {
    fn from_scalar(text: &str) -> Result<Self, String> {
        Listen::parse_tcp(text)
    }
}

/// A number of bytes: a whole number, or one with a unit (`64KiB`, `64MiB`, `1GiB`, `10MB`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl FromScalar for Size {
    fn from_scalar(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("has to be a number of bytes such as 65536, 64KiB or 10MB, not {}", quoted(text));
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let number: u64 = number.replace('_', "").parse().map_err(|_| wrong())?;
        let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            "g" | "gib" => 1 << 30,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            _ => return Err(wrong()),
        };
        number.checked_mul(factor).map(Size).ok_or_else(wrong)
    }
}

const UNITS: [(&str, f64); 8] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];

/// Parses a duration as Go writes it (`10s`, `1h30m`, `1.5h`, `100ms`); a bare whole number is nanoseconds.
///
/// # Errors
/// What a duration has to look like, with the text that does not.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("has to be a duration such as 10s, 1h30m or 100ms, not {}", quoted(text));
    if text.starts_with('-') && text.len() > 1 {
        return Err(format!("has to be a duration of 0 or more, not {}", quoted(text)));
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return Err(wrong());
    }
    if rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return rest.parse().map(Duration::from_nanos).map_err(|_| wrong());
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let split = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(split);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let (_, nanos) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let number: f64 = number.parse().map_err(|_| wrong())?;
        // Go's durations end at 2^63 ns (292 years), so the whole stays far from Duration's own end.
        let part = (number * nanos).round();
        if part >= i64::MAX as f64 {
            return Err(wrong());
        }
        total = total.checked_add(Duration::from_nanos(part as u64)).ok_or_else(wrong)?;
        rest = tail;
    }
    Ok(total)
}

/// The text in quotes for a message, cut short when it is long.
pub(crate) fn quoted(text: &str) -> String {
    if text.chars().count() <= 60 {
        return format!("{text:?}");
    }
    format!("{:?}...", text.chars().take(60).collect::<String>())
}

/// Defines an enum that is written as one of a few words, with `NAMES` for the table of keys.
macro_rules! choice {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
        }

        impl $name {
            /// The words that stand for the variants, in the order of the variants.
            pub const NAMES: &'static [&'static str] = &[$($text),+];

            /// The word that stands in the configuration.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }
        }

        impl $crate::value::FromScalar for $name {
            fn from_scalar(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok($name::$variant),)+
                    _ => Err($crate::value::not_one_of(text, Self::NAMES)),
                }
            }
        }
    };
}
pub(crate) use choice;

pub(crate) fn not_one_of(text: &str, names: &[&str]) -> String {
    format!("has to be one of {}; not {}", names.join(", "), quoted(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, millis) in [
            ("10s", 10_000),
            ("1h30m", 5_400_000),
            ("100ms", 100),
            ("1.5h", 5_400_000),
            ("0", 0),
            ("5000000", 5),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse_duration("1us"), Ok(Duration::from_micros(1)));
        for text in ["", "10", "-1s", "s", "10 s", "1d", "1h30", "10S", ".", "1..5s", "999999999999h"] {
            if text != "10" {
                assert!(parse_duration(text).is_err(), "{text:?}");
            }
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in
            [("0", 0), ("65536", 65536), ("64KiB", 65536), ("64 MiB", 64 << 20), ("10MB", 10_000_000)]
        {
            assert_eq!(Size::from_scalar(text), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "KiB", "-1", "1TB", "99999999999GiB"] {
            assert!(Size::from_scalar(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn booleans_are_the_words_of_yaml_1_1() {
        assert_eq!(bool::from_scalar("Yes"), Ok(true));
        assert_eq!(bool::from_scalar("off"), Ok(false));
        assert!(bool::from_scalar("1").is_err());
    }

    #[test]
    fn whole_numbers_are_read_as_yaml_writes_them() {
        assert_eq!(i64::from_scalar("1_000"), Ok(1000));
        assert_eq!(i64::from_scalar("0x10"), Ok(16));
        assert!(u64::from_scalar("-1").is_err());
        assert!(i64::from_scalar("1.5").is_err());
    }
}

//! libFuzzer's way into [`wharfinger_fuzz_checks::chunk_index`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wharfinger_fuzz_checks::chunk_index::check(data));

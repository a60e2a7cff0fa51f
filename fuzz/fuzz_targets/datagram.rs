#![no_main]

libfuzzer_sys::fuzz_target!(
    init: conclave_fuzz::let_contained_panics_pass(),
    |bytes: &[u8]| conclave_sfu::fuzzing::datagram(bytes)
);

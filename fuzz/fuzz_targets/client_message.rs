#![no_main]

use conclave_protocol::signal::ClientMessage;

// Promise: what is read can be written, and is then read as the same.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = serde_json::from_slice::<ClientMessage>(bytes) {
        let written = serde_json::to_string(&message).unwrap();
        let again: ClientMessage = serde_json::from_str(&written).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), written);
    }
});

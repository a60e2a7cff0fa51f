//! What the fuzzer started from and what it found, read as the server reads it.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

use conclave_protocol::signal::ClientMessage;

#[test]
fn every_client_message_that_is_read_can_be_written_and_read_again() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/client_message");
    let mut read = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        if let Ok(message) = serde_json::from_slice::<ClientMessage>(&bytes) {
            let written = serde_json::to_string(&message).unwrap();
            let again: ClientMessage = serde_json::from_str(&written).unwrap();
            assert_eq!(serde_json::to_string(&again).unwrap(), written);
            read += 1;
        }
    }
    assert!(
        read >= 8,
        "one of each kind, but only {read} were understood"
    );
}

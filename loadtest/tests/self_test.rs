//! The self-test against a real server, in its short form.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::process::Command;

use serde_json::Value;
use stage::Stage;

/// Runs the command; gives its exit code, its JSON and what it said.
fn self_test(arguments: &[&str]) -> (i32, Value, String) {
    let media = stage::media();
    let output = Command::new(env!("CARGO_BIN_EXE_conclave-loadtest"))
        .args(["self-test", "--json", "-", "--lateness-bound", "500ms"])
        .arg("--video")
        .arg(media.join("camera.ivf"))
        .arg("--audio")
        .arg(media.join("voice.ogg"))
        .args(arguments)
        .output()
        .unwrap();
    let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), json, said)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_injected_is_measured() {
    let stage = Stage::set();
    let server = stage.address();
    let test = move || self_test(&["--server", &server, "--duration", "3s"]);
    let (code, json, said) = tokio::task::spawn_blocking(test).await.unwrap();
    assert_eq!(code, 0, "{said}");
    let checks = json["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 7, "{said}");
    for (check, what) in checks.iter().zip([
        "clean",
        "delay",
        "loss",
        "duplicates",
        "reordering",
        "spoiled frames",
        "late generator",
    ]) {
        assert!(check["what"].as_str().unwrap().starts_with(what), "{said}");
        assert_eq!(check["holds"], true, "{said}");
    }
    assert!(said.contains("everything was seen as it was"), "{said}");
    stage.strike().await;
}

#[test]
fn without_a_server_it_says_what_to_do() {
    let (code, _, said) = self_test(&["--server-program", "/nowhere/conclave"]);
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("/nowhere/conclave") && said.contains("--server"),
        "{said}"
    );
}

//! The server cannot decrypt because the code to do so is not in it. Proven from what
//! cargo would build, not from what the manifests mean to say.

#![allow(clippy::expect_used)]

use std::{collections::BTreeSet, path::Path, process::Command};

/// What opens media, messages or groups.
const KEYHOLDERS: [&str; 3] = ["conclave-e2ee", "openmls", "sframe"];

/// All packages that go into a package's build, by name.
fn ingredients(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--package", package])
        .args(["--edges", "normal,build", "--target", "all"])
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout)
        .expect("text")
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

fn keyholders_in(package: &str) -> Vec<String> {
    let ingredients = ingredients(package);
    assert!(
        ingredients.contains(package),
        "{package} is in its own tree"
    );
    ingredients
        .into_iter()
        .filter(|name| {
            KEYHOLDERS
                .iter()
                .any(|holder| name == holder || name.starts_with(&format!("{holder}_")))
        })
        .collect()
}

#[test]
fn the_server_holds_no_code_that_could_decrypt() {
    for package in ["conclave-sfu", "conclave-signalling"] {
        assert_eq!(keyholders_in(package), [""; 0], "{package}");
    }
}

#[test]
fn the_search_finds_that_code_where_it_is() {
    let found = keyholders_in("conclave-loadtest");
    for holder in KEYHOLDERS {
        assert!(
            found.iter().any(|name| name == holder),
            "{holder}: {found:?}"
        );
    }
}

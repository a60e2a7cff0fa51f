//! Makes sure that the folder the web client is embedded from exists. It is left empty when
//! the client has not been built: such a server says so on its page, and all else works.

use std::{env, fs, io, path::Path};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let dist = Path::new("../web/dist");
    fs::create_dir_all(dist)?;
    // A debug build reads the client from the folder while it runs and needs no new build
    // when that changes.
    if env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo::rerun-if-changed=../web/dist");
        if fs::read_dir(dist)?.next().is_none() {
            println!("cargo::warning=the web client was not built: run `make web` first");
        }
    }
    Ok(())
}

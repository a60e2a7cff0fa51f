//! Writes what a browser needs to load and call a WASM module: `conclave-bindgen MODULE FOLDER`.

use std::env;

use anyhow::Context as _;
use wasm_bindgen_cli_support::Bindgen;

fn main() -> anyhow::Result<()> {
    let mut arguments = env::args_os().skip(1);
    let usage = "usage: conclave-bindgen MODULE FOLDER";
    let (module, folder) = (
        arguments.next().context(usage)?,
        arguments.next().context(usage)?,
    );
    Bindgen::new()
        .input_path(module)
        .web(true)?
        .typescript(true)
        .generate(folder)
}

//! What the targets share.

use std::panic;

/// libFuzzer's hook aborts at every panic. The SFU catches those of the library that it gets
/// its state machines from; only a panic that it does not catch is a finding, and that one
/// ends the target anyway.
pub fn let_contained_panics_pass() {
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or("", panic::Location::file);
        if !place.contains("str0m") {
            eprintln!("{panic}");
        }
    }));
}

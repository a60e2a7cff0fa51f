//! Measures what the SFU costs. `make bench-sfu` runs it.
#![allow(clippy::print_stdout)]

mod client;
mod clock;
mod in_process;
mod room;
mod video;

use anyhow::Result;
use in_process::Shape;
use room::Estimation;
use video::Frame;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    for estimation in [Estimation::Off, Estimation::On] {
        for shape in [Shape::OneTo(10), Shape::OneTo(50), Shape::OneTo(100), Shape::AllOf(10)] {
            let mut room = in_process::settled(shape, estimation)?;
            println!("{shape} {estimation:?} paced {}", in_process::paced(&mut room)?);
            for n in [1, 6, 24] {
                println!("{shape} {estimation:?} {n} {}", in_process::saturated(&mut room, shape, Frame::of(n))?);
            }
        }
    }
    println!("gallery {}", in_process::gallery(50)?);
    for (size, spread) in in_process::joins(&[10, 100, 300, 500])? {
        println!("join at {size}: {spread} ms");
    }
    Ok(())
}

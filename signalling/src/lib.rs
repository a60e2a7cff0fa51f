//! The front door of a Conclave server: it serves the web client, brings participants
//! together in rooms, and is the delivery service of their MLS groups. The media side
//! ([`conclave_sfu`]) runs within it.
//!
//! Whatever participants say to each other passes through here sealed; there is no code to
//! open it.
//!
//! * [`Server`] starts and stops it all;
//! * [`room`] is what happens in a room, as a state machine without sockets or clocks;
//! * [`settings`] is what an operator can say about it, in flags, environment and a file;
//! * [`verify`] holds a running server to the client that it should serve;
//! * the rest are the tasks around it: one for each connection, one for each room.

mod admission;
mod answer;
mod door;
mod group;
mod http;
mod limits;
mod media;
mod metrics;
mod outbound;
mod page;
mod process;
mod registry;
pub mod room;
mod server;
pub mod settings;
mod showing;
mod socket;
pub mod tls;
pub mod verify;

pub use limits::{Limits, Rate, RoomSize, RoomSizeError};
pub use server::{FrontDoor, Server, ServerConfig, StartError};

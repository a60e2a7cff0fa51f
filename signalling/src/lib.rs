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
//! * [`acme`] gets certificates;
//! * [`doctor`] looks at a machine before a server starts there;
//! * [`verify`] holds a running server to the client that it should serve;
//! * [`store`] keeps on disk what is acknowledged, so that calls outlive the process;
//! * [`files`] keeps what participants share, sealed;
//! * [`keys`] and [`api`] let operators do what they do by programs;
//! * [`entry`] is the server's own door, [`outbox`] what is told of what happens;
//! * the rest are the tasks around it: one for each connection, one for each room.

pub mod acme;
mod admission;
mod answer;
mod api;
pub mod doctor;
mod door;
mod draw;
mod entry;
pub mod files;
mod group;
mod host;
mod http;
pub mod keys;
mod limits;
mod media;
mod metrics;
mod moment;
mod outbound;
mod outbox;
mod page;
mod process;
mod registry;
pub mod room;
mod server;
pub mod settings;
mod showing;
mod socket;
mod store;
pub mod tls;
mod upkeep;
pub mod verify;

pub use limits::{Limits, Rate, RoomSize, RoomSizeError};
pub use process::allow_descriptors;
pub use server::{FrontDoor, Server, ServerConfig, StartError};
pub use store::{
    OpenError,
    backup::{BackupContents, BackupError, back_up, restore},
};

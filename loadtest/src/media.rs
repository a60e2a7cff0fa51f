//! What bots play, and how it is cut into packets and put together again.

pub mod material;
pub mod pace;
pub mod recording;
pub mod stamp;
pub mod vp8;

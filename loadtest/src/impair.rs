//! Bad networks, on purpose: what `--impair` asks for, and two ways to give it.
//!
//! ```text
//! --impair [WHOM:]SPEC        may be given several times; the last that names a bot and a
//!                             direction holds there, whole
//!
//! WHOM   up | down            from the bots to the server, or back; both when left out
//!        BOTS                 all of them when left out
//!        up@BOTS, down@BOTS
//! BOTS   all | publishers | subscribers | bot3 | bots3-7
//!        1/10 | 1/10-subscribers          of every ten the first one
//! SPEC   none, or of these, separated by commas:
//!        loss=2%              packets that never arrive
//!        burst=4              … in runs of four on average, not one by one
//!        delay=50ms           added to every packet
//!        jitter=10ms          give or take; packets may overtake each other
//!        reorder=1%           packets held back, so that others overtake them
//!        behind=20ms          … for so long
//!        duplicate=0.5%       packets that arrive twice
//!        rate=2mbit           what passes in a second, IP headers included
//!        then=500kbit@20s/2mbit@40s   … and another rate so long after the window began
//!        queue=200ms          … what more comes waits at most so long, or is dropped
//!        blackout=3s@10s      nothing passes for 3 s, 10 s after the window began
//!        every=30s            … and again every 30 s
//! ```
//!
//! [`Link`] does this in process, to each bot by itself, exactly and repeatably: the same
//! seed does the same to the same packets. [`household`] lets the kernel do it, to all
//! bots of a household together, as a family shares one line.

pub mod household;
pub mod link;
pub mod namespace;
pub mod netem;
pub mod paths;
pub mod roam;
pub mod rules;
pub mod spec;
pub mod steps;
pub mod units;
pub mod usage;
pub mod whom;

pub use link::{Link, LinkCounts, wire_len};
pub use paths::{Path, Paths};
pub use roam::Roam;
pub use rules::{LinkPair, Rule, Rules};
pub use spec::{Impairment, SpecError};
pub use usage::Usage;
pub use whom::{BotPlace, Bots, Way, Whom, WhomError};

//! What a bot receives through Janus: one peer connection whose media sections come and go
//! with what it wants to see. Only one change is under way at a time; what is wanted
//! meanwhile is asked for when it is through.

use conclave_protocol::signal::Source;

use super::message::{Line, PublishedStream, Publisher};
use crate::target::View;

/// A stream of a publisher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stream {
    /// Whose.
    pub(super) feed: u64,
    /// Which media section of theirs.
    pub(super) mid: String,
    /// Which simulcast layer, from 0, the smallest; none when it has only one.
    pub(super) substream: Option<u8>,
}

impl Stream {
    fn is(&self, other: &Self) -> bool {
        self.feed == other.feed && self.mid == other.mid
    }
}

/// What is to be asked of Janus.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// A handle for the subscription.
    Handle,
    /// Something of the room, on that handle.
    Change(Change),
}

/// A change of what is received.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The first streams.
    Join(Vec<Stream>),
    /// More and fewer streams.
    Update {
        subscribe: Vec<Stream>,
        unsubscribe: Vec<Stream>,
    },
    /// Other layers of the streams in these media sections.
    Layers(Vec<(String, u8)>),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Step {
    /// Nothing was ever wanted.
    #[default]
    Idle,
    /// The handle is on its way.
    Attaching,
    /// The handle is there.
    Attached,
    /// A request is under way.
    Asking,
    /// Janus' offer is with the bot.
    Answering,
    /// The answer is with Janus.
    Starting,
    /// All is through.
    Settled,
}

/// The state of a bot's subscription.
#[derive(Debug, Default)]
pub(super) struct Subscription {
    step: Step,
    /// What each media section carries, by Janus' last word.
    lines: Vec<(String, Stream)>,
    /// What was asked for last.
    asked: Vec<Stream>,
    /// Janus has put off a request until the offer before it is answered.
    put_off: bool,
}

impl Subscription {
    /// What to ask for now, to come to what is wanted.
    pub(super) fn advance(&mut self, wanted: &[Stream]) -> Option<Ask> {
        match self.step {
            Step::Idle if !wanted.is_empty() => {
                self.step = Step::Attaching;
                Some(Ask::Handle)
            }
            // After a refusal the same is not asked for again: news of who left is due.
            Step::Attached if !wanted.is_empty() && wanted != self.asked => {
                self.step = Step::Asking;
                self.asked = wanted.to_vec();
                Some(Ask::Change(Change::Join(wanted.to_vec())))
            }
            Step::Settled if wanted != self.asked => self.update(wanted).map(Ask::Change),
            _ => None,
        }
    }

    fn update(&mut self, wanted: &[Stream]) -> Option<Change> {
        self.asked = wanted.to_vec();
        let held = || self.lines.iter().map(|(_, stream)| stream);
        let subscribe: Vec<_> = wanted
            .iter()
            .filter(|stream| !held().any(|held| held.is(stream)))
            .cloned()
            .collect();
        let unsubscribe: Vec<_> = held()
            .filter(|held| !wanted.iter().any(|stream| stream.is(held)))
            .cloned()
            .collect();
        if !(subscribe.is_empty() && unsubscribe.is_empty()) {
            self.step = Step::Asking;
            return Some(Change::Update {
                subscribe,
                unsubscribe,
            });
        }
        let mut layers = Vec::new();
        for (line, held) in &mut self.lines {
            let stream = wanted.iter().find(|stream| stream.is(held));
            if let Some(substream) = stream.and_then(|stream| stream.substream)
                && held.substream != Some(substream)
            {
                held.substream = Some(substream);
                layers.push((line.clone(), substream));
            }
        }
        (!layers.is_empty()).then_some(Change::Layers(layers))
    }

    /// The handle is there.
    pub(super) fn attached(&mut self) {
        self.step = Step::Attached;
    }

    /// Janus offers these media sections.
    pub(super) fn offered(&mut self, lines: Vec<Line>) {
        self.step = Step::Answering;
        self.put_off = false;
        self.lines = lines
            .into_iter()
            .filter(|line| line.active)
            .filter_map(|line| {
                let (feed, mid) = (line.feed_id?, line.feed_mid?);
                let same = |stream: &&Stream| stream.feed == feed && stream.mid == mid;
                let substream = self.asked.iter().find(same).and_then(|s| s.substream);
                let stream = Stream {
                    feed,
                    mid,
                    substream,
                };
                Some((line.mid, stream))
            })
            .collect();
    }

    /// Janus will come back to a request with an offer.
    pub(super) fn put_off(&mut self) {
        self.put_off = true;
    }

    /// The request changed nothing.
    pub(super) fn unchanged(&mut self) {
        if self.step == Step::Asking && !self.put_off {
            self.step = Step::Settled;
        }
    }

    /// A stream that was asked for is gone.
    pub(super) fn refused(&mut self) {
        if self.step == Step::Asking {
            self.step = if self.lines.is_empty() {
                Step::Attached
            } else {
                Step::Settled
            };
        }
    }

    /// The answer is on its way to Janus.
    pub(super) fn answered(&mut self) {
        self.step = Step::Starting;
    }

    /// Janus has taken the answer.
    pub(super) fn started(&mut self) {
        if self.step == Step::Starting {
            self.step = if self.put_off {
                Step::Asking
            } else {
                Step::Settled
            };
        }
    }
}

/// The streams of a view: every screen, a page of the cameras, and the sound of as many as
/// there are slots for, since Janus has no way to choose by who speaks.
pub(super) fn wanted(publishers: &[Publisher], view: View, slots: &[Source]) -> Vec<Stream> {
    let room = |source: Source| slots.iter().filter(|slot| **slot == source).count();
    let of = |source: Source| {
        publishers.iter().flat_map(move |publisher| {
            let streams = publisher.streams.iter();
            let streams = streams.filter(move |stream| source_of(stream) == Some(source));
            streams.map(move |stream| Stream {
                feed: publisher.id,
                mid: stream.mid.clone(),
                substream: stream.simulcast.then(|| substream(view)),
            })
        })
    };
    let tiles = view.tiles.min(room(Source::Camera));
    of(Source::Microphone)
        .take(room(Source::Microphone))
        .chain(of(Source::Screen).take(room(Source::Screen)))
        .chain(of(Source::ScreenSound).take(room(Source::ScreenSound)))
        .chain(of(Source::Camera).skip(view.page * view.tiles).take(tiles))
        .collect()
}

/// The layer for the height at which cameras are shown, of usual ones with 180, 360 and
/// 720 lines.
fn substream(view: View) -> u8 {
    match view.size.height {
        0..=180 => 0,
        181..=360 => 1,
        _ => 2,
    }
}

/// How bots call a source in the description of a stream.
pub(super) const fn description(source: Source) -> &'static str {
    match source {
        Source::Microphone => "microphone",
        Source::Camera => "camera",
        Source::Screen => "screen",
        Source::ScreenSound => "screen sound",
    }
}

/// What a stream shows: as its description says or, from others than bots, by its kind.
fn source_of(stream: &PublishedStream) -> Option<Source> {
    if stream.disabled {
        return None;
    }
    let described = [Source::Screen, Source::ScreenSound]
        .into_iter()
        .find(|source| stream.description.as_deref() == Some(description(*source)));
    described.or(match stream.kind.as_str() {
        "audio" => Some(Source::Microphone),
        "video" => Some(Source::Camera),
        _ => None,
    })
}

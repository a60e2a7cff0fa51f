//! What bots ask of the VideoRoom.

use serde_json::{Value, json};

use super::subscription::{Change, Stream, description};
use crate::{media::Codec, target::Sections};

/// Makes a room for as many as come and as much as they send.
pub(super) fn create(room: u64) -> Value {
    json!({
        "request": "create",
        "room": room,
        "is_private": true,
        "publishers": 10_000,
        "bitrate": 0,
        "audiocodec": "opus",
        "videocodec": "vp8,vp9,av1",
        "audiolevel_ext": true,
        "transport_wide_cc_ext": true,
    })
}

/// Enters a room, whether to publish or only to hear who does.
pub(super) fn join(room: u64, name: &str) -> Value {
    json!({
        "request": "join",
        "ptype": "publisher",
        "room": room,
        "display": name,
    })
}

/// Sends media; an offer comes with it.
pub(super) fn publish(video: Option<Codec>, sections: &Sections) -> Value {
    let tracks = sections.tracks.iter();
    let descriptions: Vec<_> = tracks
        .map(|(source, mid)| json!({"mid": mid, "description": description(*source)}))
        .collect();
    let mut body = json!({"request": "publish", "descriptions": descriptions});
    if let Some(codec) = video {
        body["videocodec"] = json!(codec_name(codec));
    }
    body
}

/// Changes what is received.
pub(super) fn change(change: &Change, room: u64, private_id: Option<u64>) -> Value {
    match change {
        Change::Join(streams) => json!({
            "request": "join",
            "ptype": "subscriber",
            "room": room,
            "private_id": private_id,
            "streams": subscribed(streams),
        }),
        Change::Update {
            subscribe,
            unsubscribe,
        } => {
            let mut body = json!({"request": "update"});
            // An empty list is an error.
            if !subscribe.is_empty() {
                body["subscribe"] = subscribed(subscribe);
            }
            if !unsubscribe.is_empty() {
                let streams = unsubscribe.iter();
                body["unsubscribe"] = streams
                    .map(|stream| json!({"feed": stream.feed, "mid": stream.mid}))
                    .collect();
            }
            body
        }
        Change::Layers(layers) => {
            let streams: Vec<_> = layers
                .iter()
                .map(|(mid, layer)| json!({"mid": mid, "substream": layer}))
                .collect();
            json!({"request": "configure", "streams": streams})
        }
    }
}

/// A session description whose candidates are all in it.
pub(super) fn jsep(kind: &str, sdp: &str) -> Value {
    json!({"type": kind, "sdp": sdp, "trickle": false})
}

fn subscribed(streams: &[Stream]) -> Value {
    let one = |stream: &Stream| {
        let mut one = json!({"feed": stream.feed, "mid": stream.mid});
        if let Some(substream) = stream.substream {
            one["substream"] = json!(substream);
        }
        one
    };
    streams.iter().map(one).collect()
}

fn codec_name(codec: Codec) -> &'static str {
    match codec {
        Codec::Opus => "opus",
        Codec::Vp8 => "vp8",
        Codec::Vp9 => "vp9",
        Codec::Av1 => "av1",
        Codec::H264 => "h264",
    }
}

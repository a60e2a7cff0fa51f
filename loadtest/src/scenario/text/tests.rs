use std::time::Duration;

use conclave_protocol::signal::Source;

use super::*;
use crate::{
    media::cadence::TemporalLayers,
    scenario::{
        JoinPace, built_in,
        group::{Picture, Video, VideoCodec},
    },
};

fn error(text: &str) -> String {
    parse(text, "x.toml", "x").unwrap_err().to_string()
}

/// What is said of a group with some more lines; each line counts from the group's first.
fn error_in_group(lines: &str) -> String {
    error(&format!("[[bots]]\ncount = 3\n{lines}\n"))
}

#[test]
fn all_that_is_built_in_can_be_run() {
    let mut kinds = 0;
    for name in built_in::names() {
        let scenario = built_in::scenario(name).unwrap();
        assert_eq!(scenario.name, name);
        assert!(scenario.description.ends_with('.'), "{name}");
        assert!(scenario.publishers() > 0 && scenario.receivers() > 0);
        kinds += 1;
    }
    assert_eq!(kinds, 9);
    let unknown = built_in::scenario("galery").unwrap_err().to_string();
    assert!(unknown.contains("gallery, webinar"), "{unknown}");
}

#[test]
fn every_key_is_understood() {
    let text = r#"
        name = "everything"
        description = "All keys."
        seed = 9
        members = 5
        join = { per-second = 2.5 }
        warmup = "1m"
        duration = "1h 30m"
        drain = "500ms"

        [[bots]]
        count = 4

        [bots.microphone]
        talk = 0.5
        speakers = 2
        turn = "3s"

        [bots.camera]
        codec = "vp9"
        layers = 2
        temporal-layers = 3
        video = "generated:640x360@25,600kbit"

        [bots.screen]
        video = "slides.ivf"

        [bots.slots]
        cameras = 5
        microphones = 3
        screens = 1

        [bots.view]
        tiles = 4
        size = "320x180"
        turn = "6s"

        [bots.rotate]
        on = 2
        every = "7s"
        sources = ["camera", "screen"]

        [bots.churn]
        per-second = 0.25
        away = "4s"
    "#;
    let scenario = parse(text, "x.toml", "x").unwrap();
    assert_eq!(scenario.name, "everything");
    assert_eq!((scenario.seed, scenario.members), (9, Some(5)));
    assert_eq!(scenario.join, JoinPace::PerSecond(2.5));
    assert_eq!(scenario.warmup, Duration::from_secs(60));
    assert_eq!(scenario.duration, Duration::from_secs(5_400));
    assert_eq!(scenario.drain, Duration::from_millis(500));
    let group = &scenario.bots[0];
    let microphone = group.microphone.as_ref().unwrap();
    assert_eq!((microphone.talk, microphone.speakers), (0.5, Some(2)));
    assert_eq!(microphone.turn, Duration::from_secs(3));
    let camera = Picture {
        codec: VideoCodec::Vp9,
        layers: 2,
        temporal_layers: TemporalLayers::Three,
        video: Some("generated:640x360@25,600kbit".parse().unwrap()),
    };
    assert_eq!(group.camera.as_ref(), Some(&camera));
    let screen = group.screen.as_ref().unwrap();
    assert_eq!(screen.video, Some(Video::File("slides.ivf".into())));
    assert_eq!((group.slots.total(), group.tiles()), (9, 4));
    assert_eq!((group.view.size.width, group.view.size.height), (320, 180));
    assert_eq!(group.view.turn, Some(Duration::from_secs(6)));
    let rotate = group.rotate.as_ref().unwrap();
    assert_eq!((rotate.on, rotate.every), (2, Duration::from_secs(7)));
    assert!(rotate.turns(Source::Screen) && !rotate.turns(Source::Microphone));
    let churn = group.churn.as_ref().unwrap();
    assert_eq!(churn.per_second, 0.25);
    assert_eq!(churn.away, Duration::from_secs(4));

    // What a report tells of it leads back to the same scenario.
    let told = serde_json::to_value(&scenario).unwrap();
    let again: Scenario = serde_json::from_value(told).unwrap();
    assert_eq!(again.bots, scenario.bots);
    assert_eq!(again.join, scenario.join);
}

#[test]
fn what_is_left_out_has_a_default() {
    let scenario = parse("bots = [{ count = 1, camera = {} }]", "x.toml", "x").unwrap();
    assert_eq!(scenario.name, "x");
    assert_eq!(scenario.join, JoinPace::AtATime(4));
    assert_eq!(scenario.bots[0].camera, Some(Picture::default()));
    assert_eq!(scenario.bots[0].slots.total(), 0);
}

#[test]
fn unknown_keys_are_refused_where_they_stand() {
    for (text, line, wanted) in [
        ("seed = 1\nsead = 2", 2, "unknown field `sead`"),
        (
            "[[bots]]\ncount = 1\n\nconut = 2",
            4,
            "unknown field `conut`",
        ),
        (
            "[[bots]]\ncount = 1\ncamera = { codek = 1 }",
            3,
            "expected one of `codec`",
        ),
        (
            "[[bots]]\ncount = 1\nslots = { camera = 1 }",
            3,
            "`cameras`, `microphones`",
        ),
        ("[[bots]]\ncount = 1\nview = { tile = 1 }", 3, "`tiles`"),
        (
            "[[bots]]\ncount = 1\nmicrophone = { tlak = 1 }",
            3,
            "`talk`",
        ),
        ("[[bots]]\ncount = 1\nrotate = { to = 1 }", 3, "`on`"),
        (
            "[[bots]]\ncount = 1\nchurn = { rate = 1 }",
            3,
            "`per-second`",
        ),
        ("join = \"slowly\"", 1, "`at-once`"),
        ("seed = = 1", 1, ""),
    ] {
        let said = error(text);
        assert!(said.starts_with(&format!("x.toml:{line}: ")), "{said}");
        assert!(said.contains(wanted), "{said}");
    }
}

#[test]
fn values_of_the_wrong_kind_say_what_would_be_right() {
    for (text, line, wanted) in [
        ("\nduration = \"soon\"", 2, "\"10s\""),
        ("duration = 10", 1, "expected a string"),
        ("seed = -1", 1, "invalid value"),
        ("members = \"all\"", 1, "invalid type"),
        ("[[bots]]\ncount = -2", 2, "invalid value"),
        (
            "[[bots]]\ncount = 1\ncamera = { codec = \"h265\" }",
            3,
            "`vp8`, `vp9`, `av1`, `h264`",
        ),
        (
            "[[bots]]\ncount = 1\ncamera = { temporal-layers = 2 }",
            3,
            "give 1 or 3",
        ),
        (
            "[[bots]]\ncount = 1\ncamera = { video = \"generated:1x1\" }",
            3,
            "640x360@30",
        ),
        (
            "[[bots]]\ncount = 1\nview = { size = \"big\" }",
            3,
            "\"640x360\"",
        ),
        (
            "[[bots]]\ncount = 1\nview = { size = \"0x9\" }",
            3,
            "\"640x360\"",
        ),
        ("[[bots]]\ncount = 1\nview = { turn = \"x\" }", 3, "\"10s\""),
        (
            "[[bots]]\ncount = 1\nrotate = { on = 1, every = \"1s\", sources = [\"hat\"] }",
            3,
            "`camera`",
        ),
    ] {
        let said = error(text);
        assert!(said.starts_with(&format!("x.toml:{line}: ")), "{said}");
        assert!(said.contains(wanted), "{said}");
    }
}

#[test]
fn what_cannot_be_done_is_refused_with_a_remedy() {
    for (text, line, wanted) in [
        ("seed = 1", 1, "give a [[bots]]"),
        ("bots = []", 1, "there is nobody to run"),
        (
            "\n\nduration = \"0s\"\nbots = [{ count = 1, camera = {} }]",
            3,
            "in no time",
        ),
        (
            "join = { at-a-time = 0 }\nbots = [{ count = 1, camera = {} }]",
            1,
            "\"at-once\"",
        ),
        (
            "join = { per-second = 0 }\nbots = [{ count = 1, camera = {} }]",
            1,
            "more than 0",
        ),
        (
            "join = { per-second = nan }\nbots = [{ count = 1, camera = {} }]",
            1,
            "more than 0",
        ),
        ("bots = [{ count = 2000, camera = {} }]", 1, "at most 1024"),
        (
            "\nmembers = 2\nbots = [{ count = 3, camera = {} }]",
            2,
            "at least 3",
        ),
        (
            "\nmembers = 0\nbots = [{ count = 3, slots = { cameras = 1 } }]",
            2,
            "--plain",
        ),
    ] {
        let said = error(text);
        assert!(said.starts_with(&format!("x.toml:{line}: ")), "{said}");
        assert!(said.contains(wanted), "{said}");
    }
}

#[test]
fn what_a_group_cannot_do_is_refused_with_a_remedy() {
    for (lines, line, wanted) in [
        ("", 2, "neither send nor receive"),
        ("slots = { cameras = 70 }", 3, "at most 60"),
        ("camera = { layers = 0 }", 3, "1 to 3"),
        ("camera = { layers = 4 }", 3, "1 to 3"),
        (
            "camera = { layers = 2, video = \"a.ivf\" }",
            3,
            "layers = 1",
        ),
        (
            "camera = { codec = \"av1\", video = \"a.ivf\" }",
            3,
            "codec = \"vp8\"",
        ),
        (
            "\nscreen = { layers = 3, video = \"generated:640x360@60,100kbit\" }",
            4,
            "smallest layer",
        ),
        ("microphone = { talk = 1.5 }", 3, "0 to 1"),
        ("microphone = { talk = nan }", 3, "0 to 1"),
        ("microphone = { speakers = 4 }", 3, "1 to 3"),
        ("microphone = { speakers = 0 }", 3, "1 to 3"),
        (
            "microphone = { speakers = 1, turn = \"0s\" }",
            3,
            "100ms or more",
        ),
        (
            "microphone = { audio = \"a.ogg\", talk = 0.5 }",
            3,
            "or the recording",
        ),
        (
            "slots = { cameras = 3 }\nview = { tiles = 4 }",
            4,
            "more slots.cameras",
        ),
        ("slots = { cameras = 3 }\nview = { tiles = 0 }", 4, "1 to 3"),
        (
            "slots = { cameras = 3 }\n[bots.view]\nturn = \"1ms\"",
            5,
            "100ms or more",
        ),
        (
            "camera = {}\nrotate = { on = 4, every = \"1s\" }",
            4,
            "1 to 3",
        ),
        (
            "camera = {}\nrotate = { on = 0, every = \"1s\" }",
            4,
            "1 to 3",
        ),
        (
            "camera = {}\nrotate = { on = 1, every = \"1ms\" }",
            4,
            "100ms or more",
        ),
        (
            "camera = {}\nrotate = { on = 1, every = \"1s\", sources = [\"screen\"] }",
            4,
            "other sources",
        ),
        ("camera = {}\nchurn = { per-second = 0 }", 4, "more than 0"),
        ("camera = {}\nchurn = { per-second = -1 }", 4, "more than 0"),
    ] {
        let said = error_in_group(lines);
        assert!(
            said.starts_with(&format!("x.toml:{line}: bots[0]")),
            "{said}"
        );
        assert!(said.contains(wanted), "{said}");
    }
}

#[test]
fn a_file_is_named_after_itself_and_one_that_is_not_there_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("party.toml");
    std::fs::write(&path, "bots = [{ count = 1, camera = {} }]").unwrap();
    assert_eq!(read(&path).unwrap().name, "party");
    let missing = read(&directory.path().join("none.toml")).unwrap_err();
    assert!(missing.to_string().starts_with("cannot read"), "{missing}");
}

use proptest::{option, prelude::*};

use super::*;

fn read(text: &str) -> Impairment {
    text.parse().unwrap()
}

fn refused(text: &str) -> String {
    text.parse::<Impairment>().unwrap_err().to_string()
}

#[test]
fn all_keys_are_understood() {
    let text = "loss=2%,burst=4,delay=50ms,jitter=10ms,reorder=1%,behind=5ms,\
                duplicate=0.5%,rate=2mbit,then=500kbit@20s/1mbit@30s,queue=300ms,blackout=3s@10s,every=1m";
    let impairment = read(text);
    let percent = |text: &str| text.parse().unwrap();
    let milliseconds = Duration::from_millis;
    let expected = Impairment {
        loss: Some(Loss {
            share: percent("2%"),
            burst: Some(4.0),
        }),
        delay: Some(Delay {
            mean: milliseconds(50),
            jitter: milliseconds(10),
        }),
        reorder: Some(Reorder {
            share: percent("1%"),
            behind: milliseconds(5),
        }),
        duplicate: percent("0.5%"),
        bottleneck: Some(Bottleneck {
            rate: Bitrate::bits_per_second(2_000_000).unwrap(),
            then: "500kbit@20s/1mbit@30s".parse().unwrap(),
            queue: milliseconds(300),
        }),
        blackout: Some(Blackout {
            length: milliseconds(3_000),
            at: milliseconds(10_000),
            every: Some(milliseconds(60_000)),
        }),
    };
    assert_eq!(impairment, expected);
    assert_eq!(impairment.to_string(), text);
    // Spaces and order do not matter.
    let spaced = read(" delay = 50ms , loss = 2% ");
    assert_eq!(spaced, read("loss=2%,delay=50ms"));
    assert_eq!(read("none"), Impairment::default());
}

#[test]
fn what_is_left_out_has_a_stated_default() {
    let written = read("reorder=1%,rate=1mbit").to_string();
    assert_eq!(written, "reorder=1%,behind=20ms,rate=1mbit,queue=200ms");
}

#[test]
fn what_is_wrong_is_named_with_its_remedy() {
    for (text, key, remedy) in [
        ("", "no impairment", "loss=2%"),
        ("loss", "`loss`", "KEY=VALUE"),
        ("lost=2%", "`lost`", "loss, burst, delay"),
        ("loss=2%,loss=3%", "loss is given twice", "leave one out"),
        ("loss=0.02", "loss=0.02", "such as 2%"),
        ("loss=120%", "loss=120%", "between 0% and 100%"),
        ("burst=4", "burst", "give loss too"),
        ("loss=2%,burst=0.5", "burst=0.5", "1 or more"),
        ("loss=90%,burst=4", "burst", "make burst longer"),
        ("jitter=1ms", "jitter", "give delay too"),
        ("delay=5ms,jitter=6ms", "jitter", "at least 6ms"),
        ("delay=5", "delay=5", "50ms"),
        ("behind=5ms", "behind", "give reorder too"),
        ("reorder=1%,behind=0s", "behind", "longer"),
        ("duplicate=x", "duplicate=x", "such as 2%"),
        ("rate=2", "rate=2", "2mbit"),
        ("rate=0bit", "rate=0bit", "2mbit"),
        ("queue=1s", "queue", "give rate too"),
        ("blackout=3s", "blackout=3s", "3s@10s"),
        ("blackout=0s@1s", "blackout", "longer"),
        ("every=3s", "every", "give blackout too"),
        ("blackout=3s@1s,every=3s", "every", "longer"),
    ] {
        let said = refused(text);
        assert!(
            said.contains(key) && said.contains(remedy),
            "{text}: {said}"
        );
    }
}

#[test]
fn it_is_a_string_in_files() {
    let json = serde_json::to_string(&read("loss=2%")).unwrap();
    assert_eq!(json, r#""loss=2%""#);
    assert_eq!(
        serde_json::from_str::<Impairment>(&json).unwrap(),
        read("loss=2%")
    );
    let error = serde_json::from_str::<Impairment>(r#""lost=2%""#).unwrap_err();
    assert!(error.to_string().contains("`lost`"), "{error}");
}

#[test]
fn a_blackout_begins_ends_and_comes_again() {
    let seconds = Duration::from_secs;
    let once = read("blackout=3s@10s").blackout.unwrap();
    let again = read("blackout=3s@10s,every=20s").blackout.unwrap();
    for (at, dark_once, dark_again) in [
        (0, false, false),
        (9, false, false),
        (10, true, true),
        (12, true, true),
        (13, false, false),
        (30, false, true),
        (33, false, false),
    ] {
        assert_eq!(once.covers(seconds(at)), dark_once, "{at}");
        assert_eq!(again.covers(seconds(at)), dark_again, "{at}");
    }
    for (blackout, changes) in [(once, vec![10, 13]), (again, vec![10, 13, 30, 33, 50])] {
        let mut elapsed = Duration::ZERO;
        for change in &changes {
            elapsed = blackout.next_change(elapsed).unwrap();
            assert_eq!(elapsed, seconds(*change));
        }
    }
    assert_eq!(once.next_change(seconds(13)), None);
}

fn percent() -> impl Strategy<Value = Probability> {
    (0.0..=50.0_f64).prop_map(|percent| format!("{percent}%").parse().unwrap())
}

fn time() -> impl Strategy<Value = Duration> {
    (1..10_000_000_u64).prop_map(Duration::from_micros)
}

fn impairment() -> impl Strategy<Value = Impairment> {
    let loss = (percent(), option::of(1.0..100.0_f64));
    let delay = (time(), 0.0..=1.0_f64);
    let bottleneck = (1..10_000_000_000_u64, time());
    let blackout = (time(), time(), option::of(time()));
    (
        option::of(loss),
        option::of(delay),
        option::of((percent(), time())),
        percent(),
        option::of(bottleneck),
        option::of(blackout),
    )
        .prop_map(
            |(loss, delay, reorder, duplicate, bottleneck, blackout)| Impairment {
                loss: loss.map(|(share, burst)| Loss { share, burst }),
                delay: delay.map(|(mean, part)| Delay {
                    mean,
                    jitter: mean.mul_f64(part).min(mean),
                }),
                reorder: reorder.map(|(share, behind)| Reorder { share, behind }),
                duplicate,
                bottleneck: bottleneck.map(|(rate, queue)| Bottleneck {
                    rate: Bitrate::bits_per_second(rate).unwrap(),
                    then: RateSteps::default(),
                    queue,
                }),
                blackout: blackout.map(|(length, at, more)| Blackout {
                    length,
                    at,
                    every: more.map(|more| length + more),
                }),
            },
        )
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(impairment in impairment()) {
        prop_assert_eq!(impairment.to_string().parse(), Ok(impairment));
    }

    #[test]
    fn no_text_makes_it_panic(text in "[a-z=,%@.0-9 ]{0,40}|\\PC{0,20}") {
        let _ = text.parse::<Impairment>();
    }
}

//! Properties of any string and of any value.

use proptest::prelude::*;

use super::*;

/// Pieces that specifications are made of, so that random strings get past the first byte.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("netmap:".to_owned()),
        Just("vale".to_owned()),
        Just("eth0".to_owned()),
        Just("share".to_owned()),
        Just("extmem".to_owned()),
        Just("conf".to_owned()),
        Just("offset".to_owned()),
        Just("rings".to_owned()),
        Just("tx-slots".to_owned()),
        Just("file".to_owned()),
        "[-:*^/@{}=,_+.0-9xztrRTé]",
        "[0-9]{1,6}",
        any::<char>().prop_map(String::from),
    ];
    (
        prop_oneof![Just(""), Just("netmap:"), Just("vale0:"), Just("vale")],
        prop::collection::vec(piece, 0..12),
    )
        .prop_map(|(prefix, pieces)| prefix.to_owned() + &pieces.concat())
}

/// A name from its parts, each at any length the kernel takes.
fn any_name() -> impl Strategy<Value = PortName> {
    let pipe =
        prop::option::of((prop_oneof![Just(PipeRole::Master), Just(PipeRole::Slave)], "[a-zA-Z0-9_]{1,20}"));
    let name = prop_oneof![
        ("vale[a-zA-Z0-9_]{0,11}", "[a-zA-Z0-9_.+!é]{1,7}").prop_map(|(s, p)| PortName::vale(&s, &p)),
        "[a-u][a-zA-Z0-9_.+!é]{0,20}".prop_map(|p| PortName::netmap(&p)),
    ];
    (name, pipe).prop_map(|(name, pipe)| {
        let name = name.unwrap();
        match pipe {
            Some((role, id)) => name.with_pipe(role, &id).unwrap(),
            None => name,
        }
    })
}

fn any_mode() -> impl Strategy<Value = RegMode> {
    let ring = (0..=RingId::MAX).prop_map(|ring| RingId::new(ring).unwrap());
    prop_oneof![
        Just(RegMode::AllNic),
        Just(RegMode::Host),
        Just(RegMode::NicAndHost),
        ring.clone().prop_map(RegMode::OneHost),
        ring.prop_map(RegMode::OneNic),
    ]
}

fn any_flags() -> impl Strategy<Value = RegFlags> {
    any::<[bool; 6]>().prop_map(|[x, z, t, r, rx, tx]| RegFlags {
        exclusive: x,
        zcopy_monitor: z,
        monitor_tx: t,
        monitor_rx: r,
        rx_rings_only: rx,
        tx_rings_only: tx,
    })
}

fn any_conf() -> impl Strategy<Value = Conf> {
    // Small numbers, so that both directions often agree.
    (prop::array::uniform4(0u16..3), prop::array::uniform2(prop_oneof![0u32..3, any::<u32>()])).prop_map(
        |([tx_rings, rx_rings, host_tx_rings, host_rx_rings], [tx_slots, rx_slots])| Conf {
            tx_rings,
            rx_rings,
            host_tx_rings,
            host_rx_rings,
            tx_slots,
            rx_slots,
        },
    )
}

fn any_extmem() -> impl Strategy<Value = Extmem> {
    let pools = prop::array::uniform6(prop_oneof![Just(0), any::<u32>()]).prop_map(
        |[if_num, if_size, ring_num, ring_size, buf_num, buf_size]| Pools {
            if_num,
            if_size,
            ring_num,
            ring_size,
            buf_num,
            buf_size,
        },
    );
    prop_oneof![
        ("[^@\0]{1,20}").prop_map(|file| Extmem::new(&file, Pools::default()).unwrap()),
        ("[^@\0,]{1,20}", pools).prop_map(|(file, pools)| Extmem::new(&file, pools).unwrap()),
    ]
}

prop_compose! {
    fn any_spec()(
        name in any_name(),
        mode in any_mode(),
        flags in any_flags(),
        mem_id in any::<Option<NonZeroU16>>(),
        share in prop::option::of(any_name()),
        extmem in prop::option::of(any_extmem()),
        conf in any_conf(),
        offset in prop::option::of((any::<u64>(), 0u32..=64)),
    ) -> PortSpec {
        let offset = offset.map(|(initial, bits)| Offset { initial, bits });
        PortSpec { name, mode, flags, mem_id, share, extmem, conf, offset }
    }
}

/// What must hold of any string: no panic, a fault inside the string, and a canonical spelling
/// that means the same.
fn holds(spec: &str) -> Result<(), TestCaseError> {
    match spec.parse::<PortSpec>() {
        Ok(parsed) => {
            let canonical = parsed.to_string();
            let again = canonical.parse::<PortSpec>();
            prop_assert_eq!(again, Ok(parsed), "{}", canonical);
        }
        Err(PortSpecError::NotNetmap { .. }) => {
            prop_assert!(!spec.starts_with("netmap") && !spec.starts_with("vale"));
        }
        Err(error @ PortSpecError::Syntax { at, .. }) => {
            prop_assert!(spec.is_char_boundary(at), "{}: {}", spec, error);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_string_is_judged(spec in any::<String>()) {
        holds(&spec)?;
    }

    #[test]
    fn strings_that_look_right_are_judged(spec in pieces()) {
        holds(&spec)?;
    }

    #[test]
    fn every_spec_comes_back(spec in any_spec()) {
        prop_assert_eq!(spec.to_string().parse::<PortSpec>(), Ok(spec));
    }

    #[test]
    fn a_change_of_one_byte_is_judged(spec in any_spec(), at in any::<prop::sample::Index>(), byte in 0u8..128) {
        let mut bytes = spec.to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(spec) = String::from_utf8(bytes) {
            holds(&spec)?;
        }
    }
}

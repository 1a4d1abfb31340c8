//! Examples of everything the grammar has and of everything it has not.

use super::*;

fn parse(spec: &str) -> PortSpec {
    spec.parse().unwrap_or_else(|e| panic!("{e}"))
}

/// Where `spec` is wrong, and how.
fn fault(spec: &str) -> (usize, Problem) {
    match spec.parse::<PortSpec>() {
        Err(PortSpecError::Syntax { spec: told, at, problem }) => {
            assert_eq!(told, spec);
            (at, problem)
        }
        other => panic!("{spec}: {other:?}"),
    }
}

fn ring(ring: u16) -> RingId {
    RingId::new(ring).unwrap()
}

fn text(name: &[std::ffi::c_char]) -> String {
    name.iter().take_while(|c| **c != 0).map(|c| *c as u8 as char).collect()
}

#[test]
fn names() {
    for (spec, kernel, switch, port, pipe) in [
        ("netmap:eth0", "eth0", None, "eth0", None),
        ("netmap:eth0.100", "eth0.100", None, "eth0.100", None),
        ("vale0:1", "vale0:1", Some("vale0"), "1", None),
        ("vale:p", "vale:p", Some("vale"), "p", None),
        ("vale_a1:eth0", "vale_a1:eth0", Some("vale_a1"), "eth0", None),
        ("netmap:eth0{1", "eth0{1", None, "eth0", Some((PipeRole::Master, "1"))),
        ("netmap:eth0}p_1", "eth0}p_1", None, "eth0", Some((PipeRole::Slave, "p_1"))),
        ("vale0:1{x", "vale0:1{x", Some("vale0"), "1", Some((PipeRole::Master, "x"))),
    ] {
        let name: PortName = spec.parse().unwrap();
        assert_eq!(name.kernel_name(), kernel);
        assert_eq!(name.switch(), switch);
        assert_eq!(name.port(), port);
        assert_eq!(name.pipe().map(|p| (p.role, &*p.id)), pipe);
        assert_eq!(name.to_string(), spec);
        assert_eq!(text(&name.to_nr_name()), kernel);
        assert_eq!(parse(spec), PortSpec::new(name));
    }
    // One port, two spellings.
    assert_eq!(parse("netmap:vale0:1-2"), parse("vale0:1-2"));
}

#[test]
fn names_made_of_parts() {
    let port = PortName::vale("vale0", "1").unwrap();
    assert_eq!(port.to_string(), "vale0:1");
    assert_eq!(PortName::netmap("eth0").unwrap().to_string(), "netmap:eth0");
    let master = port.with_pipe(PipeRole::Master, "9").unwrap();
    assert_eq!(master.to_string(), "vale0:1{9");
    assert_eq!(master.with_pipe(PipeRole::Master.peer(), "9").unwrap().to_string(), "vale0:1}9");
    // Parts that would change the meaning of the whole are no parts.
    for wrong in [
        PortName::vale("eth0", "1"),
        PortName::vale("vale0", "1-2"),
        PortName::vale("vale0:1", "2"),
        PortName::vale("vale0", ""),
        PortName::netmap("eth0@1"),
        port.with_pipe(PipeRole::Slave, "a-b"),
        port.with_pipe(PipeRole::Slave, ""),
    ] {
        assert!(wrong.is_err(), "{wrong:?}");
    }
}

#[test]
fn modes() {
    for (suffix, mode, nr_mode, nr_ringid) in [
        ("", RegMode::AllNic, 1, 0),
        ("^", RegMode::Host, 2, 0),
        ("*", RegMode::NicAndHost, 3, 0),
        ("-0", RegMode::OneNic(ring(0)), 4, 0),
        ("-7", RegMode::OneNic(ring(7)), 4, 7),
        ("-4094", RegMode::OneNic(ring(4094)), 4, 4094),
        ("^0", RegMode::OneHost(ring(0)), 8, 0),
        ("^15", RegMode::OneHost(ring(15)), 8, 15),
    ] {
        for port in ["netmap:eth0", "vale0:1", "netmap:eth0{1", "vale0:1}1"] {
            let spec = format!("{port}{suffix}");
            let parsed = parse(&spec);
            assert_eq!((parsed.mode, parsed.to_string()), (mode, spec));
            let (_, register) = parsed.to_register();
            assert_eq!((register.nr_mode, register.nr_ringid), (nr_mode, nr_ringid));
        }
    }
    assert_eq!(parse("netmap:eth0-007"), parse("netmap:eth0-7"));
}

#[test]
fn flags() {
    for (letters, bits) in [
        ("x", 0x800),
        ("z", 0x400),
        ("t", 0x100),
        ("r", 0x200),
        ("R", 0x2000),
        ("T", 0x4000),
        ("xztrRT", 0x6f00),
        ("zt", 0x500),
    ] {
        for mode in ["", "-3", "^", "*", "^2"] {
            let spec = format!("netmap:eth0{mode}/{letters}");
            assert_eq!(parse(&spec).to_register().1.nr_flags, bits, "{spec}");
            assert_eq!(parse(&spec).to_string(), spec);
        }
    }
    assert_eq!(parse("vale0:1/RxRx").to_string(), "vale0:1/xR");
    assert_eq!(parse("vale0:1/t@3/r").to_string(), "vale0:1/tr@3");
    assert_eq!(parse("vale0:1/@3").to_string(), "vale0:1@3");
    assert_eq!(parse("vale0:1/@conf:slots=9").to_string(), "vale0:1@conf:slots=9");
}

#[test]
fn memory_ids() {
    for (spec, canonical, id) in [
        ("netmap:eth0@1", "netmap:eth0@1", 1),
        ("netmap:eth0-1/x@2", "netmap:eth0-1/x@2", 2),
        ("netmap:eth0@2/x", "netmap:eth0/x@2", 2),
        ("netmap:eth0*@65535", "netmap:eth0*@65535", 65535),
        ("netmap:eth0@2@2", "netmap:eth0@2", 2),
        ("netmap:eth0@2@conf:rings=1", "netmap:eth0@2@conf:rings=1", 2),
    ] {
        let parsed = parse(spec);
        assert_eq!(parsed.to_string(), canonical);
        assert_eq!(parsed.to_register().1.nr_mem_id, id);
    }
    assert_eq!(parse("netmap:eth0").to_register().1.nr_mem_id, 0);
}

#[test]
fn conf() {
    for (keys, canonical, expected) in [
        ("rings=2", "rings=2", [2, 2, 0, 0, 0, 0]),
        ("tx-rings=2,rx_rings=3", "tx-rings=2,rx-rings=3", [2, 3, 0, 0, 0, 0]),
        ("tx-rings=1,rings=4", "tx-rings=1,rx-rings=4", [1, 4, 0, 0, 0, 0]),
        ("rings=4,tx-rings=0", "rx-rings=4", [0, 4, 0, 0, 0, 0]),
        ("host-rings=2,host_rx-rings=1", "host-tx-rings=2,host-rx-rings=1", [0, 0, 2, 1, 0, 0]),
        ("host-tx-rings=3,host-rx-rings=3", "host-rings=3", [0, 0, 3, 3, 0, 0]),
        ("rx-slots=512,slots=1024,rings=8", "rings=8,tx-slots=1024,rx-slots=512", [8, 8, 0, 0, 1024, 512]),
        ("tx_slots=4294967295", "tx-slots=4294967295", [0, 0, 0, 0, u32::MAX, 0]),
    ] {
        let parsed = parse(&format!("vale0:1@conf:{keys}"));
        let r = parsed.to_register().1;
        let counts = [r.nr_tx_rings, r.nr_rx_rings, r.nr_host_tx_rings, r.nr_host_rx_rings].map(u32::from);
        assert_eq!(counts, expected[..4], "{keys}");
        assert_eq!([r.nr_tx_slots, r.nr_rx_slots], expected[4..], "{keys}");
        assert_eq!(parsed.to_string(), format!("vale0:1@conf:{canonical}"));
    }
    assert_eq!(parse("vale0:1@conf=4"), parse("vale0:1@conf:rings=4"));
    assert_eq!(parse("vale0:1@conf:rings=4@conf:tx-rings=2,slots=8").to_string(), {
        "vale0:1@conf:tx-rings=2,rx-rings=4,slots=8"
    });
    assert_eq!(parse("vale0:1@conf:rings=0").to_string(), "vale0:1");
}

#[test]
fn share_extmem_and_offset() {
    let parsed = parse("netmap:eth0@share=vale0:1}9");
    assert_eq!(parsed.share.as_ref().unwrap().kernel_name(), "vale0:1}9");
    assert_eq!(parsed, parse("netmap:eth0@share:port=vale0:1}9"));
    assert_eq!(parsed.to_string(), "netmap:eth0@share=vale0:1}9");

    let parsed = parse("vale0:1@extmem=/dev/huge,pages:a=b");
    assert_eq!(parsed.extmem.as_ref().unwrap().file(), "/dev/huge,pages:a=b");
    assert_eq!(parsed.to_string(), "vale0:1@extmem=/dev/huge,pages:a=b");
    assert_eq!(parse("vale0:1@extmem:file=/f"), parse("vale0:1@extmem=/f"));

    let spec = "vale0:1@extmem:file=/f,if-num=1,if-size=2,ring-num=3,ring-size=4,buf-num=5,buf-size=6";
    let parsed = parse(spec);
    assert_eq!(parsed.to_string(), spec);
    let info = parsed.extmem.unwrap().to_pools_info(4096);
    let objects = [info.nr_if_pool_objtotal, info.nr_ring_pool_objtotal, info.nr_buf_pool_objtotal];
    let sizes = [info.nr_if_pool_objsize, info.nr_ring_pool_objsize, info.nr_buf_pool_objsize];
    assert_eq!((info.nr_memsize, objects, sizes), (4096, [1, 3, 5], [2, 4, 6]));
    assert_eq!(parse("vale0:1@extmem:buf_num=7,file=/f").to_string(), "vale0:1@extmem:file=/f,buf-num=7");

    let parsed = parse("netmap:eth0@offset=64");
    assert_eq!(parsed.to_string(), "netmap:eth0@offset=64");
    let option = parsed.offset.unwrap().to_option();
    assert_eq!((option.nro_opt.nro_reqtype, option.nro_opt.nro_size), (sys::NETMAP_REQ_OPT_OFFSETS, 0));
    assert_eq!((option.nro_initial_offset, option.nro_max_offset, option.nro_offset_bits), (64, 64, 0));
    let parsed = parse("netmap:eth0@offset:bits=16,initial=128");
    assert_eq!(parsed.offset, Some(Offset { initial: 128, bits: 16 }));
    assert_eq!(parsed.to_string(), "netmap:eth0@offset:initial=128,bits=16");

    let all = "netmap:eth0{1-2/xR@3@share=vale0:1@extmem=/f@conf:slots=9@offset=8";
    assert_eq!(parse(all).to_string(), all);
    assert_eq!(text(&parse(all).to_register().0), "eth0{1");
}

#[test]
fn files_that_cannot_be_written() {
    let pools = Pools { buf_num: 1, ..Pools::default() };
    assert!(Extmem::new("/a,b", Pools::default()).is_ok());
    for (file, pools) in
        [("/a,b", pools), ("", Pools::default()), ("/a@b", Pools::default()), ("/a\0", Pools::default())]
    {
        assert!(matches!(Extmem::new(file, pools), Err(Problem::ExtmemFile { .. })), "{file}");
    }
}

#[test]
fn other_drivers() {
    for spec in ["eth0", "packet:eth0", "Netmap:eth0", " netmap:eth0", "val", "net:map", "@2", "é"] {
        assert_eq!(spec.parse::<PortSpec>(), Err(PortSpecError::NotNetmap { spec: spec.into() }));
        assert_eq!(spec.parse::<PortName>(), Err(PortSpecError::NotNetmap { spec: spec.into() }));
    }
}

#[test]
fn faults_in_names() {
    assert_eq!(fault(""), (0, Problem::Empty));
    assert_eq!(fault("netmap"), (6, Problem::MissingColon { prefix: "netmap".into() }));
    assert_eq!(fault("vale0"), (5, Problem::MissingColon { prefix: "vale0".into() }));
    assert_eq!(fault("vale0-1"), (5, Problem::MissingColon { prefix: "vale0".into() }));
    assert_eq!(fault("netmap2:eth0"), (6, Problem::NetmapIdentifier { found: "2".into() }));
    assert_eq!(fault("vale-0:1"), (4, Problem::SwitchCharacter { found: '-' }));
    assert_eq!(fault("valeé:1"), (4, Problem::SwitchCharacter { found: 'é' }));
    assert_eq!(fault("netmap:vale.0:1"), (11, Problem::SwitchCharacter { found: '.' }));
    assert_eq!(fault("netmap:vale0"), (12, Problem::ValeWithoutPort { name: "vale0".into() }));
    assert_eq!(fault("netmap:"), (7, Problem::EmptyPort));
    assert_eq!(fault("netmap:-1"), (7, Problem::EmptyPort));
    assert_eq!(fault("netmap:{1"), (7, Problem::EmptyPort));
    assert_eq!(fault("vale0:"), (6, Problem::EmptyPort));
    assert_eq!(fault("vale0:@1"), (6, Problem::EmptyPort));
    assert_eq!(fault("netmap:eth 0"), (10, Problem::PortCharacter { found: ' ' }));
    assert_eq!(fault("netmap:eth0:1"), (11, Problem::PortCharacter { found: ':' }));
    assert_eq!(fault("vale0:1\0"), (7, Problem::PortCharacter { found: '\0' }));
    assert_eq!(fault("netmap:eth0{"), (12, Problem::EmptyPipe { bracket: '{' }));
    assert_eq!(fault("netmap:eth0}-1"), (12, Problem::EmptyPipe { bracket: '}' }));
    assert_eq!(fault("netmap:eth0{1}2"), (13, Problem::PipeCharacter { found: '}' }));
    assert_eq!(fault("vale0:1{a.b"), (9, Problem::PipeCharacter { found: '.' }));
}

#[test]
fn lengths() {
    let (fits, long) = ("a".repeat(15), "a".repeat(16));
    assert_eq!(parse(&format!("vale0:{fits}")).name.port(), fits);
    assert_eq!(fault(&format!("vale0:{long}")), (6, Problem::PortTooLong { name: long.clone() }));
    assert_eq!(fault(&format!("netmap:vale0:{long}")), (13, Problem::PortTooLong { name: long.clone() }));
    assert!(format!("vale{}:1", "b".repeat(11)).parse::<PortSpec>().is_ok());
    let switch = format!("vale{}", "b".repeat(12));
    assert_eq!(fault(&format!("{switch}:1")), (0, Problem::SwitchTooLong { name: switch }));
    let name = "e".repeat(63);
    assert_eq!(text(&parse(&format!("netmap:{name}")).to_register().0), name);
    assert_eq!(fault(&format!("netmap:{name}f")), (7, Problem::NameTooLong { name: format!("{name}f") }));
    // A pipe's name counts in the whole, not in the port's.
    assert!(format!("vale0:1{{{}", "p".repeat(55)).parse::<PortSpec>().is_ok());
    assert!(matches!(fault(&format!("vale0:1{{{}", "p".repeat(56))), (0, Problem::NameTooLong { .. })));
}

#[test]
fn faults_in_suffixes() {
    assert_eq!(fault("vale0:1-"), (8, Problem::RingMissing { found: None }));
    assert_eq!(fault("netmap:veth-a"), (12, Problem::RingMissing { found: Some('a') }));
    assert_eq!(fault("vale0:1-4095"), (8, Problem::RingRange { digits: "4095".into() }));
    assert_eq!(fault("vale0:1^99999"), (8, Problem::RingRange { digits: "99999".into() }));
    for (spec, at, found) in [
        ("vale0:1-1x", 9, 'x'),
        ("vale0:1*1", 8, '1'),
        ("vale0:1^*", 8, '*'),
        ("vale0:1@2-1", 9, '-'),
        ("vale0:1^é", 8, 'é'),
    ] {
        let (byte, problem) = fault(spec);
        assert_eq!(byte, at, "{spec}");
        assert!(matches!(problem, Problem::Unexpected { found: f, .. } if f == found), "{spec}: {problem:?}");
    }
    assert_eq!(fault("vale0:1/"), (8, Problem::MissingFlags));
    assert_eq!(fault("vale0:1/xq"), (9, Problem::UnknownFlag { found: 'q' }));
    assert_eq!(fault("vale0:1/x/z"), (9, Problem::UnknownFlag { found: '/' }));
    assert_eq!(fault("vale0:1@"), (8, Problem::MissingMemId));
    assert_eq!(fault("vale0:1@2@"), (10, Problem::MissingMemId));
    assert_eq!(fault("vale0:1@0"), (8, Problem::MemIdRange { digits: "0".into() }));
    assert_eq!(fault("vale0:1@65536"), (8, Problem::MemIdRange { digits: "65536".into() }));
    assert_eq!(fault("vale0:1@1@2"), (10, Problem::MemIdConflict { first: 1, second: 2 }));
}

#[test]
fn faults_in_options() {
    assert_eq!(fault("vale0:1@@conf=1"), (8, Problem::MissingMemId));
    assert_eq!(fault("vale0:1@conf=1@"), (15, Problem::MissingMemId));
    assert_eq!(fault("vale0:1@config:rings=1"), (8, Problem::UnknownOption { name: "config".into() }));
    // Behind an option even a number is an option.
    assert_eq!(fault("vale0:1@conf=1@2"), (15, Problem::UnknownOption { name: "2".into() }));
    for (spec, at, option) in [
        ("vale0:1@conf", 12, "conf"),
        ("vale0:1@share", 13, "share"),
        ("vale0:1@extmem=", 15, "extmem"),
        ("vale0:1@offset", 14, "offset"),
    ] {
        let (byte, problem) = fault(spec);
        assert_eq!(byte, at, "{spec}");
        assert!(
            matches!(problem, Problem::MissingBody { option: o, .. } if o == option),
            "{spec}: {problem:?}"
        );
    }
    for (spec, at, option) in [
        ("vale0:1@extmem=/a@extmem=/b", 18, "extmem"),
        ("vale0:1@share=vale0:2@share=vale0:3", 22, "share"),
        ("vale0:1@offset=1@offset=2", 17, "offset"),
    ] {
        assert_eq!(fault(spec), (at, Problem::DuplicateOption { option }));
    }
    let known = "initial, bits";
    assert_eq!(fault("vale0:1@offset:initial=1,bit=2"), {
        (25, Problem::UnknownKey { option: "offset", key: "bit".into(), known })
    });
    assert!(matches!(fault("vale0:1@conf:-rings=2"), (13, Problem::UnknownKey { .. })));
    assert_eq!(fault("vale0:1@offset:"), (15, Problem::EmptyKey { option: "offset", known }));
    assert!(matches!(fault("vale0:1@conf:rings=1,"), (21, Problem::EmptyKey { .. })));
    assert_eq!(fault("vale0:1@conf:tx-rings=1,tx_rings=1"), {
        (24, Problem::DuplicateKey { option: "conf", key: "tx-rings".into() })
    });
    for spec in ["vale0:1@conf:rings", "vale0:1@conf:rings="] {
        let missing = Problem::MissingValue { option: "conf", key: "rings".into() };
        assert_eq!(fault(spec), (spec.len(), missing));
    }
    assert_eq!(
        fault("vale0:1@extmem:buf-num=1"),
        (14, Problem::MissingKey { option: "extmem", key: "file" })
    );
    assert_eq!(
        fault("vale0:1@offset:bits=1"),
        (14, Problem::MissingKey { option: "offset", key: "initial" })
    );
    for (spec, at, key, value, max) in [
        ("vale0:1@conf:rings=two", 19, "rings", "two", 65535),
        ("vale0:1@conf:rings=65536", 19, "rings", "65536", 65535),
        ("vale0:1@conf:slots=-1", 19, "slots", "-1", 4294967295),
        ("vale0:1@conf:tx-slots=4294967296", 22, "tx-slots", "4294967296", 4294967295),
        ("vale0:1@conf=+1", 13, "rings", "+1", 65535),
        ("vale0:1@offset:initial=1,bits=65", 30, "bits", "65", 64),
        ("vale0:1@offset=18446744073709551616", 15, "initial", "18446744073709551616", u64::MAX),
    ] {
        assert_eq!(fault(spec), (at, Problem::Number { key: key.into(), value: value.into(), max }));
    }
    assert_eq!(fault("vale0:1@share=eth0"), (14, Problem::ShareNotNetmap { value: "eth0".into() }));
    assert_eq!(fault("vale0:1@share=netmap:eth0-1"), (25, Problem::ShareSuffix { rest: "-1".into() }));
    assert_eq!(fault("vale0:1@share=vale0"), (19, Problem::MissingColon { prefix: "vale0".into() }));
    assert!(matches!(fault("vale0:1@extmem=/a\0b"), (15, Problem::ExtmemFile { .. })));
}

#[test]
fn a_name_alone_takes_no_suffix() {
    for spec in ["vale0:1-2", "netmap:eth0^", "vale0:1@2", "netmap:eth0/x"] {
        let wrong = spec.parse::<PortName>();
        assert!(matches!(wrong, Err(PortSpecError::Syntax { problem: Problem::Unexpected { .. }, .. })));
    }
}

#[test]
fn errors_are_sentences() {
    let told = |spec: &str| spec.parse::<PortSpec>().unwrap_err().to_string();
    assert_eq!(
        told("vale0:1-4095"),
        "port specification `vale0:1-4095`, byte 8: ring pair 4095 does not exist: numbers go from 0 to 4094"
    );
    assert_eq!(
        told("vale0:1-"),
        "port specification `vale0:1-`, byte 8: the end after `-`, which takes the number of a ring pair; an \
         interface with `-` in its name cannot be named here: give it another name"
    );
    assert_eq!(
        told("packet:eth0"),
        "`packet:eth0` is not a netmap port: those are written `netmap:eth0` or `vale0:1`"
    );
    assert_eq!(
        told("vale0123456789ab:1"),
        "port specification `vale0123456789ab:1`, byte 0: the switch's name `vale0123456789ab` has 16 bytes, \
         more than the 15 that netmap allows"
    );
}

#[test]
fn serde_uses_the_spelling() {
    // serde's own value deserializer stands for a format.
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, StringDeserializer};
    let read = |s: &str| {
        let source: StringDeserializer<Error> = s.to_owned().into_deserializer();
        PortSpec::deserialize(source)
    };
    assert_eq!(read("vale0:1-2").unwrap(), parse("vale0:1-2"));
    assert!(read("vale0").unwrap_err().to_string().contains("byte 5"));
}

//! The control API's error paths: what makes no sense is refused, with the right errno, and harms nothing.

use std::sync::Arc;

use netmap_rs::kernel::{Body, CsbArrays, Opt, Register, Request};
use netmap_rs::sys::{
    NETMAP_REQ_OPT_MAX, NETMAP_REQ_PORT_INFO_GET, NETMAP_REQ_REGISTER, NETMAP_REQ_SYNC_KLOOP_START,
    NETMAP_REQ_VALE_DELIF, NR_EXCLUSIVE,
};
use rustix::io::Errno;

use crate::ci::Check;
use crate::ci::check::{Done, Env, holds, same};
use crate::ci::world::*;

pub(in crate::ci) const CHECKS: &[Check] = &[
    Check::new("api.version", "Requests of API versions 14 and 15 are taken, others get EINVAL", version),
    Check::new("api.request-type", "A request of no known type gets EINVAL", request_type),
    Check::new("api.body", "A request with a body too many or too few gets EINVAL", body),
    Check::new("api.mode", "A registration in no known mode gets EINVAL", mode),
    Check::new("api.name-missing", "Asking for an interface that does not exist gets ENXIO", name_missing),
    Check::new(
        "api.name-unterminated",
        "A name that fills its field without an end is refused",
        name_endless,
    ),
    Check::new(
        "api.option-unknown",
        "An option of no known type gets EOPNOTSUPP in its status",
        option_unknown,
    ),
    Check::new("api.option-twice", "An option given twice gets EINVAL in both", option_twice),
    Check::new("api.option-endless", "A list of options that goes in circles is refused", option_endless),
    Check::new(
        "api.option-misplaced",
        "An option that its request does not take is refused",
        option_misplaced,
    ),
    Check::new("api.options-together", "CSB mode and offsets are taken in one registration", option_together),
    Check::new("api.option-values", "Offsets that no buffer can hold are refused with EINVAL", option_values),
    Check::new("api.descriptor", "A descriptor that has a port refuses a second one with EBUSY", descriptor),
    Check::new("api.unbound", "A kloop without a port gets ENXIO, without CSB mode EINVAL", unbound),
    Check::new("api.header-length", "Virtio-net headers have 0, 10 or 12 bytes and must be accepted", header),
    Check::new(
        "api.refusals-leave-nothing",
        "Registrations that are refused late leave no port behind",
        leaves,
    ),
];

const NO_NAME: [std::ffi::c_char; 64] = [0; 64];

fn version(_: &Env) -> Done {
    let control = control()?;
    let ask = |version| {
        let field = name("valeci:version")?.to_nr_name();
        let mut request = Request::new(NETMAP_REQ_PORT_INFO_GET, field, Body::PortInfo(Default::default()));
        request.version = version;
        Ok::<_, crate::ci::Stop>(control.perform(&mut request))
    };
    for good in [14, 15] {
        answers(&format!("version {good}"), ask(good)?, Ok(()))?;
    }
    for bad in [0, 1, 13, 16, u16::MAX] {
        answers(&format!("version {bad}"), ask(bad)?, Err(Errno::INVAL))?;
    }
    Ok(())
}

fn request_type(_: &Env) -> Done {
    let control = control()?;
    for reqtype in [0, 16, 17, 999, u16::MAX] {
        let seen = control.perform(&mut Request::new(reqtype, NO_NAME, Body::None));
        answers(&format!("request type {reqtype}"), seen, Err(Errno::INVAL))?;
    }
    Ok(())
}

fn body(_: &Env) -> Done {
    let control = control()?;
    let register = Body::Register(Default::default());
    let seen = control.perform(&mut Request::new(NETMAP_REQ_VALE_DELIF, NO_NAME, register));
    answers("a body that delif does not have", seen, Err(Errno::INVAL))?;
    let seen = control.perform(&mut Request::new(NETMAP_REQ_REGISTER, NO_NAME, Body::None));
    answers("a registration without a body", seen, Err(Errno::INVAL))
}

fn mode(_: &Env) -> Done {
    let control = control()?;
    for mode in [0, 9, u32::MAX] {
        let (field, mut body) = spec("valeci:mode")?.to_register();
        body.nr_mode = mode;
        let seen = control.perform(&mut Request::new(NETMAP_REQ_REGISTER, field, Body::Register(body)));
        answers(&format!("mode {mode}"), seen, Err(Errno::INVAL))?;
    }
    same("ports left", our_ports()?, vec![])
}

fn name_missing(_: &Env) -> Done {
    let control = control()?;
    let missing = Register::new(spec("netmap:nmcinone0")?);
    refused("registering nmcinone0", crate::ci::world::control()?.register(&missing), &[Errno::NXIO])?;
    refused("port info of nmcinone0", control.port_info(&name("netmap:nmcinone0")?), &[Errno::NXIO])?;
    refused("pools of nmcinone0", control.pools_info(&name("netmap:nmcinone0")?, None), &[Errno::NXIO])?;
    Ok(())
}

fn name_endless(_: &Env) -> Done {
    let control = control()?;
    for start in ["vale", "valeci:", "nmci", ""] {
        let mut field = [b'x' as std::ffi::c_char; 64];
        for (to, from) in field.iter_mut().zip(start.bytes()) {
            *to = from as std::ffi::c_char;
        }
        let (_, body) = spec("valeci:name")?.to_register();
        let seen = control.perform(&mut Request::new(NETMAP_REQ_REGISTER, field, Body::Register(body)));
        // A kernel that cuts it and takes the rest has at least not read on; the descriptor then has a port.
        if seen.is_ok() {
            let ports = our_ports()?;
            holds("the name was cut to its field", ports.iter().all(|name| name.len() < 64))?;
            return Ok(());
        }
    }
    Ok(())
}

/// Registers `valeci:opt` for exclusive use with these options; errno and statuses.
fn options(options: Vec<Opt>, endless: bool) -> Result<(Result<(), Errno>, Vec<u32>), crate::ci::Stop> {
    let (field, mut body) = spec("valeci:opt")?.to_register();
    body.nr_flags |= NR_EXCLUSIVE;
    let mut request = Request::new(NETMAP_REQ_REGISTER, field, Body::Register(body)).with_options(options);
    request.endless = endless;
    let answer = control()?.perform(&mut request);
    Ok((answer, request.statuses))
}

const UNSUPPORTED: u32 = Errno::OPNOTSUPP.raw_os_error() as u32;
const INVALID: u32 = Errno::INVAL.raw_os_error() as u32;

fn option_unknown(_: &Env) -> Done {
    let seen = options(vec![Opt::Empty { reqtype: 1234, size: 0 }], false)?;
    same("an option of type 1234", seen, (Err(Errno::OPNOTSUPP), vec![UNSUPPORTED]))?;
    let seen = options(vec![Opt::Empty { reqtype: 0, size: 0 }], false)?;
    same("an option of type 0", seen, (Err(Errno::INVAL), vec![INVALID]))?;
    same("no option", options(vec![], false)?, (Ok(()), vec![]))
}

fn option_twice(_: &Env) -> Done {
    let offsets = || Opt::Offsets(Default::default());
    let seen = options(vec![offsets(), offsets()], false)?;
    same("offsets twice", seen, (Err(Errno::INVAL), vec![INVALID, INVALID]))
}

fn option_endless(_: &Env) -> Done {
    let (answer, _) = options(vec![Opt::Empty { reqtype: NETMAP_REQ_OPT_MAX + 1, size: 0 }], true)?;
    answers("an unknown option that follows itself", answer, Err(Errno::MSGSIZE))?;
    let (answer, _) = options(vec![Opt::Offsets(Default::default())], true)?;
    answers("offsets that follow themselves", answer, Err(Errno::INVAL))
}

fn option_misplaced(_: &Env) -> Done {
    let seen = options(vec![Opt::KloopMode(0)], false)?;
    same("a kloop mode on a registration", seen, (Err(Errno::OPNOTSUPP), vec![UNSUPPORTED]))
}

fn option_together(_: &Env) -> Done {
    let csb = Arc::new(CsbArrays::new()?);
    let seen = options(vec![Opt::Csb(csb), Opt::Offsets(Default::default())], false)?;
    same("CSB mode and offsets", seen, (Ok(()), vec![0, 0]))
}

fn option_values(_: &Env) -> Done {
    use netmap_rs::kernel::Offsets;
    for (what, offsets) in [
        ("an offset beyond the buffer", Offsets { max: 1 << 20, initial: 0, bits: 0, tx_align: 0 }),
        ("a first offset above the largest", Offsets { max: 64, initial: 128, bits: 0, tx_align: 0 }),
        ("an offset that its bits do not hold", Offsets { max: 256, initial: 0, bits: 4, tx_align: 0 }),
    ] {
        let register = Register::new(spec("valeci:opt")?).offsets(offsets);
        refused(what, control()?.register(&register), &[Errno::INVAL])?;
    }
    Ok(())
}

fn descriptor(_: &Env) -> Done {
    let registration = control()?.register(&Register::new(spec("valeci:one")?))?;
    let (field, body) = spec("valeci:two")?.to_register();
    let mut second = Request::new(NETMAP_REQ_REGISTER, field, Body::Register(body));
    answers("a second registration", registration.control().perform(&mut second), Err(Errno::BUSY))?;
    same("ports", our_ports()?, vec!["valeci:one".to_owned()])
}

fn unbound(_: &Env) -> Done {
    let start = || Request::new(NETMAP_REQ_SYNC_KLOOP_START, NO_NAME, Body::KloopStart(Default::default()));
    answers("a kloop without a port", control()?.perform(&mut start()), Err(Errno::NXIO))?;
    let registration = control()?.register(&Register::new(spec("valeci:k")?))?;
    let seen = registration.control().perform(&mut start());
    answers("a kloop without CSB mode", seen, Err(Errno::INVAL))
}

fn header(_: &Env) -> Done {
    let control = control()?;
    let this = name("valeci:hdr")?;
    let _port = open("valeci:hdr")?;
    for len in [12, 0, 10] {
        control.set_port_header(&this, len)?;
        same("the header's length", control.port_header(&this)?, len)?;
    }
    refused("a header of 11 bytes", control.set_port_header(&this, 11), &[Errno::INVAL])?;
    let nobody = control.set_port_header(&name("valeci:none")?, 12);
    refused("a header for a port that does not exist", nobody, &[Errno::NXIO])?;
    let plain = Register::new(spec("valeci:hdr")?);
    let unaware = crate::ci::world::control()?.register(&plain);
    refused("a user that knows no header", unaware, &[Errno::IO])?;
    crate::ci::world::control()?.register(&plain.accept_vnet_hdr(true))?;
    Ok(())
}

fn leaves(_: &Env) -> Done {
    // Rings are asked for that do not exist, after the port has been made.
    let _stays = open("valeci:stays")?;
    for _ in 0..60 {
        let absent = Register::new(spec("valeci:gone-5")?);
        refused("ring pair 5 of a port with one", control()?.register(&absent), &[Errno::INVAL])?;
    }
    same("ports", our_ports()?, vec!["valeci:stays".to_owned()])?;
    drop(open("valeci:gone")?);
    Ok(())
}

//! Persistent VALE ports: made, attached, listed, opened, detached, deleted.

use std::path::Path;

use netmap_rs::kernel::{Control, NewPort};
use rustix::io::Errno;

use crate::ci::Check;
use crate::ci::check::{Done, Env, Stop, holds, same};
use crate::ci::world::*;

pub(in crate::ci) const CHECKS: &[Check] = &[
    Check::new("persistent.life", "A persistent port is made, attached, listed, detached and deleted", life),
    Check::new("persistent.names", "Names that are taken, too long or VALE's own are refused", names),
    Check::new("persistent.sizes", "A persistent port has the rings and slots that it was asked for", sizes),
    Check::new("persistent.busy", "A persistent port that is attached cannot be deleted", busy),
    Check::new("persistent.many", "Fifty persistent ports come and go, attached to two switches", many),
];

/// Last, since a module with the defect keeps the port and its switch for good.
pub(in crate::ci) const LAST: &[Check] = &[Check::new(
    "persistent.name-after-open",
    "A persistent port that was opened on its switch still has its name there",
    name_after_open,
)];

/// A switch that a defective module does not give back: always the same one.
const LOST_SWITCH: &str = "valeci882";

/// A persistent port that is removed when this is dropped.
struct Made<'a> {
    control: &'a Control,
    interface: String,
    attached: Option<String>,
}

impl<'a> Made<'a> {
    fn new(control: &'a Control, interface: &str, wanted: &NewPort) -> Result<(Made<'a>, NewPort), Stop> {
        let got = control.vale_newif(&name(&format!("netmap:{interface}"))?, wanted)?;
        Ok((Made { control, interface: interface.to_owned(), attached: None }, got))
    }

    fn attach(&mut self, switch: &str) -> Result<u32, Stop> {
        let whole = format!("{switch}:{}", self.interface);
        let index = self.control.vale_attach(&name(&whole)?, false, None)?;
        self.attached = Some(whole);
        Ok(index)
    }

    fn detach(&mut self) -> Result<u32, Stop> {
        let whole = self.attached.take().unwrap_or_default();
        Ok(self.control.vale_detach(&name(&whole)?)?)
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        // A port that has gone already is no matter here; one that stays the runner finds and names.
        if let Some(Ok(whole)) = self.attached.take().map(|whole| whole.parse()) {
            let _ = self.control.vale_detach(&whole);
        }
        if let Ok(port) = format!("netmap:{}", self.interface).parse() {
            let _ = self.control.vale_delif(&port);
        }
    }
}

fn exists(interface: &str) -> bool {
    Path::new("/sys/class/net").join(interface).exists()
}

fn life(_: &Env) -> Done {
    let control = control()?;
    let (mut made, _) = Made::new(&control, "nmcilife", &NewPort::default())?;
    holds("the system has an interface of its name", exists("nmcilife"))?;
    let index = made.attach("valeci")?;
    let found = control.vale_find(&name("valeci:nmcilife")?)?;
    same("its index on the switch", found.map(|f| f.port_idx), Some(index))?;
    same("ports listed", our_ports()?, vec!["valeci:nmcilife".to_owned()])?;
    let again = control.vale_attach(&name("valeci:nmcilife")?, false, None);
    refused("attaching it twice", again, &[Errno::BUSY])?;
    same("index told when it is detached", made.detach()?, index)?;
    let again = control.vale_detach(&name("valeci:nmcilife")?);
    refused("detaching it twice", again, &[Errno::NXIO])?;
    same("ports listed afterwards", our_ports()?, vec![])?;
    made.attach("valeci2")?;
    made.detach()?;
    control.vale_delif(&name("netmap:nmcilife")?)?;
    holds("its interface is gone", !exists("nmcilife"))?;
    refused("deleting it twice", control.vale_delif(&name("netmap:nmcilife")?), &[Errno::NXIO])?;
    Ok(())
}

fn names(_: &Env) -> Done {
    let control = control()?;
    let wanted = NewPort::default();
    let (_made, _) = Made::new(&control, "nmcinames", &wanted)?;
    for (text, expected) in [
        ("netmap:nmcinames", vec![Errno::EXIST]),
        ("netmap:lo", vec![Errno::EXIST]),
        ("netmap:nmciaverylongname", vec![Errno::INVAL]),
        ("valeci:nmci", vec![Errno::INVAL]),
    ] {
        refused(&format!("making {text}"), control.vale_newif(&name(text)?, &wanted), &expected)?;
    }
    refused("deleting lo", control.vale_delif(&name("netmap:lo")?), &[Errno::INVAL])?;
    holds("lo is still there", exists("lo"))
}

fn sizes(_: &Env) -> Done {
    let control = control()?;
    let wanted = NewPort { tx_slots: 128, rx_slots: 256, tx_rings: 2, ..NewPort::default() };
    let (_made, got) = Made::new(&control, "nmcisizes", &wanted)?;
    same("rings", (got.tx_rings, got.rx_rings), (2, 1))?;
    same("slots", (got.tx_slots, got.rx_slots), (128, 256))
}

fn busy(_: &Env) -> Done {
    let control = control()?;
    let (mut made, _) = Made::new(&control, "nmcibusy", &NewPort::default())?;
    made.attach("valeci")?;
    refused("deleting it", control.vale_delif(&name("netmap:nmcibusy")?), &[Errno::BUSY])?;
    let polling = control.polling_disable(&name("valeci:nmcibusy")?);
    refused("stopping to poll it", polling, &[Errno::OPNOTSUPP, Errno::FAULT])?;
    made.detach()?;
    Ok(())
}

fn many(_: &Env) -> Done {
    let control = control()?;
    let mut all = Vec::new();
    for i in 0..50 {
        let (mut made, _) = Made::new(&control, &format!("nmcim{i}"), &NewPort::default())?;
        made.attach(if i % 2 == 0 { "valeci" } else { "valeci2" })?;
        all.push(made);
    }
    same("ports listed", our_ports()?.len(), 50)?;
    drop(all);
    same("ports listed afterwards", our_ports()?, vec![])?;
    holds("no interface is left", (0..50).all(|i| !exists(&format!("nmcim{i}"))))
}

fn name_after_open(_: &Env) -> Done {
    let control = control()?;
    // A name of its own each time, as an earlier run's may still be there.
    let interface = format!("nmci{}", std::process::id());
    let whole = format!("{LOST_SWITCH}:{interface}");
    let (mut made, _) = Made::new(&control, &interface, &NewPort::default())?;
    made.attach(LOST_SWITCH)?;
    let index = control.vale_find(&name(&whole)?)?.map(|found| found.port_idx);
    holds("it is found before it is opened", index.is_some())?;
    {
        let mut port = open(&whole)?;
        let mut other = open(&format!("{LOST_SWITCH}:other"))?;
        pass(&mut other, &mut port, 1500)?;
        pass(&mut port, &mut other, 1500)?;
    }
    let listed: Result<Vec<_>, _> = control.vale_ports().collect();
    let listed: Vec<String> = listed?.into_iter().map(|port| port.name).collect();
    let found = control.vale_find(&name(&whole)?)?;
    if found.is_none() && !listed.contains(&whole) && listed.contains(&interface) {
        let what = format!(
            "expected {whole} to keep its name, and after it was opened the switch lists it as {interface}: it can \
             neither be found nor detached any more, and the module not be unloaded"
        );
        return Err(Stop::Known { issue: 882, what });
    }
    same("its index on the switch after it was opened", found.map(|f| f.port_idx), index)?;
    made.detach()?;
    Ok(control.vale_delif(&name(&format!("netmap:{interface}"))?)?)
}

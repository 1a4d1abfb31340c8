//! Opens a port by its name.

use super::super::switch::socket;
use crate::exit::{Exit, Fail};
use netmap_rs::portspec::{PortSpec, PortSpecError};
use pktgen::port::{Interest, Port, PortError, PortInfo, RxFrame, TxFrame};
use pktgen::ports::csb::CsbIo;
use pktgen::ports::packet::{Options, PacketPort};
use std::time::Duration;
use uvale::daemon::{self, DaemonError};

/// A port on a running switch; gone when dropped.
pub(super) struct UvalePort {
    io: CsbIo,
    /// The connection that keeps the port.
    link: daemon::Link,
}

/// A port of any kind that there is.
pub(super) enum AnyPort {
    /// On the embedded VALE.
    Uvale(UvalePort),
    /// A network interface of this host, by packet socket.
    Packet(PacketPort),
}

/// Opens the port called `name`; it comes with the Ethernet address to send from.
pub(super) fn open(name: &str) -> Result<(AnyPort, [u8; 6]), Fail> {
    let interface = match name.parse::<PortSpec>() {
        Ok(spec) => return open_switch_port(name, &spec),
        Err(PortSpecError::NotNetmap { .. }) => name.strip_prefix("packet:").unwrap_or(name),
        Err(e) => return Err(Fail::usage(e)),
    };
    let port =
        PacketPort::open(interface, Options::default()).map_err(|e| Fail::failed(e).with_exit(Exit::Host))?;
    let mac = port.info().mac.unwrap_or_else(|| made_up_mac(name));
    Ok((AnyPort::Packet(port), mac))
}

fn open_switch_port(name: &str, spec: &PortSpec) -> Result<(AnyPort, [u8; 6]), Fail> {
    let Some(switch) = spec.name.switch() else {
        let sentence = format!(
            "{name} is a port of the netmap kernel module, which this version does not open: \
             name a port of a running switch (vale0:1) or an interface (eth0)"
        );
        return Err(Fail::usage(sentence));
    };
    let plain = format!("{switch}:{}", spec.name.port());
    if spec.to_string() != plain {
        return Err(Fail::usage(format!(
            "a port of the embedded VALE has no rings to choose or flags: say {plain}"
        )));
    }
    let path = socket(switch)?;
    let remote = daemon::attach(&path, spec.name.port(), None).map_err(|e| match e {
        DaemonError::NotRunning { .. } => Fail::host(format!(
            "no switch called {switch} is running: start one with `vale-bench switch --name {switch}`"
        )),
        DaemonError::Refused { reason, .. } => {
            Fail::failed(anyhow::anyhow!("switch {switch} refused {name}: {reason}"))
        }
        e => Fail::failed(e),
    })?;
    let mac = made_up_mac(name);
    let (port, link) = remote.split();
    Ok((AnyPort::Uvale(UvalePort { io: CsbIo::new(port, name, "uvale", Some(mac)), link }), mac))
}

/// A locally administered address made from the port's name, the same each time.
fn made_up_mac(name: &str) -> [u8; 6] {
    // FNV-1a: spreads short names over all bits.
    let hash =
        name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let [a, b, c, d, e, ..] = hash.to_le_bytes();
    [0x02, a, b, c, d, e]
}

impl UvalePort {
    /// What failed is the port, or the whole switch behind it: of a switch that is killed the doorbell may end a
    /// moment before the connection does.
    #[cold]
    fn explain(&self, error: PortError) -> PortError {
        use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        let ended = error.source.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if !matches!(ended, Some(BrokenPipe | ConnectionReset | UnexpectedEof)) && self.link.alive() {
            return error;
        }
        let source = std::io::Error::new(BrokenPipe, "its switch is gone");
        PortError { port: self.io.info().name.clone(), operation: "go on with", source: source.into() }
    }
}

impl Port for UvalePort {
    fn info(&self) -> &PortInfo {
        self.io.info()
    }

    #[inline]
    fn tx_batch<F: FnMut(TxFrame<'_>) -> u16>(&mut self, max: u32, fill: F) -> Result<u32, PortError> {
        self.io.tx_batch(max, fill).map_err(|e| self.explain(e))
    }

    #[inline]
    fn rx_batch<F: FnMut(RxFrame<'_>)>(&mut self, max: u32, sink: F) -> Result<u32, PortError> {
        self.io.rx_batch(max, sink).map_err(|e| self.explain(e))
    }

    fn tx_pending(&mut self) -> Result<u32, PortError> {
        self.io.tx_pending().map_err(|e| self.explain(e))
    }

    /// Idle is when there is time to see whether the switch is still there.
    fn wait(&mut self, interest: Interest, timeout: Duration) -> Result<(), PortError> {
        let waited = if self.link.alive() { self.io.wait(interest, timeout) } else { Ok(()) };
        waited.map_err(|e| self.explain(e))?;
        if self.link.alive() {
            return Ok(());
        }
        let gone = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        Err(self.explain(PortError {
            port: self.io.info().name.clone(),
            operation: "wait for",
            source: gone.into(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_addresses_are_local_unicast_and_differ() {
        let macs: std::collections::HashSet<_> =
            (0..254).map(|i| made_up_mac(&format!("vale0:{i}"))).collect();
        assert_eq!(macs.len(), 254);
        assert!(macs.iter().all(|mac| mac[0] == 2));
    }

    #[test]
    fn what_cannot_be_opened_gets_a_sentence() {
        let message = |name: &str| match open(name) {
            Ok(_) => panic!("{name} was opened"),
            Err(fail) => (fail.exit(), fail.to_string()),
        };
        assert_eq!(message("netmap:eth0").0, Exit::Usage);
        assert!(message("vale_none:1").1.contains("vale-bench switch --name vale_none"));
        assert_eq!(message("vale_none:1").0, Exit::Host);
        assert_eq!(message("no-such-if").0, Exit::Host);
        assert_eq!(message("vale0:1/x").0, Exit::Usage);
    }
}

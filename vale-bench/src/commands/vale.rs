//! `vale`: manages the kernel's VALE switches.

use std::num::NonZeroU16;

use comfy_table::{Table, TableStyle};
use netmap_rs::kernel::{Control, KernelError, NewPort, Polling, ValePort};
use netmap_rs::portspec::PortName;
use rustix::io::Errno;
use serde_json::{Value, json};

use super::print;
use crate::cli::{ValeAction, ValeArgs, ValeFormat};
use crate::exit::{Exit, Fail};

/// Runs `vale`.
pub fn run(args: &ValeArgs) -> Result<(), Fail> {
    let control = Control::open().map_err(fail)?;
    let (json, text) = answer(&control, &args.action)?;
    let text = match args.format {
        ValeFormat::Json => serde_json::to_string_pretty(&json)?,
        ValeFormat::Table => text,
    };
    print(|out| if text.is_empty() { Ok(()) } else { writeln!(out, "{text}") })?;
    Ok(())
}

/// A refusal by the kernel with the exit code it stands for: what was named, what the host lacks, or neither.
fn fail(error: KernelError) -> Fail {
    let exit = match error.errno() {
        _ if error.is_host() => Exit::Host,
        Some(Errno::NXIO | Errno::NODEV | Errno::NOENT | Errno::EXIST | Errno::INVAL) => Exit::Usage,
        Some(Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP) => Exit::Host,
        _ => Exit::Failed,
    };
    Fail::failed(error).with_exit(exit)
}

fn answer(control: &Control, action: &ValeAction) -> Result<(Value, String), Fail> {
    Ok(match action {
        ValeAction::List { switch } => {
            let ports: Result<Vec<ValePort>, KernelError> = control.vale_ports().collect();
            let mut ports = ports.map_err(fail)?;
            ports.retain(|port| switch.as_deref().is_none_or(|switch| port.switch() == switch));
            (ports.iter().map(port_json).collect(), ports_table(&ports))
        }
        ValeAction::Attach { port, host, region } => {
            let index = control.vale_attach(port, *host, *region).map_err(fail)?;
            let json = json!({ "port": port.to_string(), "port_idx": index, "host": host });
            (json, format!("{port} is port {index} of its switch"))
        }
        ValeAction::Detach { port } => {
            let index = control.vale_detach(port).map_err(fail)?;
            (json!({ "port": port.to_string(), "port_idx": index }), format!("{port} was port {index}"))
        }
        ValeAction::Create { port, slots, rings, region } => {
            let wanted = NewPort {
                tx_rings: *rings,
                rx_rings: *rings,
                tx_slots: *slots,
                rx_slots: *slots,
                region: *region,
            };
            let got = control.vale_newif(port, &wanted).map_err(fail)?;
            let region = got.region.map(NonZeroU16::get);
            let json = json!({
                "port": port.to_string(), "tx_rings": got.tx_rings, "rx_rings": got.rx_rings,
                "tx_slots": got.tx_slots, "rx_slots": got.rx_slots, "region": region,
            });
            let text = format!(
                "{port} has {} transmit and {} receive rings of {} and {} slots",
                got.tx_rings, got.rx_rings, got.tx_slots, got.rx_slots
            );
            (json, text)
        }
        ValeAction::Delete { port } => {
            control.vale_delif(port).map_err(fail)?;
            (json!({ "port": port.to_string() }), String::new())
        }
        ValeAction::Poll { port, off: true, .. } => {
            control.polling_disable(port).map_err(fail)?;
            (json!({ "port": port.to_string(), "polling": false }), String::new())
        }
        ValeAction::Poll { port, cpu, cpus, off: false } => {
            let polling = match cpus {
                1 => Polling::Single { cpu: *cpu },
                cpus => Polling::Multi { first: *cpu, cpus: *cpus },
            };
            control.polling_enable(port, polling).map_err(fail)?;
            (json!({ "port": port.to_string(), "polling": true }), String::new())
        }
        ValeAction::Info { port } => info(control, port)?,
    })
}

fn port_json(port: &ValePort) -> Value {
    json!({
        "name": port.name, "switch": port.switch(),
        "switch_idx": port.switch_idx, "port_idx": port.port_idx,
    })
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(TableStyle::new()).set_header(header).force_no_tty();
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

fn ports_table(ports: &[ValePort]) -> String {
    if ports.is_empty() {
        return "no port is on a switch".to_owned();
    }
    let mut table = table(&["port", "switch index", "port index"]);
    for port in ports {
        table.add_row([port.name.clone(), port.switch_idx.to_string(), port.port_idx.to_string()]);
    }
    table.trim_fmt()
}

fn info(control: &Control, port: &PortName) -> Result<(Value, String), Fail> {
    let info = control.port_info(port).map_err(fail)?;
    // By name, not by region: that of a port which only the question made is gone by now.
    let pools = control.pools_info(port, None).map_err(fail)?;
    // A port that only the question made has none.
    let header = control.port_header(port).ok();
    let pool = |total, size, offset| json!({ "objects": total, "bytes_each": size, "offset": offset });
    let json = json!({
        "port": port.to_string(),
        "tx_rings": info.nr_tx_rings, "rx_rings": info.nr_rx_rings,
        "host_tx_rings": info.nr_host_tx_rings, "host_rx_rings": info.nr_host_rx_rings,
        "tx_slots": info.nr_tx_slots, "rx_slots": info.nr_rx_slots,
        "header_bytes": header,
        "region": info.nr_mem_id, "region_bytes": info.nr_memsize,
        "pools": {
            "if": pool(pools.nr_if_pool_objtotal, pools.nr_if_pool_objsize, pools.nr_if_pool_offset),
            "ring": pool(pools.nr_ring_pool_objtotal, pools.nr_ring_pool_objsize, pools.nr_ring_pool_offset),
            "buf": pool(pools.nr_buf_pool_objtotal, pools.nr_buf_pool_objsize, pools.nr_buf_pool_offset),
        },
    });
    let mut table = table(&["", "transmit", "receive"]);
    let mut row = |what: &str, a: String, b: String| {
        table.add_row([what.to_owned(), a, b]);
    };
    row("rings", info.nr_tx_rings.to_string(), info.nr_rx_rings.to_string());
    row("host rings", info.nr_host_tx_rings.to_string(), info.nr_host_rx_rings.to_string());
    row("slots each", info.nr_tx_slots.to_string(), info.nr_rx_slots.to_string());
    let header = header.map_or_else(|| "none: the port is not open".to_owned(), |len| format!("{len} bytes"));
    let text = format!(
        "{port}\n{}\nvirtio-net header: {header}\nmemory region {}: {} bytes\n  {} interfaces of {} bytes\n  {} rings of {} \
         bytes\n  {} buffers of {} bytes",
        table.trim_fmt(),
        info.nr_mem_id,
        info.nr_memsize,
        pools.nr_if_pool_objtotal,
        pools.nr_if_pool_objsize,
        pools.nr_ring_pool_objtotal,
        pools.nr_ring_pool_objsize,
        pools.nr_buf_pool_objtotal,
        pools.nr_buf_pool_objsize
    );
    Ok((json, text))
}

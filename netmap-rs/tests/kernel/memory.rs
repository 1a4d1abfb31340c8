//! External memory, and regions that ports share.

use crate::world::*;
use netmap_rs::kernel::{ExtMem, KernelError, Register, forward};
use netmap_rs::portspec::Pools;
use rustix::io::Errno;
use std::sync::Arc;

/// Pools for two small VALE ports: each takes two rings and their mock host rings.
fn pools() -> Pools {
    Pools { if_num: 8, if_size: 1024, ring_num: 24, ring_size: 4096, buf_num: 3000, buf_size: 2048 }
}

const LEN: usize = 8 << 20;

fn exchange_in(memory: Arc<ExtMem>) {
    let register =
        |name: &str| Register::new(spec(&format!("{name}@conf:slots=128"))).extmem(memory.clone(), pools());
    let (mut a, mut b) = (open_with(register("vale1:a")), open_with(register("vale1:b")));
    assert_eq!(a.registered().reply.nr_mem_id, b.registered().reply.nr_mem_id, "the same memory, one region");
    let made = a.registered().pools.unwrap();
    assert_eq!(made.nr_buf_pool_objsize, 2048);
    pass(&mut a, &mut b, 1000);
    // One region, so what b received goes out of it as it is.
    let mut next = 0;
    for _ in 0..20 {
        let (mut sent, mut seen) = (next, next);
        fill(&mut a.tx()[0], 50, &mut sent);
        a.txsync().unwrap();
        b.rxsync().unwrap();
        let (tx, rx) = b.rings();
        assert_eq!(forward(&mut rx[0], &mut tx[0], 99, |_| true), Ok(50));
        b.txsync().unwrap();
        b.rxsync().unwrap();
        a.rxsync().unwrap();
        drain(&mut a.rx()[0], &mut seen);
        a.rxsync().unwrap();
        assert_eq!(seen, sent);
        next = sent;
    }
}

#[test]
fn ports_live_in_this_programs_memory() {
    let Some(_netmap) = netmap() else { return };
    exchange_in(Arc::new(ExtMem::anonymous(LEN).unwrap()));
}

#[test]
fn ports_live_in_huge_pages() {
    let Some(_netmap) = netmap() else { return };
    match ExtMem::huge_pages(LEN) {
        Ok(memory) => exchange_in(Arc::new(memory)),
        Err(e) => {
            assert!(e.to_string().contains("nr_hugepages"), "{e}");
            skip(&format!("no huge pages: {e}"), true);
        }
    }
}

#[test]
fn a_port_named_with_a_file_lives_in_it() {
    let Some(_netmap) = netmap() else { return };
    let path = std::env::temp_dir().join(format!("netmap-rs-extmem-{}", std::process::id()));
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(LEN as u64).unwrap();
    let file_spec = format!(
        "vale1:f@extmem:file={},if-num=8,if-size=1024,ring-num=24,ring-size=4608,buf-num=3000,buf-size=2048\
         @conf:slots=128",
        path.display()
    );
    let port = netmap_rs::kernel::KernelPort::open(spec(&file_spec));
    std::fs::remove_file(&path).unwrap();
    let mut port = port.unwrap();
    assert_eq!(port.tx()[0].num_slots(), 128);
    port.txsync().unwrap();
}

#[test]
fn memory_that_is_too_small_is_refused() {
    let Some(_netmap) = netmap() else { return };
    let memory = Arc::new(ExtMem::anonymous(1 << 20).unwrap());
    let register = Register::new(spec("vale1:s")).extmem(memory.clone(), pools());
    let e = control().register(&register).unwrap_err();
    assert!(matches!(e, KernelError::ExtMem { .. }), "{e}");
    // What the kernel would choose does not fit either.
    let register = Register::new(spec("vale1:s")).extmem(memory, Pools::default());
    let e = control().register(&register).unwrap_err();
    assert_eq!(e.errno(), Some(Errno::NOMEM), "{e}");
    assert!(e.to_string().contains("external memory"), "{e}");
}

#[test]
fn a_region_is_shared_by_id_or_by_name() {
    let Some(_netmap) = netmap() else { return };
    let a = open("vale1:a");
    let region = a.registered().reply.nr_mem_id;
    let b = open(&format!("vale2:b@{region}@conf:slots=64"));
    assert_eq!(b.registered().reply.nr_mem_id, region);
    drop(b);
    let mut c = open("vale2:c@share=vale1:a@conf:slots=64");
    assert_eq!(c.registered().reply.nr_mem_id, region);
    c.txsync().unwrap();
}

#[test]
fn buffers_come_back_when_a_port_closes() {
    let Some(_netmap) = netmap() else { return };
    // A port that stays keeps the region, and with it what a leak took of it.
    let stays = open("vale1:stays");
    let region = stays.registered().reply.nr_mem_id;
    let free = || {
        let all = Register::new(spec(&format!("vale2:meter@{region}@conf:slots=16"))).extra_bufs(100_000);
        open_with(all).registered().reply.nr_extra_bufs
    };
    let before = free();
    for _ in 0..10 {
        let port = open_with(Register::new(spec(&format!("vale2:p@{region}@conf:slots=64"))).extra_bufs(32));
        let mut held: Vec<_> = std::iter::from_fn(|| port.take_buffer()).collect();
        held.truncate(10);
        drop(port);
        drop(held);
    }
    assert_eq!(free(), before);
}

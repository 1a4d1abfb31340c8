//! Loading and unloading the module itself, where one was given.

use std::path::{Path, PathBuf};

use netmap_rs::kernel::{Control, KernelError, module_parameters};
use rustix::io::Errno;

use crate::ci::Check;
use crate::ci::check::{Done, Env, OptIn, Stop, fail, holds, skip};
use crate::ci::modules::{is_loaded, load, module_name, unload};
use crate::ci::world::*;

pub(in crate::ci) const CHECKS: &[Check] = &[
    Check::new("module.load", "The module loads, makes /dev/netmap, and speaks API 14", loads)
        .opt_in(OptIn::Module),
    Check::new("module.in-use", "The module cannot be unloaded while a port is open", in_use)
        .opt_in(OptIn::Module),
    Check::new("module.unload", "The module unloads, and its device goes with it", unloads)
        .opt_in(OptIn::Module),
    Check::new("module.reload", "Five times loaded, used and unloaded, it is as good as new", reloads)
        .opt_in(OptIn::Module),
    Check::new("module.parameters", "The module shows its parameters, and they make sense", parameters),
];

fn given(env: &Env) -> Result<(PathBuf, String), Stop> {
    let Some(path) = &env.module else { return skip("no --module was given") };
    match module_name(path) {
        Some(name) => Ok((path.clone(), name)),
        None => fail(format!("{} is not the name of a module's file", path.display())),
    }
}

/// Unloads the module if it is loaded.
fn out(name: &str) -> Done {
    if !is_loaded(name) {
        return Ok(());
    }
    match unload(name) {
        Ok(()) => Ok(()),
        Err(Errno::AGAIN | Errno::BUSY) => {
            fail(format!("{name} cannot be unloaded: something has it open, or a switch has ports"))
        }
        Err(Errno::PERM) => skip("not permitted to unload modules"),
        Err(e) => fail(format!("{name} cannot be unloaded: {}", errno_name(e))),
    }
}

/// Loads it, and waits until its device can be opened.
fn in_and_ready(path: &Path) -> Done {
    load(path)?;
    eventually("a usable /dev/netmap", || match Control::open() {
        Ok(_) => Ok(true),
        Err(KernelError::Open { .. }) => Ok(false),
        Err(e) => Err(e.into()),
    })
}

fn loads(env: &Env) -> Done {
    let (path, name) = given(env)?;
    out(&name)?;
    in_and_ready(&path)?;
    holds("the kernel lists it", is_loaded(&name))
}

fn in_use(env: &Env) -> Done {
    let (_, name) = given(env)?;
    let port = open("valeci:user")?;
    match unload(&name) {
        Err(Errno::AGAIN | Errno::BUSY) => {}
        other => return answers("unloading it while a port is open", other, Err(Errno::AGAIN)),
    }
    drop(port);
    holds("it is still there", is_loaded(&name) && Control::open().is_ok())
}

fn unloads(env: &Env) -> Done {
    let (path, name) = given(env)?;
    out(&name)?;
    holds("the kernel lists it no more", !is_loaded(&name))?;
    holds("its device is gone", Control::open().is_err())?;
    in_and_ready(&path)
}

fn reloads(env: &Env) -> Done {
    let (path, name) = given(env)?;
    for _ in 0..5 {
        let (mut a, mut b) = (open("valeci:a")?, open("valeci:b")?);
        pass(&mut a, &mut b, 1500)?;
        let (mut master, mut slave) = (open("netmap:nmci0{1")?, open("netmap:nmci0}1")?);
        pass(&mut master, &mut slave, 500)?;
        drop((a, b, master, slave));
        out(&name)?;
        in_and_ready(&path)?;
    }
    Ok(())
}

fn parameters(_: &Env) -> Done {
    let Ok(parameters) = module_parameters() else {
        return skip("netmap is no module here: it has no parameters in /sys");
    };
    for name in ["buf_size", "buf_num", "ring_num", "if_num", "priv_buf_num", "priv_ring_num"] {
        let value = parameters.number(name);
        holds(format!("{name} is a positive number ({value:?})"), value.is_some_and(|n| n > 0))?;
    }
    Ok(())
}

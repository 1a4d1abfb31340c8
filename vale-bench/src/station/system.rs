//! What is seen from outside of a guest that boots a whole system: why it does not come up, and what goes wrong with
//! its disk later on.

use crate::guests::image::{self, Way};
use qemu_ptnet::{Vm, seed};

/// What is looked at of the end of a console, in bytes.
const TAIL: usize = 16 * 1024;

/// What a console shows that nothing good comes after.
const ENDS: [(&str, &str); 2] = [
    ("No bootable device", "there is nothing on its disk that can be booted by a BIOS"),
    ("Kernel panic", "its kernel panicked"),
];

/// Why a guest that does not come up never will, as far as that can be seen.
pub(crate) fn hopeless(vm: &Vm) -> Option<String> {
    let console = vm.console_tail(TAIL);
    let end = ENDS.iter().find(|(shown, _)| console.contains(shown));
    end.map(|(_, meaning)| (*meaning).to_owned()).or_else(|| disk_trouble(vm))
}

/// What QEMU has reported of the guest's disk since it was last asked.
pub(super) fn disk_trouble(vm: &Vm) -> Option<String> {
    // A QEMU that does not answer is noticed elsewhere.
    let events = vm.events().ok()?;
    let error = events.iter().find(|event| event.name == "BLOCK_IO_ERROR")?;
    Some(if error.data["nospace"] == true {
        "there is no room left for what it writes to its disk: that goes to a nameless file in /var/tmp, or in the \
         folder that TMPDIR names; name one with more room"
            .into()
    } else {
        let reason = error.data["reason"].as_str().unwrap_or("an input/output error");
        format!("its disk failed: {reason}")
    })
}

/// Why a guest may not have come up in time.
pub(super) fn late(vm: &Vm, way: Way) -> String {
    if way == Way::Ssh {
        return "the agent was started over ssh, and says nothing; the console may tell why".into();
    }
    let console = vm.console_tail(TAIL);
    let start = image::start(seed::CLOUD_INIT_LABEL);
    if console.contains("login:") {
        format!(
            "the system came up, and nothing in it started the agent. Is there no cloud-init in it, or one that does \
             not look for a NoCloud disk? Install it in the image, or have the image run this at its start, as root: \
             {start}"
        )
    } else if console.trim().is_empty() {
        "there is nothing on its serial console; with console=ttyS0 its kernel tells how far it gets".into()
    } else {
        "it was still on its way, or got stuck; --boot-timeout gives it longer".into()
    }
}

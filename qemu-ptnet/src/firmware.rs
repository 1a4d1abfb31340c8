//! A firmware image that does what a kernel does first, counts, and says that it is done.
//!
//! In place of a BIOS it takes the vCPU from its reset vector through protected mode and paging into long mode,
//! increments a counter in memory [`STEPS`] times, and writes [`DONE`] to QEMU's debug-exit port. On working KVM
//! that takes milliseconds. Where the host's KVM emulates guests that do not know it, an instruction at a time,
//! it takes tens of seconds, and a kernel would seem to hang.

/// Size of the image, the least that QEMU maps as a BIOS.
const SIZE: usize = 64 << 10;
/// Where the code begins; the last 16 bytes of the image are the reset vector.
const CODE_AT: usize = SIZE - 0x100;
/// How often the counter is incremented.
const STEPS: u32 = 5_000_000;
/// What is written to the debug-exit port.
const DONE: u8 = 0x2a;
/// The I/O port of [`DEVICE`].
const PORT: u16 = 0xf4;

/// The device behind the port.
pub(crate) const DEVICE: &str = "isa-debug-exit,iobase=0xf4,iosize=0x04";
/// QEMU's exit status after [`DONE`]: the device makes it odd.
pub(crate) const EXIT_CODE: i32 = ((DONE as i32) << 1) | 1;

/// The image.
pub(crate) fn image() -> Vec<u8> {
    let mut image = vec![0xff; SIZE];
    let mut put = |offset: usize, bytes: &[u8]| {
        image[CODE_AT + offset..][..bytes.len()].copy_from_slice(bytes);
    };
    // The image also lies at 0xf0000, so its code at 0xfff00 once segments are flat.
    put(0x00, REAL_MODE);
    put(0x20, PROTECTED_MODE);
    put(0x80, GDT_POINTER);
    put(0x90, GDT);
    let [a, b, c, d] = STEPS.to_le_bytes();
    let [port, port_high] = PORT.to_le_bytes();
    put(0xb0, &[0xb9, a, b, c, d]); //                                  mov    ecx, STEPS
    put(0xb5, &[0x48, 0xff, 0x04, 0x25, 0x00, 0x40, 0x00, 0x00]); //    inc    qword [0x4000]
    put(0xbd, &[0xe2, 0xf6]); //                                        loop   0xb5
    put(0xbf, &[0x48, 0x81, 0x3c, 0x25, 0x00, 0x40, 0x00, 0x00, a, b, c, d]); // cmp qword [0x4000], STEPS
    put(0xcb, &[0x75, 0x07]); //                                        jne    0xd4
    put(0xcd, &[0xb0, DONE]); //                                        mov    al, DONE
    put(0xcf, &[0x66, 0xba, port, port_high]); //                       mov    dx, PORT
    put(0xd3, &[0xee]); //                                              out    dx, al
    put(0xd4, &[0xf4, 0xeb, 0xfd]); //                                  hlt; jmp 0xd4
    put(0xf0, &[0xe9, 0x0d, 0xff]); //                                  jmp    0x00
    image
}

/// At the reset vector's segment, 0xffff0000.
const REAL_MODE: &[u8] = &[
    0xfa, //                                            cli
    0x2e, 0x66, 0x0f, 0x01, 0x16, 0x80, 0xff, //        lgdt   cs:[0xff80]
    0x0f, 0x20, 0xc0, //                                mov    eax, cr0
    0x0c, 0x01, //                                      or     al, 1             ; PE
    0x0f, 0x22, 0xc0, //                                mov    cr0, eax
    0x66, 0xea, 0x20, 0xff, 0x0f, 0x00, 0x08, 0x00, //  jmp    0x08:0x000fff20
];

/// Maps the first 2 MiB onto themselves and turns long mode on.
const PROTECTED_MODE: &[u8] = &[
    0xb8, 0x10, 0x00, 0x00, 0x00, //                                mov    eax, 0x10
    0x8e, 0xd8, //                                                  mov    ds, eax
    0xc7, 0x05, 0x00, 0x10, 0x00, 0x00, 0x03, 0x20, 0x00, 0x00, //  mov    dword [0x1000], 0x2003 ; PML4
    0xc7, 0x05, 0x00, 0x20, 0x00, 0x00, 0x03, 0x30, 0x00, 0x00, //  mov    dword [0x2000], 0x3003 ; PDPT
    0xc7, 0x05, 0x00, 0x30, 0x00, 0x00, 0x83, 0x00, 0x00,
    0x00, //  mov    dword [0x3000], 0x83   ; a 2 MiB page
    0xb8, 0x00, 0x10, 0x00, 0x00, //                                mov    eax, 0x1000
    0x0f, 0x22, 0xd8, //                                            mov    cr3, eax
    0xb8, 0x20, 0x00, 0x00, 0x00, //                                mov    eax, 0x20         ; PAE
    0x0f, 0x22, 0xe0, //                                            mov    cr4, eax
    0xb9, 0x80, 0x00, 0x00, 0xc0, //                                mov    ecx, 0xc0000080   ; EFER
    0x0f, 0x32, //                                                  rdmsr
    0x0d, 0x00, 0x01, 0x00, 0x00, //                                or     eax, 0x100        ; LME
    0x0f, 0x30, //                                                  wrmsr
    0x0f, 0x20, 0xc0, //                                            mov    eax, cr0
    0x0d, 0x00, 0x00, 0x00, 0x80, //                                or     eax, 0x80000000   ; PG
    0x0f, 0x22, 0xc0, //                                            mov    cr0, eax
    0xea, 0xb0, 0xff, 0x0f, 0x00, 0x18, 0x00, //                    jmp    0x18:0x000fffb0
];

/// Limit and address of the descriptor table.
const GDT_POINTER: &[u8] = &[0x1f, 0x00, 0x90, 0xff, 0x0f, 0x00];

/// None, 32-bit code, data, 64-bit code; all flat.
const GDT: &[u8] = &[
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, //
    0xff, 0xff, 0x00, 0x00, 0x00, 0x9b, 0xcf, 0x00, //
    0xff, 0xff, 0x00, 0x00, 0x00, 0x93, 0xcf, 0x00, //
    0xff, 0xff, 0x00, 0x00, 0x00, 0x9b, 0xaf, 0x00,
];

/// The image with its counting loop turned into an endless one.
#[cfg(test)]
pub(crate) fn endless() -> Vec<u8> {
    let mut image = image();
    image[CODE_AT + 0xb0..][..2].copy_from_slice(&[0xeb, 0xfe]); // jmp 0xb0
    image
}

//! Run directories with real processes in them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

fn base() -> tempfile::TempDir {
    let base = tempfile::Builder::new().prefix("vb-").tempdir_in("/tmp").unwrap();
    fs::set_permissions(base.path(), fs::Permissions::from_mode(0o700)).unwrap();
    base
}

fn sleeper() -> Child {
    Command::new("sleep").arg("600").stdout(Stdio::null()).spawn().unwrap()
}

/// Makes what a killed run leaves: a directory with a journal and a lock nobody holds.
fn abandon(run: RunDir) -> PathBuf {
    let path = run.path.clone();
    // Closes the lock as the kernel does, without the destructor that cleans up.
    rustix::fs::flock(&run.run._lock, rustix::fs::FlockOperation::Unlock).unwrap();
    std::mem::forget(run);
    path
}

fn wait(child: &mut Child) -> std::process::ExitStatus {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "the process did not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_run_that_ends_leaves_nothing() {
    let base = base();
    let outside = base.path().join("outside.sock");
    let run = RunDir::create_in(base.path()).unwrap();
    assert_eq!(fs::metadata(run.path()).unwrap().permissions().mode() & 0o777, 0o700);
    fs::write(run.join("image"), b"x").unwrap();
    fs::write(&outside, b"x").unwrap();
    run.record_file(&outside).unwrap();
    let path = run.path().to_owned();
    drop(run);
    assert!(!path.exists() && !outside.exists());
    assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
}

#[test]
fn a_part_goes_before_the_run_and_the_run_after_its_parts() {
    let base = base();
    let run = RunDir::create_in(base.path()).unwrap();
    let (one, two) = (run.part("1").unwrap(), run.part("2").unwrap());
    for part in [&one, &two] {
        fs::write(part.join("switch.log"), b"x").unwrap();
    }
    assert!(run.part("1").is_err());
    let gone = one.path().to_owned();
    drop(one);
    assert!(!gone.exists() && two.join("switch.log").exists());
    assert_ne!(run.interface('t', 1).unwrap(), two.interface('t', 2).unwrap());
    drop(run);
    assert!(two.join("switch.log").exists());
    drop(two);
    assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
}

#[test]
fn a_living_run_is_left_alone_and_two_runs_do_not_meet() {
    let base = base();
    let (one, two) = (RunDir::create_in(base.path()).unwrap(), RunDir::create_in(base.path()).unwrap());
    assert_ne!(one.path(), two.path());
    assert_eq!(recover_in(base.path()).unwrap().runs, []);
    assert!(one.path().exists() && two.path().exists());
}

#[test]
fn a_dead_runs_children_and_files_go() {
    let base = base();
    let outside = base.path().join("hugepage-file");
    fs::write(&outside, b"x").unwrap();
    let mut child = sleeper();
    let run = RunDir::create_in(base.path()).unwrap();
    run.record_child(child.id()).unwrap();
    run.record_file(&outside).unwrap();
    run.record_file(&base.path().join("never-made")).unwrap();
    let path = abandon(run);

    let recovered = recover_in(base.path()).unwrap().runs;
    assert_eq!(recovered.len(), 1);
    let done = &recovered[0];
    assert_eq!(done.ended.iter().map(|p| p.pid).collect::<Vec<_>>(), [child.id()]);
    assert_eq!(done.removed, std::slice::from_ref(&outside));
    assert_eq!(done.problems, [""; 0]);
    assert_eq!(done.owner.as_ref().map(|p| p.pid), Some(std::process::id()));
    assert!(!wait(&mut child).success());
    assert!(!path.exists() && !outside.exists());
    let note = done.to_string();
    assert!(note.contains("ended sleep (") && note.contains("hugepage-file"), "{note}");
    assert_eq!(recover_in(base.path()).unwrap().runs, []);
}

#[test]
fn a_process_that_ignores_sigterm_goes_too() {
    let base = base();
    let mut child = Command::new("sh")
        .args(["-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
    let run = RunDir::create_in(base.path()).unwrap();
    run.record_child(child.id()).unwrap();
    abandon(run);
    let recovered = recover_in(base.path()).unwrap().runs;
    assert_eq!(recovered[0].ended.len(), 1, "{recovered:?}");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&wait(&mut child)), Some(9));
}

#[test]
fn a_stranger_with_the_same_number_lives() {
    let mut stranger = sleeper();
    let real = ProcessId::of(stranger.id()).unwrap();
    for wrong in [
        ProcessId { start_ticks: real.start_ticks - 1, ..real.clone() },
        ProcessId { comm: "qemu-system-x86".into(), ..real.clone() },
    ] {
        let base = base();
        let run = RunDir::create_in(base.path()).unwrap();
        run.record(&Record::Child(wrong)).unwrap();
        let path = abandon(run);
        let recovered = recover_in(base.path()).unwrap().runs;
        assert_eq!((recovered.len(), recovered[0].ended.len()), (1, 0));
        assert!(!path.exists());
        assert!(stranger.try_wait().unwrap().is_none(), "a stranger was ended");
    }
    // The same with a journal from before the last boot.
    let base = base();
    let run = RunDir::create_in(base.path()).unwrap();
    run.record_child(stranger.id()).unwrap();
    let path = abandon(run);
    let journal = fs::read_to_string(path.join(JOURNAL)).unwrap();
    let boot_id = process::boot_id().unwrap();
    fs::write(path.join(JOURNAL), journal.replace(&boot_id, "another-boot")).unwrap();
    assert_eq!(recover_in(base.path()).unwrap().runs[0].ended, []);
    assert!(stranger.try_wait().unwrap().is_none(), "a stranger was ended");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn a_child_that_is_gone_or_renamed_is_no_problem() {
    let base = base();
    let mut gone = sleeper();
    gone.kill().unwrap();
    // A wrapper becomes its program under the same number: recorded again, it is known by both names.
    let mut wrapper =
        Command::new("sh").args(["-c", "read x; exec sleep 600"]).stdin(Stdio::piped()).spawn().unwrap();
    let run = RunDir::create_in(base.path()).unwrap();
    gone.wait().unwrap();
    run.record_child(gone.id()).unwrap();
    run.record_child(wrapper.id()).unwrap();
    io::Write::write_all(&mut wrapper.stdin.take().unwrap(), b"\n").unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while ProcessId::of(wrapper.id()).unwrap().comm != "sleep" {
        assert!(Instant::now() < deadline, "the wrapper did not become its program");
        std::thread::sleep(Duration::from_millis(5));
    }
    run.record_child(wrapper.id()).unwrap();
    abandon(run);
    let recovered = recover_in(base.path()).unwrap().runs;
    assert_eq!(recovered[0].ended.len(), 1);
    wait(&mut wrapper);
}

#[test]
fn the_kernel_frees_the_lock_of_a_killed_process() {
    let base = base();
    let held = base.path().join("run-1-0");
    fs::create_dir(&held).unwrap();
    let lock = File::open(&held).unwrap();
    // The lock belongs to the open file that the child inherits as its standard input.
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    let mut owner = Command::new("sleep").arg("600").stdin(lock).spawn().unwrap();
    assert_eq!(recover_in(base.path()).unwrap().runs, []);
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert_eq!(recover_in(base.path()).unwrap().runs.len(), 1);
    assert!(!held.exists());
}

#[test]
fn halves_of_directories_and_journals() {
    let base = base();
    fs::create_dir(base.path().join("run-1-0")).unwrap(); // killed before it was locked
    let run = RunDir::create_in(base.path()).unwrap();
    let cut = abandon(run);
    let mut journal = fs::read(cut.join(JOURNAL)).unwrap();
    journal.extend_from_slice(b"{\"kind\":\"child\",\"pi");
    fs::write(cut.join(JOURNAL), journal).unwrap();
    let recovered = recover_in(base.path()).unwrap().runs;
    assert_eq!(recovered.len(), 2);
    assert!(recovered.iter().all(|done| done.problems.is_empty() && !done.path.exists()));
}

#[test]
fn records_of_a_newer_version_are_reported_and_kept() {
    let base = base();
    let run = RunDir::create_in(base.path()).unwrap();
    let path = abandon(run);
    let mut journal = fs::read(path.join(JOURNAL)).unwrap();
    journal.extend_from_slice(b"{\"kind\":\"wormhole\",\"name\":\"w0\"}\n");
    fs::write(path.join(JOURNAL), journal).unwrap();
    let recovered = recover_in(base.path()).unwrap().runs;
    assert!(recovered[0].to_string().contains("wormhole"), "{}", recovered[0]);
    assert!(path.exists());
}

#[test]
fn unsafe_places_are_refused() {
    let base = base();
    let open = base.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
    let error = RunDir::create_in(&open).unwrap_err();
    assert!(error.to_string().contains("mode 755"), "{error}");

    let link = base.path().join("link");
    symlink(base.path(), &link).unwrap();
    let error = RunDir::create_in(&link).unwrap_err();
    assert!(error.to_string().contains("symbolic link"), "{error}");

    let long = base.path().join("l".repeat(70));
    let error = RunDir::create_in(&long).unwrap_err();
    assert!(matches!(error, RunDirError::TooLong { .. }), "{error}");

    let file = base.path().join("file");
    fs::write(&file, b"").unwrap();
    assert!(matches!(RunDir::create_in(&file), Err(RunDirError::Io { .. })));
    assert_eq!(recover_in(&base.path().join("nowhere")).unwrap(), Recovery::default());
}

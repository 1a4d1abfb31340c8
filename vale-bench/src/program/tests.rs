//! Programs of the shell in the place of switches.

use super::*;

fn run_dir() -> (tempfile::TempDir, RunDir) {
    use std::os::unix::fs::PermissionsExt;
    let base = tempfile::Builder::new().prefix("vb-").tempdir_in("/tmp").unwrap();
    fs::set_permissions(base.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let run = RunDir::create_in(base.path()).unwrap();
    (base, run)
}

fn shell(script: &str) -> Program {
    Program::new("sh", ["sh", "-c", script])
}

fn interrupt() -> &'static Interrupt {
    Interrupt::install().unwrap()
}

#[test]
fn it_runs_in_the_runs_directory_with_a_plain_environment() {
    let (_base, run) = run_dir();
    let program = shell("pwd; env; exec sleep 60").env("OWN", "this");
    let mut running = program.start(&run).unwrap();
    running
        .wait_until("its output", Duration::from_secs(10), interrupt(), |r| Ok(r.output(0).contains("PATH=")))
        .unwrap();
    let output = running.output(0);
    assert!(output.starts_with(run.path().to_str().unwrap()), "{output}");
    assert!(output.contains("OWN=this\n") && !output.contains("CARGO"), "{output}");
    assert!(running.cpu_ns().is_some_and(|ns| ns > 0) && running.threads().len() == 1);
    assert!(running.share("no such thread", Share::Idle).unwrap_err().to_string().contains("no such thread"));
    running.stop(None, Duration::ZERO).unwrap();
    assert!(running.healthy().is_err());
}

#[test]
fn one_that_ends_or_is_late_is_told_with_its_last_words() {
    let (_base, run) = run_dir();
    let wait = |program: &Program, deadline| {
        let mut running = program.start(&run).unwrap();
        running.wait_until("its prompt", deadline, interrupt(), |_| Ok(false)).unwrap_err().to_string()
    };
    let text = wait(&shell("echo no memory; exit 3"), Duration::from_secs(20));
    for part in ["waiting for its prompt", "exit status: 3", "no memory", "sh -c 'echo no memory; exit 3'"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    fs::remove_file(run.join("sh.log")).unwrap();
    let text = wait(&shell("exec sleep 60"), Duration::from_millis(100));
    assert!(text.contains("did not get to its prompt within"), "{text}");
}

#[test]
fn it_is_asked_and_told_to_end() {
    let (_base, run) = run_dir();
    let script = "while read line; do case $line in bye) exit 0;; *) echo got $line; echo '> ';; esac; done";
    let mut running = shell(script).listening().start(&run).unwrap();
    let answer = running.answer("one", "> ", Duration::from_secs(10), interrupt()).unwrap();
    assert_eq!(answer, "got one\n> \n");
    let answer = running.answer("two", "> ", Duration::from_secs(10), interrupt()).unwrap();
    assert!(answer.contains("got two") && !answer.contains("one"), "{answer}");
    running.stop(Some("bye"), Duration::from_secs(10)).unwrap();
    assert!(running.healthy().unwrap_err().to_string().contains("exit status: 0"));
}

#[test]
fn short_commands_say_what_went_wrong() {
    let (_base, run) = run_dir();
    let told = |script: &str, deadline| {
        let argv = ["sh", "-c", script].map(OsString::from);
        ask(&argv, &[], run.path(), deadline).map_err(|fail| fail.to_string())
    };
    assert_eq!(told("echo yes", Duration::from_secs(10)), Ok("yes\n".into()));
    let failed = told("echo bad port >&2; exit 2", Duration::from_secs(10)).unwrap_err();
    assert!(failed.contains("exit status: 2") && failed.contains("bad port"), "{failed}");
    assert!(told("exec sleep 60", Duration::from_millis(100)).unwrap_err().contains("did not end within"));
}

#[test]
fn programs_are_found_and_other_files_are_not_programs() {
    assert!(find("sh").is_some_and(|path| path.is_absolute()));
    assert_eq!(find("no-such-program-here"), None);
    assert!(!is_program(Path::new("/etc/passwd")) && !is_program(Path::new("/etc")));
}

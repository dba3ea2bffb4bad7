//! `batchlingua passwd`: sets a user's password, or takes the user out.
//!
//! The file is replaced as a whole, so that a proxy which reads it meanwhile sees the old one or the new one; comments and other users stay as
//! they are. Two of these at once wait for each other.

use std::{
    fs::{self, File},
    io::{self, IsTerminal, Read, Write},
    os::unix::fs::{MetadataExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use argon2::{Argon2, password_hash::PasswordHasher};
use zeroize::Zeroizing;

use super::{
    MAX_PASSWORD, name_fault,
    passwords::{OPEN_TO_OTHERS, entry},
};

/// Where the file is unless it is said.
pub const DEFAULT_FILE: &str = "batchlingua-data/passwords";

const OWNER_ONLY: u32 = 0o600;

/// Asks for a password: twice without an echo on a terminal, else once as a line of standard input.
pub fn ask(name: &str) -> Result<Zeroizing<String>, String> {
    let cannot = |error: io::Error| format!("cannot read the password: {error}");
    if !io::stdin().is_terminal() {
        return line_of(io::stdin().lock()).map_err(cannot);
    }
    let prompt = |text: &str| rpassword::prompt_password(text).map(Zeroizing::new).map_err(cannot);
    let password = prompt(&format!("Password for {name}: "))?;
    if password != prompt("Once more: ")? {
        return Err("the two are not the same; nothing was changed".into());
    }
    Ok(password)
}

fn line_of(input: impl Read) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    // One byte more than fits, and a line end: what is longer is refused for its length.
    input.take(MAX_PASSWORD as u64 + 3).read_to_string(&mut text)?;
    let line = text.split('\n').next().unwrap_or_default();
    Ok(Zeroizing::new(line.strip_suffix('\r').unwrap_or(line).to_owned()))
}

/// Sets a user's password.
pub fn set(file: &Path, name: &str, password: &str) -> Result<(), String> {
    if password.trim().is_empty() {
        return Err("an empty password is none; nothing was changed".into());
    }
    if password.len() > MAX_PASSWORD {
        return Err(format!("a password has at most {MAX_PASSWORD} bytes; nothing was changed"));
    }
    let hash = Argon2::default().hash_password(password.as_bytes()).map_err(|error| error.to_string())?;
    edit(file, name, Some(&format!("{name}:{hash}")))
}

/// Takes a user out.
pub fn delete(file: &Path, name: &str) -> Result<(), String> {
    edit(file, name, None)
}

fn edit(file: &Path, name: &str, line: Option<&str>) -> Result<(), String> {
    if let Some(fault) = name_fault(name) {
        return Err(fault.into());
    }
    let told = |error: io::Error| format!("{}: {error}", file.display());
    // A link stays one.
    let target = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    make(&folder).map_err(told)?;
    let lock = File::open(&folder).map_err(told)?;
    lock.lock().map_err(told)?;
    let old = match fs::read_to_string(&target) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(told(error)),
    };
    let new = replaced(&old, name, line).map_err(|fault| format!("{}: {fault}", file.display()))?;
    write(&folder, &target, &new).map_err(told)
}

fn make(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

/// The text with the user's line in its place, at the end, or gone.
fn replaced(text: &str, name: &str, line: Option<&str>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len() + 200);
    let mut new = line;
    let mut was_there = false;
    for (at, old) in text.lines().enumerate() {
        let entry = entry(old).map_err(|fault| format!("line {}: {fault}; nothing was changed", at + 1))?;
        let kept = match entry {
            Some((of, _)) if of == name => {
                was_there = true;
                new.take()
            }
            Some(_) | None => Some(old),
        };
        kept.into_iter().for_each(|line| out.extend([line, "\n"]));
    }
    if line.is_none() && !was_there {
        return Err(format!("there is no user '{name}'; nothing was changed"));
    }
    new.into_iter().for_each(|line| out.extend([line, "\n"]));
    Ok(out)
}

/// Whole or not at all. Mode and group stay what they were, as far as they keep others out.
fn write(folder: &Path, target: &Path, text: &str) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".passwords").tempfile_in(folder)?;
    let old = fs::metadata(target).ok();
    let mode = old.as_ref().map_or(OWNER_ONLY, |old| old.mode() & 0o777 & !OPEN_TO_OTHERS);
    if let Some(old) = old {
        // Only root may give a file away; its own owner and group are the usual case.
        let _ = fchown(file.as_file(), Some(old.uid()), Some(old.gid()));
    }
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(fs::Permissions::from_mode(mode | 0o400))?;
    file.as_file().sync_all()?;
    file.persist(target)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::PasswordFile;

    #[test]
    fn only_the_users_line_is_changed() {
        let file = "# people\nana:$1\n\nbob:$2\n";
        assert_eq!(replaced(file, "ana", Some("ana:$3")).as_deref(), Ok("# people\nana:$3\n\nbob:$2\n"));
        assert_eq!(replaced(file, "eve", Some("eve:$3")).as_deref(), Ok("# people\nana:$1\n\nbob:$2\neve:$3\n"));
        assert_eq!(replaced(file, "bob", None).as_deref(), Ok("# people\nana:$1\n\n"));
        assert!(replaced(file, "eve", None).is_err_and(|fault| fault.contains("no user 'eve'")));
        assert!(replaced("what\n", "ana", Some("ana:$1")).is_err_and(|fault| fault.starts_with("line 1: ")));
    }

    #[test]
    fn what_it_writes_the_proxy_reads_and_nobody_else() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("made/passwords");
        set(&file, "ana", "s3cret").expect("set");
        set(&file, "bob", "other").expect("set");
        assert_eq!(fs::metadata(&file).expect("there").mode() & 0o777, 0o600);
        let users = PasswordFile::open(&file).expect("readable").users();
        assert!(users.check("ana", b"s3cret") && users.check("bob", b"other"));
        assert!(!users.check("ana", b"other") && !users.check("eve", b"s3cret"));
        let text = fs::read_to_string(&file).expect("text");
        assert!(text.starts_with("ana:$argon2id$v=19$m=19456,t=2,p=1$") && !text.contains("s3cret"), "{text}");

        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("changed");
        delete(&file, "bob").expect("deleted");
        assert_eq!(fs::metadata(&file).expect("there").mode() & 0o777, 0o640, "a group that may read still may");
        assert_eq!(PasswordFile::open(&file).expect("readable").names(), ["ana"]);
        let left: Vec<_> = fs::read_dir(file.parent().expect("a folder")).expect("there").flatten().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        for (name, password) in [("a:b", "x"), ("ana", ""), ("ana", " "), ("ana", &"x".repeat(MAX_PASSWORD + 1))] {
            assert!(set(&file, name, password).is_err(), "{name} {}", password.len());
        }
    }

    #[test]
    fn a_line_of_input_is_a_password_without_its_end() {
        let read = |text: &str| line_of(text.as_bytes()).expect("text").to_string();
        assert_eq!(read("s3cr et\nmore"), "s3cr et");
        assert_eq!(read("s3cret\r\n"), "s3cret");
        assert!(read(&"x".repeat(5_000)).len() > MAX_PASSWORD, "too long, and told so");
    }
}

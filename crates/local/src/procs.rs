//! Ending a whole process group, and finding it when nobody is left who knows its number.
//!
//! A group is told TERM, and KILL to what is left after a grace. Whether something is left is seen in `/proc` and waited for by handles
//! on the processes, so that nothing is polled and no number is used after its process is gone.

use std::{
    collections::BTreeSet,
    fs, io,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::Path,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
};

/// How long a killed process may take to be gone. One that hangs in the kernel is not waited for.
const KILL_TIME: Duration = Duration::from_secs(5);

/// Ends every process of a group. `group` must be in use: the caller holds its leader unreaped, or has just seen a member.
pub(crate) fn end_group(group: Pid, grace: Duration) {
    if kill_process_group(group, Signal::TERM).is_ok() && !gone_within(group, grace) {
        // Gone in between: there is nobody to tell.
        let _ = kill_process_group(group, Signal::KILL);
        gone_within(group, KILL_TIME);
    }
}

/// The groups of processes that have this file as their stdin.
pub(crate) fn groups_on(file: &Path) -> io::Result<BTreeSet<i32>> {
    let wanted = fs::metadata(file)?;
    let has_it = |process: &Process| {
        fs::metadata(format!("/proc/{}/fd/0", process.id))
            .is_ok_and(|stdin| (stdin.dev(), stdin.ino()) == (wanted.dev(), wanted.ino()))
    };
    Ok(processes()?.into_iter().filter(has_it).map(|process| process.group).collect())
}

/// A process that is not a mere entry waiting for its parent.
struct Process {
    id: i32,
    group: i32,
}

fn processes() -> io::Result<Vec<Process>> {
    Ok(fs::read_dir("/proc")?
        .filter_map(|entry| {
            let id = entry.ok()?.file_name().to_str()?.parse().ok()?;
            parse_stat(id, &fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
        })
        .collect())
}

/// `pid (name) state ppid pgrp …`; the name may hold anything, parentheses included.
fn parse_stat(id: i32, stat: &str) -> Option<Process> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace();
    let state = fields.next()?;
    let group = fields.nth(1)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(Process { id, group })
}

/// A handle on some process of the group.
fn member(group: Pid) -> Option<OwnedFd> {
    let of_group = |process: &Process| process.group == group.as_raw_pid();
    let mut members = processes().unwrap_or_default().into_iter().filter(of_group);
    members.find_map(|member| pidfd_open(Pid::from_raw(member.id)?, PidfdFlags::empty()).ok())
}

/// Whether the whole group ended in time. New members may come while the old ones go, so it is looked at until there is none.
fn gone_within(group: Pid, time: Duration) -> bool {
    let until = Instant::now() + time;
    loop {
        let Some(member) = member(group) else { return true };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        let timeout = Timespec::try_from(left).ok();
        // A failed wait ends with the next look, or with the time.
        let _ = poll(&mut [PollFd::new(&member, PollFlags::IN)], timeout.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_read_past_any_name() {
        let of = |stat| parse_stat(7, stat).map(|process| process.group);
        assert_eq!(of("7 (sh) S 1 42 42 0 -1"), Some(42));
        assert_eq!(of("7 (a) Z 1 9) R 1 43 42 0"), Some(43));
        assert_eq!(of("7 (gone) Z 1 42 42 0"), None);
        assert_eq!(of("7 sh"), None);
    }

    #[test]
    fn this_process_is_found_by_its_stdin() {
        let mine = Path::new("/proc/self/fd/0");
        // Not by `getpgrp`: a group whose leader is in another namespace has the number 0.
        let stat = fs::read_to_string("/proc/self/stat").expect("/proc");
        let group = parse_stat(0, &stat).expect("a running process").group;
        assert!(groups_on(mine).expect("a look at /proc").contains(&group));
        assert!(groups_on(Path::new("/nonexistent")).is_err());
    }
}

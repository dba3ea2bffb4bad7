//! `${ENV:NAME}` and `${FILE:/path}` inside any text of the file, so that no secret has to be written there.
//!
//! A value that came this way is remembered, since a fault may quote the value that it is about: what is told to people shows the
//! placeholder instead.

use std::path::Path;

/// Where placeholders are looked up.
pub trait Vault {
    /// The environment's value.
    fn env(&self, name: &str) -> Option<String>;
}

/// This process's environment.
#[derive(Clone, Copy, Debug)]
pub struct ProcessVault;

impl Vault for ProcessVault {
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// A key or certificate is a few KiB; a file above this is not what was meant.
const MAX_FILE: u64 = 64 * 1024;

/// What has been put in place of placeholders.
pub(super) struct Secrets<'a> {
    vault: &'a dyn Vault,
    seen: Vec<(String, String)>,
}

impl<'a> Secrets<'a> {
    pub(super) fn new(vault: &'a dyn Vault) -> Self {
        Self { vault, seen: Vec::new() }
    }

    /// The text with its placeholders replaced. `$${` stands for `${` itself.
    pub(super) fn resolve(&mut self, text: &str) -> Result<String, String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if rest[..at].ends_with('$') {
                out.push_str(&rest[..at - 1]);
                out.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            out.push_str(&rest[..at]);
            let inner = &rest[at + 2..];
            let end = inner.find('}').ok_or("a `${` has no `}`; write `$${` for the characters themselves")?;
            out.push_str(&self.look_up(&inner[..end])?);
            rest = &inner[end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    fn look_up(&mut self, placeholder: &str) -> Result<String, String> {
        let value = match placeholder.split_once(':') {
            Some(("ENV", name)) => {
                self.vault.env(name).ok_or_else(|| format!("the environment has no variable {name}; set it"))?
            }
            Some(("FILE", path)) => read_file(Path::new(path)).map_err(|reason| format!("{path}: {reason}"))?,
            _ => {
                return Err(format!(
                    "`${{{placeholder}}}` is not known; there are ${{ENV:NAME}} and ${{FILE:/path}}, and `$${{` for the \
                     characters themselves"
                ));
            }
        };
        if value.is_empty() {
            return Err(format!("`${{{placeholder}}}` is empty"));
        }
        self.seen.push((value.clone(), format!("${{{placeholder}}}")));
        Ok(value)
    }

    /// The message without any value that stands for a placeholder, as it is or as a quoted text would show it.
    pub(super) fn scrub(&self, message: &str) -> String {
        let mut values: Vec<(String, &str)> = Vec::new();
        for (value, placeholder) in &self.seen {
            let json = serde_json::to_string(value).expect("a text is JSON");
            values.push((json[1..json.len() - 1].to_owned(), placeholder));
            values.push((value.escape_debug().to_string(), placeholder));
            values.push((value.clone(), placeholder));
        }
        // The longest first: one secret may be the beginning of another.
        values.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        values.iter().fold(message.to_owned(), |message, (value, placeholder)| message.replace(value, placeholder))
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    if !path.is_absolute() {
        return Err("must be an absolute path".into());
    }
    let length = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > MAX_FILE {
        return Err(format!("is longer than {MAX_FILE} bytes"));
    }
    let mut text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    // What an editor or `echo` puts at the end of a file is no part of a password.
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Vault for Fixed {
        fn env(&self, name: &str) -> Option<String> {
            (name == "PW").then(|| "s3\"cr3t".to_owned())
        }
    }

    #[test]
    fn placeholders_are_replaced_wherever_they_stand() {
        let mut secrets = Secrets::new(&Fixed);
        assert_eq!(secrets.resolve("a ${ENV:PW} b ${ENV:PW}").as_deref(), Ok("a s3\"cr3t b s3\"cr3t"));
        assert_eq!(secrets.resolve("cost: 5$ $${user.home}").as_deref(), Ok("cost: 5$ ${user.home}"));
        for fault in ["${ENV:NONE}", "${ENV:PW", "${user.home}", "${FILE:relative}", "${FILE:/no/such/file}"] {
            assert!(secrets.resolve(fault).is_err(), "{fault}");
        }
    }

    #[test]
    fn a_message_never_shows_a_value() {
        let mut secrets = Secrets::new(&Fixed);
        secrets.resolve("${ENV:PW}").expect("there");
        for quoted in ["not s3\"cr3t", "not \"s3\\\"cr3t\"", &format!("not {:?}", "s3\"cr3t")] {
            let shown = secrets.scrub(quoted);
            assert!(!shown.contains("cr3t") && shown.contains("${ENV:PW}"), "{shown}");
        }
    }
}

//! URLs as they may be shown: in messages, in the lock of a directory, in what a benchmark prints.

/// The text without the passwords of the URLs in it: `redis://user:secret@host` becomes `redis://user@host`, and options
/// whose name speaks of a password go away. Text that is no URL stays as it is.
pub fn without_password(text: &str) -> String {
    // An argument may be written `--store=URL`.
    let Some(at) = text.find("://") else { return text.to_owned() };
    let (scheme, rest) = text.split_at(at + 3);
    let (server, query) = rest.split_once('?').unwrap_or((rest, ""));
    // A password may hold a slash that nobody has escaped: what stands before the last @ is the user's.
    let server = match server.rsplit_once('@') {
        Some((user, host)) => format!("{}@{host}", user.split_once(':').map_or(user, |(user, _)| user)),
        None => server.to_owned(),
    };
    let public: Vec<&str> = query.split('&').filter(|pair| !is_secret(pair)).collect();
    format!("{scheme}{server}?{}", public.join("&")).trim_end_matches('?').to_owned()
}

/// A command line without its secrets: passwords in URLs, and the values of options whose name speaks of one
/// (`--token T`, `--token=T`).
pub fn command_line(arguments: impl IntoIterator<Item = String>) -> String {
    let mut shown: Vec<String> = Vec::new();
    let mut is_value = false;
    for argument in arguments {
        let is_option = argument.starts_with('-');
        let text = match argument.split_once('=') {
            _ if is_value && !is_option => "…".to_owned(),
            Some((name, _)) if is_option && is_secret(name) => format!("{name}=…"),
            _ => without_password(&argument),
        };
        is_value = is_option && is_secret(&argument) && !argument.contains('=');
        shown.push(text);
    }
    shown.join(" ")
}

fn is_secret(pair: &str) -> bool {
    // Also where it is misspelt.
    let name = pair.split('=').next().unwrap_or(pair).to_ascii_lowercase();
    name.contains("pas") || name.contains("secret") || name.contains("token")
}

#[cfg(test)]
mod tests {
    use super::{command_line, without_password};

    #[test]
    fn what_is_shown_of_a_command_line_has_no_secret() {
        let shown = |line: &str| command_line(line.split(' ').map(ToOwned::to_owned));
        assert_eq!(shown("windlass serve --token T --listen :1"), "windlass serve --token … --listen :1");
        assert_eq!(shown("windlass serve --token=T --quiet"), "windlass serve --token=… --quiet");
        assert_eq!(
            shown("x --store redis://u:p@h/0 --tls-key key.pem"),
            "x --store redis://u@h/0 --tls-key key.pem"
        );
        assert_eq!(shown("x --token --quiet"), "x --token --quiet");
    }

    #[test]
    fn what_is_shown_of_a_url_has_no_password() {
        for (url, shown) in [
            ("file:./data?ack=process", "file:./data?ack=process"),
            ("redis://localhost:6379/0", "redis://localhost:6379/0"),
            ("redis://user:se/cr@et@host/0", "redis://user@host/0"),
            ("redis://:secret@host?namespace=n", "redis://@host?namespace=n"),
            ("--to=postgres://u:secret@a,b/db?sslmode=require", "--to=postgres://u@a,b/db?sslmode=require"),
            ("redis+unix:///s?user=u&pass=secret&db=1", "redis+unix:///s?user=u&db=1"),
            ("redis+sentinel://h/m?sentinel_pasword=secret", "redis+sentinel://h/m"),
            ("enqueue", "enqueue"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}

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

fn is_secret(pair: &str) -> bool {
    // Also where it is misspelt.
    let name = pair.split('=').next().unwrap_or(pair).to_ascii_lowercase();
    name.contains("pas") || name.contains("secret") || name.contains("token")
}

#[cfg(test)]
mod tests {
    use super::without_password;

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

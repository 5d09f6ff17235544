//! Logging in (RFC 4954): PLAIN and LOGIN, for the one user there is.
//!
//! A password is asked for in the clear only where there is no TLS to be had.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

/// Who may send.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How far a login is.
#[derive(Debug)]
pub(super) enum Login {
    /// The one response of PLAIN is awaited.
    Plain,
    /// The name of LOGIN is awaited.
    Name,
    /// The password of LOGIN is awaited; the name is known.
    Password(String),
}

/// What a line makes of a login.
pub(super) enum Step {
    /// This is asked next, with this prompt.
    Ask(Login, &'static str),
    /// Name and password are complete.
    Done { name: String, password: String },
    /// Given up, or nothing that can be read.
    Bad(&'static str),
}

/// The prompts of LOGIN: `Username:` and `Password:` in base64.
const NAME_PROMPT: &str = "334 VXNlcm5hbWU6";
const PASSWORD_PROMPT: &str = "334 UGFzc3dvcmQ6";

/// Begins with what stands behind AUTH.
pub(super) fn begin(rest: &str) -> Step {
    let (mechanism, initial) = rest.trim().split_once(' ').unwrap_or((rest.trim(), ""));
    match (mechanism.to_ascii_uppercase().as_str(), initial.trim()) {
        ("PLAIN", "") => Step::Ask(Login::Plain, "334 "),
        ("PLAIN", response) => go_on(Login::Plain, response),
        ("LOGIN", "") => Step::Ask(Login::Name, NAME_PROMPT),
        ("LOGIN", response) => go_on(Login::Name, response),
        _ => Step::Bad("504 5.5.4 only PLAIN and LOGIN"),
    }
}

/// Goes on with a response.
pub(super) fn go_on(login: Login, response: &str) -> Step {
    if response == "*" {
        return Step::Bad("501 5.7.0 given up");
    }
    let Some(text) = BASE64.decode(response).ok().and_then(|bytes| String::from_utf8(bytes).ok()) else {
        return Step::Bad("501 5.5.2 no base64 of a text");
    };
    match login {
        Login::Plain => match text.split('\0').collect::<Vec<_>>()[..] {
            [_, name, password] => Step::Done { name: name.to_owned(), password: password.to_owned() },
            _ => Step::Bad("501 5.5.2 PLAIN is NUL name NUL password"),
        },
        Login::Name => Step::Ask(Login::Password(text), PASSWORD_PROMPT),
        Login::Password(name) => Step::Done { name, password: text },
    }
}

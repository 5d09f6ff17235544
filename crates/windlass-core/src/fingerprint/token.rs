//! One pass over one line of an error message, replacing what varies by placeholders.
//!
//! Hand-written rather than a list of regular expressions: each place is looked at a bounded number of
//! times whatever the input, and what to keep (a status, a database's error code) depends on the word
//! before, which a list of patterns cannot see.
//! The rules err on the side of fewer modes: a mode that mixes two faults is opened and read, a fault
//! that makes a mode per job is noise. The table of real messages is in the parent's tests.

/// Words after which a short number names the fault and is kept.
const CODE_WORDS: &[&str] = &["code", "errno", "http", "https", "smtp", "sqlstate", "status"];
/// As above, but a colon after it begins a sentence: `error 1062`, not `error: 7 rows are bad`.
const CODE_WORDS_BEFORE_SPACE: &[&str] = &["error", "err"];
/// Keys of JSON whose quoted value names the fault, if it is a single word.
const CODE_KEYS: &[&str] = &["code", "error", "error_code", "kind", "reason", "status", "type"];
/// Names that happen to end in digits.
const NAMES_WITH_DIGITS: &[&str] = &[
    "base32", "base64", "ec2", "f32", "f64", "http2", "http3", "i16", "i32", "i64", "int4", "int8", "ipv4",
    "ipv6", "k8s", "log4j", "md5", "oauth2", "s3", "sha1", "sha256", "sha512", "u16", "u32", "u64", "utf16",
    "utf8", "x509",
];
/// Digits of the longest code that is kept (SQLSTATE and Twilio have 5).
const CODE_DIGITS_MAX: usize = 5;
/// Hex digits from which a mixed word is taken for a hash or address.
const HEX_DIGITS_MIN: usize = 8;
/// A key or code of JSON is at most that long.
const JSON_WORD_MAX: usize = 40;

/// Replaces what varies in `line`; the answer is at most five times as long.
pub(super) fn replace(line: &str) -> String {
    let mut scan = Scan { text: line, at: 0, out: String::with_capacity(line.len() + 16), ..Scan::default() };
    while scan.at < line.len() {
        scan.step();
    }
    scan.out
}

/// What the word before makes of the number that follows.
#[derive(Clone, Copy, Default, PartialEq)]
enum Before {
    #[default]
    Nothing,
    /// A code word: a short number is kept.
    CodeWord,
    /// `error`: as above, unless a colon comes between.
    ErrorWord,
    /// A kept code, which may have a second part: `550 5.1.1`, `HTTP/1.1 503`, `1062 (23000)`.
    Code { version: bool },
}

#[derive(Default)]
struct Scan<'a> {
    text: &'a str,
    at: usize,
    out: String,
    before: Before,
    /// The end of the last word, if it was in capitals only.
    capitals_end: Option<usize>,
    /// The last thing was a JSON key whose value names the fault.
    code_key: bool,
    /// In a URL, where a question mark begins what varies.
    in_url: bool,
    /// Up to here no e-mail address begins inside the word run that was looked at.
    no_email_until: usize,
    /// Closing quotes (", ', ”) of which there are no more.
    no_more: [bool; 3],
}

impl<'a> Scan<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn byte(&self, at: usize) -> u8 {
        self.text.as_bytes().get(at).copied().unwrap_or(0)
    }

    fn before_at(&self) -> Option<char> {
        self.text[..self.at].chars().next_back()
    }

    /// Takes one thing at `at` and moves behind it.
    fn step(&mut self) {
        let Some(next) = self.rest().chars().next() else { return };
        if next.is_control() || next.is_whitespace() {
            return self.space(next);
        }
        if self.address_v6() {
            return;
        }
        match next {
            '"' => self.quoted(next, '"', 0),
            '\'' if !self.before_at().is_some_and(char::is_alphanumeric) => self.quoted(next, '\'', 1),
            '“' => self.quoted(next, '”', 2),
            '?' | '#' if self.in_url => self.query(),
            _ if next.is_alphanumeric() => self.word(),
            _ => self.mark(next),
        }
    }

    fn put(&mut self, text: &str, taken: usize) {
        self.out.push_str(text);
        self.at += taken;
    }

    /// Puts a placeholder; nothing before it explains what follows it.
    fn varies(&mut self, placeholder: &str, taken: usize) {
        self.put(placeholder, taken);
        (self.before, self.code_key) = (Before::Nothing, false);
    }

    /// Whitespace and control characters become one space; terminal escapes vanish.
    fn space(&mut self, next: char) {
        self.in_url = false;
        if next == '\u{1b}' && self.byte(self.at + 1) == b'[' {
            let end = self.rest()[2..].find(|c: char| !matches!(c, ' '..='?'));
            self.at +=
                end.map_or(2, |end| 2 + end + usize::from(self.byte(self.at + 2 + end).is_ascii_graphic()));
            return;
        }
        self.at += next.len_utf8();
        if !self.out.is_empty() && !self.out.ends_with(' ') {
            self.out.push(' ');
        }
    }

    fn mark(&mut self, next: char) {
        self.in_url &= !ends_url(next);
        self.before = match (next, self.before) {
            ('=' | '(' | '/' | '-' | '#' | '[', kept) => kept,
            (':', Before::CodeWord) => Before::CodeWord,
            _ => Before::Nothing,
        };
        self.code_key &= next == ':';
        self.out.push(next);
        self.at += next.len_utf8();
    }

    /// A quoted text varies, unless it is a key of JSON or the code under such a key.
    fn quoted(&mut self, open: char, close: char, which: usize) {
        let from = self.at + open.len_utf8();
        let Some(end) = self.closing(from, close, which) else { return self.mark(open) };
        self.in_url = false;
        let (inside, after) = (&self.text[from..end], end + close.len_utf8());
        let single = !inside.is_empty() && inside.len() <= JSON_WORD_MAX && inside.bytes().all(is_json_word);
        let lower = inside.to_ascii_lowercase();
        let taken = after - self.at;
        if self.text[after..].trim_start_matches(' ').starts_with(':') && single {
            self.put(&self.text[self.at..after], taken);
            self.before =
                if CODE_WORDS.contains(&lower.as_str()) { Before::CodeWord } else { Before::Nothing };
            self.code_key = CODE_KEYS.contains(&lower.as_str());
        } else if self.code_key && single {
            self.put(&self.text[self.at..after], taken);
            (self.before, self.code_key) = (Before::Nothing, false);
        } else {
            self.varies("<str>", taken);
        }
        self.capitals_end = None;
    }

    /// Where the quote that began before `from` ends.
    fn closing(&mut self, from: usize, close: char, which: usize) -> Option<usize> {
        if self.no_more[which] {
            return None;
        }
        let mut escaped = false;
        for (i, c) in self.text[from..].char_indices() {
            let ends = c == close && !escaped;
            // An apostrophe inside a word closes nothing.
            let next = from + i + c.len_utf8();
            if ends && !(c == '\'' && self.text[next..].starts_with(char::is_alphanumeric)) {
                return Some(from + i);
            }
            escaped = c == '\\' && !escaped;
        }
        self.no_more[which] = true;
        None
    }

    fn query(&mut self) {
        let mark = if self.byte(self.at) == b'?' { "?<query>" } else { "#<query>" };
        let taken = self.rest().find(ends_url).unwrap_or(self.rest().len());
        self.in_url = false;
        self.varies(mark, taken);
    }

    /// A run of letters and digits, or something longer that begins with it.
    fn word(&mut self) {
        if self.email() || self.url() || self.shaped() {
            return;
        }
        let rest = self.rest();
        let run = &rest[..rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len())];
        let digits = run.bytes().filter(u8::is_ascii_digit).count();
        if digits == 0 {
            self.letters(run);
        } else if digits == run.len() {
            self.number();
        } else {
            self.mixed(run);
        }
    }

    fn letters(&mut self, run: &str) {
        let lower = run.to_ascii_lowercase();
        self.before = if CODE_WORDS.contains(&lower.as_str()) {
            Before::CodeWord
        } else if CODE_WORDS_BEFORE_SPACE.contains(&lower.as_str()) {
            Before::ErrorWord
        } else {
            Before::Nothing
        };
        self.code_key = false;
        self.put(run, run.len());
        self.capitals_end = run.bytes().all(|b| b.is_ascii_uppercase()).then_some(self.at);
    }

    /// `ann@example.com`, with angle brackets around it if there are any.
    fn email(&mut self) -> bool {
        if self.at < self.no_email_until {
            return false;
        }
        let local = run_of(self.rest(), |b| {
            b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'%' | b'+' | b'-')
        });
        self.no_email_until = self.at + local;
        if local == 0 || self.byte(self.at + local) != b'@' {
            return false;
        }
        let domain = &self.rest()[local + 1..];
        let domain = &domain[..run_of(domain, |b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))];
        let domain = domain.trim_end_matches(['.', '-']);
        if !domain.contains('.') {
            return false;
        }
        let taken = local + 1 + domain.len();
        let bracketed = self.out.ends_with('<') && self.byte(self.at + taken) == b'>';
        if bracketed {
            self.out.pop();
        }
        self.varies("<email>", taken + usize::from(bracketed));
        true
    }

    /// `scheme://user:password@`: the scheme is kept, the user never is.
    fn url(&mut self) -> bool {
        let scheme = run_of(self.rest(), |b| b.is_ascii_alphabetic());
        if scheme == 0 || !self.rest()[scheme..].starts_with("://") {
            return false;
        }
        let start = scheme + 3;
        let authority = &self.rest()[start..];
        let end =
            authority.find(|c: char| ends_url(c) || matches!(c, '/' | '?' | '#')).unwrap_or(authority.len());
        let user = authority[..end].rfind('@').map_or(0, |at| at + 1);
        self.varies(&self.rest()[..start], start + user);
        self.no_email_until = self.at;
        self.in_url = true;
        true
    }

    /// What is known by its shape: UUID, date, time, IPv4 address, hex with 0x.
    fn shaped(&mut self) -> bool {
        let rest = self.rest().as_bytes();
        let found = if let Some(taken) = uuid(rest) {
            Some(("<uuid>", taken))
        } else if let Some(taken) = date(rest).or_else(|| clock(rest)) {
            Some(("<time>", taken))
        } else if let Some(taken) = address_v4(rest) {
            Some(("<ip>", taken))
        } else {
            hex_with_prefix(rest).map(|taken| ("<hex>", taken))
        };
        let Some((placeholder, taken)) = found else { return false };
        self.varies(placeholder, taken);
        true
    }

    fn address_v6(&mut self) -> bool {
        let first = self.byte(self.at);
        let alone = self.before_at().is_none_or(|c| matches!(c, ' ' | '[' | '(' | '=' | '"' | '/' | '\''));
        if !alone || !(first.is_ascii_hexdigit() || first == b':') {
            return false;
        }
        let taken = run_of(self.rest(), |b| b.is_ascii_hexdigit() || b == b':');
        let run = &self.rest()[..taken];
        let colons = run.bytes().filter(|b| *b == b':').count();
        let whole = !self.rest()[taken..].starts_with(char::is_alphanumeric);
        let address = (run.contains("::") || colons == 7) && run.bytes().any(|b| b.is_ascii_digit()) && whole;
        if address {
            self.varies("<ip>", taken);
        }
        address
    }

    /// A number varies, unless it is a code.
    fn number(&mut self) {
        let rest = self.rest().as_bytes();
        let mut taken = 0;
        loop {
            taken += run_of(&self.rest()[taken..], |b| b.is_ascii_digit());
            let more = matches!(rest.get(taken), Some(b'.' | b','))
                && rest.get(taken + 1).is_some_and(u8::is_ascii_digit);
            if !more {
                break;
            }
            taken += 1;
        }
        let number = &self.rest()[..taken];
        if let Some(version) = self.is_code(number) {
            self.put(number, taken);
            (self.before, self.code_key) = (Before::Code { version }, false);
            return;
        }
        // A sign belongs to the number, a hyphen to the word before it.
        let signed = self.out.strip_suffix(['-', '+']);
        if let Some(unsigned) =
            signed.filter(|text| text.is_empty() || text.ends_with([' ', '(', '[', '=', ',', ':']))
        {
            self.out.truncate(unsigned.len());
        }
        self.varies("<n>", taken);
    }

    /// Whether the number names the fault, and then whether it is a version before the code itself.
    fn is_code(&self, number: &str) -> Option<bool> {
        let before = self.before_at();
        let plain = number.bytes().all(|b| b.is_ascii_digit());
        let short = number.len() <= CODE_DIGITS_MAX && !number.contains(',');
        let failure = plain && number.len() == 3 && number.starts_with(['4', '5']);
        let enhanced =
            number.len() >= 5 && number.starts_with(['2', '4', '5']) && number.split('.').count() == 3;
        let rest = &self.rest()[number.len()..];
        let titled =
            rest.strip_prefix(' ').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()));
        let named = self.capitals_end.is_some_and(|end| end + 1 == self.at) && before == Some('-');
        let code = match self.before {
            Before::CodeWord | Before::ErrorWord => short,
            Before::Code { version } => {
                enhanced || (failure && version) || (before == Some('(') && number.len() == 5)
            }
            Before::Nothing => false,
        };
        // `550 no such user`, `(404 Not Found)`, `ORA-00942`.
        let standing = failure && (self.out.is_empty() || titled) && !rest.starts_with(char::is_alphanumeric);
        let kept = code || standing || (named && plain && number.len() <= CODE_DIGITS_MAX + 1);
        kept.then_some(before == Some('/'))
    }

    /// Letters and digits in one run.
    fn mixed(&mut self, run: &str) {
        let bytes = run.as_bytes();
        let borders =
            bytes.windows(2).filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit()).count();
        let first_digit = bytes.iter().position(u8::is_ascii_digit).unwrap_or(0);
        let first_letter = bytes.iter().position(|b| !b.is_ascii_digit()).unwrap_or(0);
        let lower = run.to_ascii_lowercase();
        let version = lower.len() <= 3 && lower.starts_with('v') && borders == 1;
        let code = borders == 1
            && (1..=5).contains(&first_digit)
            && (2..=6).contains(&(run.len() - first_digit))
            && bytes[..first_digit].iter().all(u8::is_ascii_uppercase);
        if version || code || NAMES_WITH_DIGITS.contains(&lower.as_str()) {
            self.varies(run, run.len());
        } else if run.len() >= HEX_DIGITS_MIN && bytes.iter().all(u8::is_ascii_hexdigit) {
            self.varies("<hex>", run.len());
        } else if borders == 1 && first_digit > 0 {
            self.varies(&format!("{}<n>", &run[..first_digit]), run.len());
        } else if borders == 1 && run.len() - first_letter <= 4 {
            // A unit.
            self.varies(&format!("<n>{}", &run[first_letter..]), run.len());
        } else {
            self.varies("<id>", run.len());
        }
    }
}

/// How many bytes from the start satisfy `is`; only ASCII may, so the end is a character's border.
fn run_of(text: &str, is: impl Fn(u8) -> bool) -> usize {
    text.bytes().position(|b| !is(b)).unwrap_or(text.len())
}

fn ends_url(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '<' | '>' | ')' | ']' | '}' | '“' | '”')
}

fn is_json_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')
}

/// The length of `pattern` at the start of `text`: `d` a digit, `x` a hex digit, others themselves.
fn shape(text: &[u8], pattern: &str) -> Option<usize> {
    let fits = |(b, p): (&u8, u8)| match p {
        b'd' => b.is_ascii_digit(),
        b'x' => b.is_ascii_hexdigit(),
        _ => *b == p,
    };
    let whole = text.len() >= pattern.len() && text.iter().zip(pattern.bytes()).all(fits);
    whole.then_some(pattern.len())
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|b| b.is_ascii_digit()).count()
}

/// `Some(taken)` if no letter or digit follows.
fn whole(text: &[u8], taken: usize) -> Option<usize> {
    (!text.get(taken).is_some_and(u8::is_ascii_alphanumeric)).then_some(taken)
}

fn uuid(text: &[u8]) -> Option<usize> {
    whole(text, shape(text, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")?)
}

/// `2026-11-21`, with a time if one follows.
fn date(text: &[u8]) -> Option<usize> {
    let day = shape(text, "dddd-dd-dd").or_else(|| shape(text, "dddd/dd/dd"))?;
    let time = match text.get(day) {
        Some(b'T' | b't' | b' ' | b'_') => {
            clock(&text[day + 1..]).or_else(|| shape(&text[day + 1..], "dd:dd"))
        }
        _ => None,
    };
    time.map_or_else(|| whole(text, day), |time| Some(day + 1 + time))
}

/// `10:15:30`, with a fraction and an offset if they follow.
fn clock(text: &[u8]) -> Option<usize> {
    let mut taken = shape(text, "dd:dd:dd")?;
    if matches!(text.get(taken), Some(b'.' | b',')) && digits(&text[taken + 1..]) > 0 {
        taken += 1 + digits(&text[taken + 1..]);
    }
    let zone = &text[taken..];
    let offset = ["Z", "+dd:dd", "-dd:dd", "+dddd", "-dddd"].iter().find_map(|pattern| shape(zone, pattern));
    whole(text, taken + offset.unwrap_or(0))
}

/// `10.0.0.1`, with a port if one follows.
fn address_v4(text: &[u8]) -> Option<usize> {
    let mut taken = 0;
    for part in 0..4 {
        let n = digits(&text[taken..]);
        if !(1..=3).contains(&n) {
            return None;
        }
        taken += n;
        if part < 3 {
            (text.get(taken) == Some(&b'.')).then_some(())?;
            taken += 1;
        }
    }
    let more = text.get(taken) == Some(&b'.') && digits(&text[taken + 1..]) > 0;
    let port = if text.get(taken) == Some(&b':') { digits(&text[taken + 1..]) } else { 0 };
    if more { None } else { whole(text, taken + if port > 0 { 1 + port } else { 0 }) }
}

fn hex_with_prefix(text: &[u8]) -> Option<usize> {
    let [b'0', b'x' | b'X', rest @ ..] = text else { return None };
    let n = rest.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    if n == 0 { None } else { whole(text, 2 + n) }
}

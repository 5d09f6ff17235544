//! Reads and checks `#[job(…)]`.

use proc_macro2::{Ident, Span};
use syn::ext::IdentExt;
use syn::meta::ParseNestedMeta;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Data, DeriveInput, Error, Fields, LitInt, LitStr, Result, Token, parenthesized};

/// What a name may hold, as the contract has it.
const NAME_BYTES_MAX: usize = 128;
const KNOWN: &[&str] = &[
    "kind",
    "queue",
    "alias",
    "max_failures",
    "max_attempts",
    "retry",
    "timeout",
    "priority",
    "group",
    "unique",
    "tags",
    "limits",
    "delay",
    "expires_in",
];
const KNOWN_UNIQUE: &[&str] = &["by", "for", "scope", "on_conflict"];
const KNOWN_RETRY: &[&str] = &["exponential", "fixed", "list", "never"];

/// The options of one job type.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) kind: Option<String>,
    pub(crate) queue: Option<String>,
    pub(crate) aliases: Vec<String>,
    pub(crate) max_failures: Option<u32>,
    pub(crate) retry: Option<Retry>,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) delay_ms: Option<u64>,
    pub(crate) expires_in_ms: Option<u64>,
    pub(crate) priority: Option<i8>,
    pub(crate) group: Option<Ident>,
    pub(crate) unique: Option<Unique>,
    pub(crate) tags: Vec<Template>,
    pub(crate) limits: Vec<(Template, u32)>,
}

pub(crate) enum Retry {
    Exponential { base_ms: u64, cap_ms: u64 },
    Fixed { delay_ms: u64 },
    List { delays_ms: Vec<u64> },
}

pub(crate) struct Unique {
    pub(crate) by: Vec<Ident>,
    pub(crate) scope: Scope,
    pub(crate) on_conflict: &'static str,
}

pub(crate) enum Scope {
    WhileLive,
    UntilStart,
    For { ttl_ms: u64 },
}

/// A text in which `{field}` stands for the field's value.
pub(crate) struct Template(pub(crate) Vec<Piece>);

pub(crate) enum Piece {
    Text(String),
    Field(Ident),
}

/// The fields that options may name.
struct Known<'a> {
    type_name: &'a Ident,
    fields: Vec<&'a Ident>,
}

/// The options of the type, each checked.
pub(crate) fn read(input: &DeriveInput) -> Result<Options> {
    let fields = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(named) => named.named.iter().filter_map(|field| field.ident.as_ref()).collect(),
            Fields::Unnamed(_) | Fields::Unit => Vec::new(),
        },
        Data::Enum(_) => Vec::new(),
        Data::Union(_) => return Err(Error::new_spanned(&input.ident, "a union cannot be a job")),
    };
    let known = Known { type_name: &input.ident, fields };
    let mut options = Options::default();
    let mut seen = Vec::new();
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("job")) {
        attribute.parse_nested_meta(|meta| {
            let key = key(&meta, KNOWN, "job")?;
            // Two words for one thing.
            let once = if key == "max_attempts" { "max_failures".to_owned() } else { key.clone() };
            if once != "alias" && seen.contains(&once) {
                return Err(meta.error(format!("`{key}` is given twice")));
            }
            seen.push(once);
            known.option(&mut options, &key, &meta)
        })?;
    }
    if let (Some(Retry::List { .. }), Some(_)) = (&options.retry, options.max_failures) {
        let why =
            "a list of delays says by its length how many failures there may be; leave out `max_failures`";
        return Err(Error::new_spanned(&input.ident, why));
    }
    if options.kind.is_none() {
        let kind = snake_case(&input.ident.unraw().to_string());
        if let Some(fault) = name_fault(&kind) {
            let why = format!("the kind made of this name {fault}; give one: #[job(kind = \"…\")]");
            return Err(Error::new_spanned(&input.ident, why));
        }
    }
    Ok(options)
}

impl Known<'_> {
    fn option(&self, options: &mut Options, key: &str, meta: &ParseNestedMeta<'_>) -> Result<()> {
        match key {
            "kind" => options.kind = Some(name(meta)?),
            "queue" => options.queue = Some(name(meta)?),
            "alias" => options.aliases.push(name(meta)?),
            "max_failures" | "max_attempts" => options.max_failures = Some(number(meta, 1, 1_000)? as u32),
            "retry" => options.retry = Some(retry(meta)?),
            "timeout" => options.timeout_ms = Some(duration(&meta.value()?.parse()?)?),
            "delay" => options.delay_ms = Some(duration(&meta.value()?.parse()?)?),
            "expires_in" => options.expires_in_ms = Some(duration(&meta.value()?.parse()?)?),
            "priority" => options.priority = Some(number(meta, -9, 9)? as i8),
            "group" => options.group = Some(self.field(&meta.value()?.parse()?)?),
            "unique" => options.unique = Some(self.unique(meta)?),
            "tags" => {
                for text in list::<LitStr>(meta)? {
                    options.tags.push(self.template(&text)?);
                }
            }
            _ => {
                for limit in list::<Limit>(meta)? {
                    options.limits.push((self.template(&limit.name)?, limit.cost));
                }
            }
        }
        Ok(())
    }

    fn unique(&self, meta: &ParseNestedMeta<'_>) -> Result<Unique> {
        let mut by = Vec::new();
        let mut scope = None;
        let mut on_conflict = None;
        let span = meta.path.get_ident().map_or_else(Span::call_site, Ident::span);
        meta.parse_nested_meta(|meta| {
            match key(&meta, KNOWN_UNIQUE, "unique")?.as_str() {
                "by" if meta.input.peek(Token![=]) => by.push(self.field(&meta.value()?.parse()?)?),
                "by" => {
                    for field in list::<LitStr>(&meta)? {
                        by.push(self.field(&field)?);
                    }
                }
                "for" if scope.is_none() => {
                    scope = Some(Scope::For { ttl_ms: duration(&meta.value()?.parse()?)? });
                }
                "scope" if scope.is_none() => {
                    let words = [("while_live", Scope::WhileLive), ("until_start", Scope::UntilStart)];
                    scope = Some(word(&meta.value()?.parse()?, words)?);
                }
                "for" | "scope" => return Err(meta.error("`for` and `scope` exclude each other")),
                _ => {
                    let words = [
                        ("existing", "Existing"),
                        ("replace", "Replace"),
                        ("reschedule", "Reschedule"),
                        ("refuse", "Refuse"),
                    ];
                    on_conflict = Some(word(&meta.value()?.parse()?, words)?);
                }
            }
            Ok(())
        })?;
        if by.is_empty() {
            return Err(Error::new(span, "`unique` needs the fields it is about: `unique(by = \"field\")`"));
        }
        Ok(Unique {
            by,
            scope: scope.unwrap_or(Scope::WhileLive),
            on_conflict: on_conflict.unwrap_or("Existing"),
        })
    }

    /// The field of that name.
    fn field(&self, literal: &LitStr) -> Result<Ident> {
        let text = literal.value();
        self.find(&text).ok_or_else(|| Error::new(literal.span(), self.no_field(&text)))
    }

    fn find(&self, text: &str) -> Option<Ident> {
        self.fields.iter().find(|field| field.unraw() == text).map(|field| (*field).clone())
    }

    fn no_field(&self, text: &str) -> String {
        let has = match self.fields.is_empty() {
            true => "it has no named fields".to_owned(),
            false => format!("its fields are {}", quoted(self.fields.iter().map(|field| field.unraw()))),
        };
        format!("`{}` has no field `{text}`; {has}", self.type_name)
    }

    fn template(&self, literal: &LitStr) -> Result<Template> {
        let text = literal.value();
        let mut pieces = Vec::new();
        let mut rest = text.as_str();
        let unbalanced = || Error::new(literal.span(), "braces stand around a field: `{field}`");
        while let Some((before, from)) = rest.split_once('{') {
            let (field, after) = from.split_once('}').ok_or_else(unbalanced)?;
            let field = self.find(field).ok_or_else(|| Error::new(literal.span(), self.no_field(field)))?;
            pieces.extend([Piece::Text(before.into()), Piece::Field(field)]);
            rest = after;
        }
        if rest.contains('}') {
            return Err(unbalanced());
        }
        pieces.push(Piece::Text(rest.into()));
        pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        if pieces.is_empty() {
            return Err(Error::new(literal.span(), "is empty"));
        }
        Ok(Template(pieces))
    }
}

fn retry(meta: &ParseNestedMeta<'_>) -> Result<Retry> {
    let mut policy = None;
    meta.parse_nested_meta(|meta| {
        let key = key(&meta, KNOWN_RETRY, "retry")?;
        if policy.is_some() {
            return Err(meta.error("`retry` holds one policy"));
        }
        policy = Some(match key.as_str() {
            "exponential" => {
                let (mut base, mut cap) = (None, None);
                meta.parse_nested_meta(|meta| {
                    let key = self::key(&meta, &["base", "cap"], "exponential")?;
                    let ms = duration(&meta.value()?.parse()?)?;
                    if key == "base" {
                        base = Some(ms)
                    } else {
                        cap = Some(ms)
                    }
                    Ok(())
                })?;
                let (base_ms, cap_ms) = (base.unwrap_or(5_000), cap.unwrap_or(1_800_000));
                if base_ms == 0 || base_ms > cap_ms {
                    return Err(meta.error("`base` is more than 0 and at most `cap`"));
                }
                Retry::Exponential { base_ms, cap_ms }
            }
            "fixed" => Retry::Fixed { delay_ms: duration(&meta.value()?.parse()?)? },
            "list" => {
                let delays = list::<LitStr>(&meta)?;
                Retry::List { delays_ms: delays.iter().map(duration).collect::<Result<_>>()? }
            }
            _ => Retry::List { delays_ms: Vec::new() },
        });
        Ok(())
    })?;
    policy.ok_or_else(|| meta.error(format!("`retry` holds one of {}", quoted(KNOWN_RETRY))))
}

/// The key of an option, one of those known.
fn key(meta: &ParseNestedMeta<'_>, known: &[&str], of: &str) -> Result<String> {
    let text = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
    if known.contains(&text.as_str()) {
        return Ok(text);
    }
    let told = format!("`{of}` has no option of this name; it has {}", quoted(known));
    Err(Error::new_spanned(&meta.path, told))
}

/// `("a", "b")` behind a key.
fn list<T: Parse>(meta: &ParseNestedMeta<'_>) -> Result<Vec<T>> {
    let content;
    parenthesized!(content in meta.input);
    Ok(Punctuated::<T, Token![,]>::parse_terminated(&content)?.into_iter().collect())
}

/// `"gpu"` or `"gpu" = 2`.
struct Limit {
    name: LitStr,
    cost: u32,
}

impl Parse for Limit {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name = input.parse()?;
        let mut cost = 1;
        if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            let literal: LitInt = input.parse()?;
            cost = literal.base10_parse()?;
            if cost == 0 {
                return Err(Error::new(literal.span(), "a cost is at least 1"));
            }
        }
        Ok(Self { name, cost })
    }
}

/// A whole number between two others.
fn number(meta: &ParseNestedMeta<'_>, least: i64, most: i64) -> Result<i64> {
    let input = meta.value()?;
    let minus: Option<Token![-]> = input.parse()?;
    let literal: LitInt = input.parse()?;
    let number: i64 = literal.base10_parse()?;
    let number = if minus.is_some() { -number } else { number };
    if (least..=most).contains(&number) {
        return Ok(number);
    }
    Err(Error::new(literal.span(), format!("is not between {least} and {most}")))
}

/// One of a few words.
fn word<T, const N: usize>(literal: &LitStr, words: [(&'static str, T); N]) -> Result<T> {
    let text = literal.value();
    let known = quoted(words.iter().map(|(word, _)| word));
    let found = words.into_iter().find(|(word, _)| *word == text).map(|(_, value)| value);
    found.ok_or_else(|| Error::new(literal.span(), format!("is none of {known}")))
}

/// A name as every store takes it.
fn name(meta: &ParseNestedMeta<'_>) -> Result<String> {
    let literal: LitStr = meta.value()?.parse()?;
    match name_fault(&literal.value()) {
        Some(fault) => Err(Error::new(literal.span(), fault)),
        None => Ok(literal.value()),
    }
}

fn name_fault(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        Some("is empty")
    } else if text.len() > NAME_BYTES_MAX {
        Some("is longer than 128 characters")
    } else if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-')) {
        Some("may hold only letters, digits and . _ : -")
    } else {
        None
    }
}

/// Milliseconds of `"500ms"`, `"30s"`, `"1h30min"`.
fn duration(literal: &LitStr) -> Result<u64> {
    let text = literal.value();
    let told = || {
        let text = format!(
            "{text:?} is not a duration: write a number and a unit, like \"500ms\", \"30s\", \"5min\", \"1h30min\" or \"7d\""
        );
        Error::new(literal.span(), text)
    };
    let mut rest = text.as_str();
    let mut total_ms: u64 = 0;
    if rest.is_empty() {
        return Err(told());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, from) = rest.split_at(digits);
        let letters = from.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(from.len());
        let (unit, after) = from.split_at(letters);
        let unit_ms = match unit {
            "ms" => 1,
            "s" | "sec" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(told()),
        };
        let number: u64 = number.parse().map_err(|_| told())?;
        let ms = number.checked_mul(unit_ms).ok_or_else(told)?;
        total_ms = total_ms.checked_add(ms).ok_or_else(told)?;
        rest = after;
    }
    Ok(total_ms)
}

/// `SendEmail` as `send_email`, `HTTPCall` as `http_call`.
pub(crate) fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::with_capacity(name.len() + 4);
    for (i, &letter) in letters.iter().enumerate() {
        let before = i.checked_sub(1).map(|before| letters[before]);
        let after = letters.get(i + 1);
        let new_word = letter.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || before.is_ascii_digit()
                    || (before.is_uppercase() && after.is_some_and(|after| after.is_lowercase()))
            });
        if new_word {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

fn quoted<T: std::fmt::Display>(words: impl IntoIterator<Item = T>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    fn fault(input: DeriveInput) -> String {
        read(&input).err().expect("refused").to_string()
    }

    #[test]
    fn a_kind_is_the_type_name_in_snake_case() {
        for (name, kind) in [
            ("SendEmail", "send_email"),
            ("HTTPCall", "http_call"),
            ("Send2Users", "send2_users"),
            ("X", "x"),
            ("already_snake", "already_snake"),
        ] {
            assert_eq!(snake_case(name), kind);
        }
    }

    #[test]
    fn durations_are_numbers_with_units() {
        let ms = |text: &str| duration(&LitStr::new(text, Span::call_site())).map_err(|e| e.to_string());
        assert_eq!(ms("500ms"), Ok(500));
        assert_eq!(ms("1h30min"), Ok(5_400_000));
        assert_eq!(ms("7d"), Ok(604_800_000));
        for bad in ["", "30", "s", "5 min", "1y", "-1s", "99999999999999999999s", "18446744073709551615d"] {
            assert!(ms(bad).unwrap_err().contains("is not a duration"), "{bad}");
        }
    }

    #[test]
    fn everything_wrong_is_told() {
        let cases: [(DeriveInput, &str); 9] = [
            (
                parse_quote!(
                    #[job(quue = "x")]
                    struct A {}
                ),
                "it has `kind`, `queue`",
            ),
            (
                parse_quote!(
                    #[job(queue = "a b")]
                    struct A {}
                ),
                "only letters, digits",
            ),
            (
                parse_quote!(
                    #[job(queue = "a", queue = "b")]
                    struct A {}
                ),
                "given twice",
            ),
            (
                parse_quote!(
                    #[job(max_failures = 3, max_attempts = 4)]
                    struct A {}
                ),
                "given twice",
            ),
            (
                parse_quote!(
                    #[job(group = "who")]
                    struct A {
                        user: u8,
                    }
                ),
                "`A` has no field `who`; its fields are `user`",
            ),
            (
                parse_quote!(
                    #[job(unique(scope = "until_start"))]
                    struct A {
                        user: u8,
                    }
                ),
                "needs the fields",
            ),
            (
                parse_quote!(
                    #[job(unique(by = "user", for = "1h", scope = "while_live"))]
                    struct A {
                        user: u8,
                    }
                ),
                "exclude each other",
            ),
            (
                parse_quote!(
                    #[job(tags("t:{usr}"))]
                    struct A {
                        user: u8,
                    }
                ),
                "no field `usr`",
            ),
            (
                parse_quote!(
                    #[job(priority = 10)]
                    struct A {}
                ),
                "not between -9 and 9",
            ),
        ];
        for (input, says) in cases {
            let told = fault(input);
            assert!(told.contains(says), "{told}");
        }
    }
}

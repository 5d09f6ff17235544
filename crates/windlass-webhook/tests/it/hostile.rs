//! Addresses that people write to reach what they should not, each against a guard whose resolver answers as told.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use windlass_webhook::{Allowed, BadUrl, Forbidden, Guard, NoWay, Resolve, Resolving, TargetUrl};

/// A resolver that says what a test tells it to, and another thing the next time.
#[derive(Clone, Default)]
pub(crate) struct Liar(Arc<Mutex<HashMap<String, Vec<Vec<IpAddr>>>>>);

impl Liar {
    /// What the host resolves to, the first time, the second time and so on; the last of them from then on.
    pub(crate) fn says(self, host: &str, answers: &[&[&str]]) -> Self {
        let ip = |text: &&str| text.parse().expect("an address");
        let answers = answers.iter().map(|one| one.iter().map(ip).collect()).collect();
        self.0.lock().expect("no panic").insert(host.to_owned(), answers);
        self
    }
}

impl Resolve for Liar {
    fn resolve(&self, host: String) -> Resolving {
        let mut all = self.0.lock().expect("no panic");
        let found = match all.get_mut(&host) {
            Some(answers) if answers.len() > 1 => Ok(answers.remove(0)),
            Some(answers) => Ok(answers.first().cloned().unwrap_or_default()),
            None => Err(std::io::Error::other("no such name")),
        };
        Box::pin(async move { found })
    }
}

/// Names as attackers and clouds have them.
fn names() -> Liar {
    [
        ("localhost", "127.0.0.1"),
        ("LOCALHOST", "127.0.0.1"),
        ("foo.localhost", "127.0.0.1"),
        ("ip6-localhost", "::1"),
        ("localtest.me", "127.0.0.1"),
        ("127.0.0.1.nip.io", "127.0.0.1"),
        ("metadata.google.internal", "169.254.169.254"),
        ("metadata", "169.254.169.254"),
        ("instance-data", "169.254.169.254"),
        ("wire.azure", "168.63.129.16"),
        ("alibaba.metadata", "100.100.100.200"),
        ("kubernetes.default.svc", "10.96.0.1"),
        ("router.lan", "192.168.1.1"),
        ("mapped.example", "::ffff:127.0.0.1"),
        ("nat64.example", "64:ff9b::7f00:1"),
        ("sixtofour.example", "2002:7f00:1::1"),
        ("teredo.example", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
        ("ula.example", "fd00:ec2::254"),
        ("docs.example", "2001:db8::1"),
        ("nowhere.example", "0.0.0.0"),
        ("cast.example", "224.0.0.251"),
        ("hook.example", "93.184.216.34"),
        ("hook6.example", "2606:2800:220:1:248:1893:25c8:1946"),
        ("xn--mnchen-3ya.example", "93.184.216.34"),
    ]
    .into_iter()
    .fold(Liar::default(), |liar, (host, ip)| liar.says(host, &[&[ip]]))
}

/// What becomes of an address: read, then looked at.
#[derive(Debug, PartialEq)]
enum Fate {
    Open,
    Unreadable,
    Userinfo,
    Scheme,
    Port,
    Closed,
    NoName,
}

async fn fate(guard: &Guard, url: &str) -> Fate {
    let url = match TargetUrl::parse(url) {
        Ok(url) => url,
        Err(BadUrl::Userinfo) => return Fate::Userinfo,
        Err(BadUrl::Scheme(_)) => return Fate::Scheme,
        Err(_) => return Fate::Unreadable,
    };
    match guard.check(&url).await {
        Ok(()) => Fate::Open,
        Err(NoWay::Forbidden(Forbidden::Scheme { .. })) => Fate::Scheme,
        Err(NoWay::Forbidden(Forbidden::Port { .. })) => Fate::Port,
        Err(NoWay::Forbidden(Forbidden::Address { .. })) => Fate::Closed,
        Err(NoWay::Unresolved { .. }) => Fate::NoName,
    }
}

#[tokio::test]
async fn no_spelling_of_an_address_reaches_what_is_not_public() {
    use Fate::{Closed, NoName, Open, Port, Scheme, Unreadable, Userinfo};
    let guard = Guard::default().resolving_by(names());
    for (url, expected) in [
        ("https://hook.example/in?queue=email", Open),
        ("https://HOOK.example./in", Open),
        ("https://hook.example:8443/", Open),
        ("https://hook6.example/", Open),
        ("https://münchen.example/", Open),
        ("https://8.8.8.8/", Open),
        ("https://[2606:4700:4700::1111]/", Open),
        ("https://[::ffff:8.8.8.8]/", Open),
        // This machine, spelled.
        ("https://127.0.0.1/", Closed),
        ("https://127.1/", Closed),
        ("https://127.0.1/", Closed),
        ("https://127.255.255.254/", Closed),
        ("https://2130706433/", Closed),
        ("https://017700000001/", Closed),
        ("https://0x7f000001/", Closed),
        ("https://0x7F.0x0.0x0.0x1/", Closed),
        ("https://0x7f.1/", Closed),
        ("https://0177.0.0.1/", Closed),
        ("https://0177.0x0.0.1/", Closed),
        ("https://127.0.0.1./", Closed),
        ("https://%31%32%37.0.0.1/", Closed),
        ("https://１２７.０.０.１/", Closed),
        ("https://①②⑦.⓪.⓪.①/", Closed),
        ("https://127。0。0。1/", Closed),
        ("https://0/", Closed),
        ("https://0.0.0.0/", Closed),
        ("https://[::]/", Closed),
        ("https://[::1]/", Closed),
        ("https://[0:0:0:0:0:0:0:1]/", Closed),
        ("https://[::127.0.0.1]/", Closed),
        ("https://[::ffff:127.0.0.1]/", Closed),
        ("https://[::ffff:7f00:1]/", Closed),
        ("https://[0:0:0:0:0:ffff:7f00:0001]/", Closed),
        ("https://[64:ff9b::127.0.0.1]/", Closed),
        ("https://[64:ff9b:1::808:808]/", Closed),
        ("https://[2002:7f00:1::]/", Closed),
        ("https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/", Closed),
        ("https://localhost/", Closed),
        ("https://LOCALHOST/", Closed),
        ("https://localhost./", Closed),
        ("https://foo.localhost/", Closed),
        ("https://ip6-localhost/", Closed),
        ("https://localtest.me/", Closed),
        ("https://127.0.0.1.nip.io/", Closed),
        ("https://ⓛocalhost/", Closed),
        ("https://local\u{ad}host/", Closed),
        // What clouds keep.
        ("https://169.254.169.254/latest/meta-data/", Closed),
        ("https://2852039166/", Closed),
        ("https://0xA9FEA9FE/", Closed),
        ("https://0251.0376.0251.0376/", Closed),
        ("https://[::ffff:a9fe:a9fe]/", Closed),
        ("https://[fe80::a9fe:a9fe]/", Closed),
        ("https://[fd00:ec2::254]/", Closed),
        ("https://metadata.google.internal/", Closed),
        ("https://metadata/", Closed),
        ("https://instance-data/", Closed),
        ("https://wire.azure/", Closed),
        ("https://168.63.129.16/", Closed),
        ("https://alibaba.metadata/", Closed),
        ("https://192.0.0.192/", Closed),
        // Networks of one's own, and no networks.
        ("https://10.0.0.1/", Closed),
        ("https://172.16.0.1/", Closed),
        ("https://192.168.1.1/", Closed),
        ("https://router.lan/", Closed),
        ("https://kubernetes.default.svc/", Closed),
        ("https://100.64.0.1/", Closed),
        ("https://198.18.0.1/", Closed),
        ("https://192.0.2.1/", Closed),
        ("https://224.0.0.1/", Closed),
        ("https://240.0.0.1/", Closed),
        ("https://255.255.255.255/", Closed),
        ("https://[fc00::1]/", Closed),
        ("https://[ff02::1]/", Closed),
        ("https://[2001:db8::1]/", Closed),
        ("https://[4000::1]/", Closed),
        ("https://mapped.example/", Closed),
        ("https://nat64.example/", Closed),
        ("https://sixtofour.example/", Closed),
        ("https://teredo.example/", Closed),
        ("https://ula.example/", Closed),
        ("https://docs.example/", Closed),
        ("https://nowhere.example/", Closed),
        ("https://cast.example/", Closed),
        // Whose host is not what it looks like.
        ("https://hook.example@127.0.0.1/", Userinfo),
        ("https://user:password@hook.example/", Userinfo),
        ("https://@hook.example/", Userinfo),
        ("https://hook.example:443@127.0.0.1/", Userinfo),
        ("https://127.0.0.1\\@hook.example/", Unreadable),
        ("https://hook.example\\.127.0.0.1/", Unreadable),
        ("https:/\\127.0.0.1/", Unreadable),
        ("https://hook.example#@127.0.0.1/", Unreadable),
        ("https://127.0.0.1?@hook.example/", Closed),
        ("https:127.0.0.1/", Closed),
        ("https:///127.0.0.1/", Closed),
        ("https://hook.example\r\nHost: 127.0.0.1/", Unreadable),
        ("https://hook.ex\tample/", Unreadable),
        ("https://hook.example%00.127.0.0.1/", Unreadable),
        ("https://[::1%25lo]/", Unreadable),
        ("https://256.256.256.256/", Unreadable),
        ("https://1.2.3.4.5/", Unreadable),
        ("https://0xffffffffff/", Unreadable),
        ("https:///", Unreadable),
        ("https://", Unreadable),
        ("https://./", Unreadable),
        ("", Unreadable),
        ("/in", Unreadable),
        ("hook.example/in", Unreadable),
        ("https://no-such-name.example/", NoName),
        // Other protocols and other doors.
        ("http://hook.example/", Scheme),
        ("http://8.8.8.8:443/", Scheme),
        ("file:///etc/passwd", Scheme),
        ("gopher://127.0.0.1:6379/_FLUSHALL", Scheme),
        ("ftp://hook.example/", Scheme),
        ("unix:/run/docker.sock", Scheme),
        ("javascript:alert(1)", Scheme),
        ("data:,x", Scheme),
        ("https://hook.example:22/", Port),
        ("https://hook.example:6379/", Port),
        ("https://hook.example:80/", Port),
        ("https://hook.example:0/", Unreadable),
        ("https://hook.example:65536/", Unreadable),
    ] {
        assert_eq!(fate(&guard, url).await, expected, "{url}");
    }
}

#[tokio::test]
async fn one_closed_address_closes_a_host() {
    let liar = Liar::default()
        .says("both.example", &[&["8.8.8.8", "127.0.0.1"]])
        .says("none.example", &[&[]])
        .says("open.example", &[&["8.8.8.8", "2606:4700:4700::1111"]]);
    let guard = Guard::default().resolving_by(liar);
    assert_eq!(fate(&guard, "https://both.example/").await, Fate::Closed);
    assert_eq!(fate(&guard, "https://none.example/").await, Fate::NoName);
    assert_eq!(fate(&guard, "https://open.example/").await, Fate::Open);
}

#[tokio::test]
async fn what_the_operator_allows_is_open_at_every_port_and_without_tls_and_nothing_else_is() {
    let allowed = ["10.0.0.0/8", "localhost:8080", "*.lan"].map(|text| text.parse::<Allowed>().expect(text));
    let liar = names().says("both.example", &[&["10.0.0.1", "192.168.0.1"]]);
    let guard = Guard::new(allowed).resolving_by(liar);
    for (url, expected) in [
        ("http://10.1.2.3:9000/", Fate::Open),
        ("http://kubernetes.default.svc/", Fate::Open),
        ("http://[::ffff:10.0.0.1]/", Fate::Open),
        ("http://localhost:8080/", Fate::Open),
        ("http://localhost.:8080/", Fate::Open),
        ("http://localhost:8081/", Fate::Closed),
        ("http://router.lan/", Fate::Open),
        ("http://127.0.0.1:8080/", Fate::Closed),
        ("http://both.example/", Fate::Closed),
        ("http://hook.example/", Fate::Scheme),
        ("https://hook.example/", Fate::Open),
    ] {
        assert_eq!(fate(&guard, url).await, expected, "{url}");
    }
}

#[tokio::test]
async fn a_name_that_nobody_knows_yet_is_held_to_https_and_its_ports_unless_something_may_open_it() {
    let to = |url: &str| TargetUrl::parse(url).expect(url);
    let nobody = || Liar::default();
    let closed = Guard::default().resolving_by(nobody());
    let network = Guard::new(["10.0.0.0/8".parse().expect("a network")]).resolving_by(nobody());
    let named = Guard::new(["hooks.internal:8080".parse().expect("a name")]).resolving_by(nobody());
    for (guard, url, opens) in [
        (&closed, "https://hook.example/", true),
        (&closed, "http://hook.example/", false),
        (&closed, "https://hook.example:22/", false),
        // Its address may turn out to lie in what was opened.
        (&network, "http://hook.example:22/", true),
        (&named, "http://hooks.internal:8080/", true),
        (&named, "http://hooks.internal:22/", false),
    ] {
        let answer = guard.check(&to(url)).await.expect_err("it has no address");
        assert_eq!(matches!(answer, NoWay::Unresolved { .. }), opens, "{url}: {answer}");
    }
}

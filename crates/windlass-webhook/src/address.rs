//! Which addresses are no public service's: the IANA registries of special-purpose addresses, as a table.
//!
//! An address of IPv6 that stands for one of IPv4 is judged as that: the system connects to the latter.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(a: u16, b: u16, c: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), length)
}

/// Networks of IPv4 that are not the public internet, and what they are.
const CLOSED_V4: [(Ipv4Net, &str); 19] = [
    (v4(0, 0, 0, 0, 8), "of this network"),
    (v4(10, 0, 0, 0, 8), "private"),
    (v4(100, 64, 0, 0, 10), "of a carrier's own network"),
    (v4(127, 0, 0, 0, 8), "this machine"),
    // The wire server of Azure gives secrets to whoever asks from inside, at an address that looks public.
    (v4(168, 63, 129, 16, 32), "a cloud's metadata"),
    (v4(169, 254, 0, 0, 16), "link-local, where clouds keep metadata"),
    (v4(172, 16, 0, 0, 12), "private"),
    (v4(192, 0, 0, 0, 24), "reserved for protocols"),
    (v4(192, 0, 2, 0, 24), "for documentation"),
    (v4(192, 31, 196, 0, 24), "reserved for protocols"),
    (v4(192, 52, 193, 0, 24), "reserved for protocols"),
    (v4(192, 88, 99, 0, 24), "a relay of 6to4"),
    (v4(192, 168, 0, 0, 16), "private"),
    (v4(192, 175, 48, 0, 24), "reserved for protocols"),
    (v4(198, 18, 0, 0, 15), "for benchmarks"),
    (v4(198, 51, 100, 0, 24), "for documentation"),
    (v4(203, 0, 113, 0, 24), "for documentation"),
    (v4(224, 0, 0, 0, 4), "multicast"),
    (v4(240, 0, 0, 0, 4), "reserved"),
];

/// What IANA has given out of IPv6 for public use; everything else is closed.
const PUBLIC_V6: Ipv6Net = v6(0x2000, 0, 0, 3);

/// Networks within and beyond it that are not the public internet, the narrower first.
const CLOSED_V6: [(Ipv6Net, &str); 12] = [
    (v6(0x2001, 0, 0, 32), "a tunnel (Teredo)"),
    (v6(0x2001, 0, 0, 23), "reserved for protocols"),
    (v6(0x2001, 0xdb8, 0, 32), "for documentation"),
    (v6(0x2002, 0, 0, 16), "a tunnel (6to4)"),
    (v6(0x2620, 0x4f, 0x8000, 48), "reserved for protocols"),
    (v6(0x3fff, 0, 0, 20), "for documentation"),
    (v6(0x64, 0xff9b, 1, 48), "a translation to another network (NAT64)"),
    (v6(0x100, 0, 0, 64), "discarded"),
    (v6(0xfc00, 0, 0, 7), "private"),
    (v6(0xfe80, 0, 0, 10), "link-local"),
    (v6(0xfec0, 0, 0, 10), "private"),
    (v6(0xff00, 0, 0, 8), "multicast"),
];

/// Where DNS64 puts all of IPv4 for machines that have only IPv6.
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 0, 96);

/// The address that the system will connect to: an IPv4 address in the clothes of IPv6 is that IPv4 address.
pub(crate) fn meant(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// What keeps an address from being a public service's; none when nothing does.
pub(crate) fn closed(ip: IpAddr) -> Option<&'static str> {
    match meant(ip) {
        IpAddr::V4(ip) => CLOSED_V4.iter().find(|(net, _)| net.contains(&ip)).map(|(_, what)| *what),
        IpAddr::V6(ip) if NAT64.contains(&ip) => {
            let [.., a, b, c, d] = ip.octets();
            closed(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
        }
        IpAddr::V6(ip) if ip.is_loopback() => Some("this machine"),
        IpAddr::V6(ip) => {
            let named = CLOSED_V6.iter().find(|(net, _)| net.contains(&ip)).map(|(_, what)| *what);
            named.or_else(|| (!PUBLIC_V6.contains(&ip)).then_some("reserved"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some of each, with those at the borders of their networks.
    const CLOSED: [&str; 60] = [
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.100.100.200",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.0.1",
        "169.254.169.254",
        "169.254.170.2",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.31.196.1",
        "192.52.193.1",
        "192.88.99.1",
        "192.168.0.1",
        "192.168.255.255",
        "192.175.48.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.7",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::8.8.8.8",
        "100::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:20::1",
        "2001:1ff:ffff::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "2002:808:808::1",
        "2620:4f:8000::1",
        "3fff::1",
        "3fff:fff:ffff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "ff02::1",
    ];

    const OPEN: [&str; 16] = [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2001:200::1",
        "2606:4700:4700::1111",
        "2a00:1450:4001:830::200e",
    ];

    #[test]
    fn every_address_that_is_not_of_the_public_internet_is_closed() {
        for text in CLOSED {
            let ip: IpAddr = text.parse().expect(text);
            assert!(closed(ip).is_some(), "{text} is open");
        }
        for text in OPEN {
            let ip: IpAddr = text.parse().expect(text);
            assert_eq!(closed(ip), None, "{text}");
        }
    }
}

//! From an address to how the store is opened: what `windlass-pg` reads, and the store's own options.

use crate::error::OpenError;
use crate::options::Options;
use tokio_postgres::Config;
use windlass_pg::{Address, Tls};

/// The store's own options.
const OWN: [&str; 6] = ["namespace", "upkeep", "listen", "prepare", "migrate", "connections"];

/// Reads an address; what it says about the store goes into the options.
pub(crate) fn read(address: &str, options: &mut Options) -> Result<Config, OpenError> {
    let refused = OpenError::BadAddress;
    let tls = Tls { verify: options.verify, root_certificates: options.root_certificates.take() };
    let Address { config, tls, own } = Address::read(address, &OWN, tls).map_err(refused)?;
    for (name, value) in own {
        let no = |wants: &str| refused(format!("option {name}={value:?}: {wants}"));
        let switch = || value.parse().map_err(|_| no("true or false"));
        match name.as_str() {
            "namespace" => options.schema = value,
            "upkeep" => options.upkeep = switch()?,
            "listen" => options.listen = switch()?,
            "prepare" => options.prepare = switch()?,
            "migrate" => options.migrate = switch()?,
            _ => match value.parse() {
                Ok(connections) if connections > 0 => options.connections = connections,
                _ => return Err(no("a number from 1 on")),
            },
        }
    }
    options.verify = tls.verify;
    options.root_certificates = tls.root_certificates;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_of(query: &str) -> Result<Options, String> {
        let mut options = Options::default();
        read(&format!("postgres://h/d?{query}"), &mut options).map_err(|why| why.to_string())?;
        Ok(options)
    }

    #[test]
    fn an_address_says_how_the_store_is_opened() {
        let query = "listen=false&connections=3&sslmode=verify-full&sslrootcert=f&namespace=n&upkeep=false";
        let options = read_of(query).expect("an address");
        assert!(!options.listen && options.prepare && options.migrate && !options.upkeep);
        assert_eq!(options.schema, "n");
        assert_eq!((options.connections, options.verify), (3, windlass_pg::Verify::Name));
        assert_eq!(options.root_certificates.as_deref(), Some("f".as_ref()));
        for (query, says) in [
            ("listen=maybe", "true or false"),
            ("connections=many", "a number"),
            ("connections=0", "from 1 on"),
            ("namspace=x", "no option \"namspace\"; there are namespace, upkeep, listen"),
        ] {
            let told = read_of(query).expect_err(query);
            assert!(told.contains(says), "{query}: {told}");
        }
    }
}

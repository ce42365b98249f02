//! Which databases the components of a host are connected to.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::{
    ConnectOptions as _,
    postgres::{PgConnectOptions, PgSslMode},
};

use super::{
    Error, Limits, Session, Snapshot,
    address::{Address, Outside, Tls},
    pool::{Keeping, Pool},
};
use crate::{
    call::CurrentCall,
    capability::{
        allowed_hosts::{AllowedHosts, Permission},
        handles::Handles,
    },
};

/// Connections to one address outside that a component has, of all its instances.
const CONNECTIONS_AN_ADDRESS_MAX: u32 = 16;
/// Different addresses that a component is connected to.
const ADDRESSES_MAX: usize = 16;
/// Time to resolve a host name.
const RESOLVE_TIME_MAX: Duration = Duration::from_secs(5);
/// Settings in the environment of the host that the driver would use for whatever
/// the address does not say, and that an address cannot take back.
const ENVIRONMENT_REFUSED: [&str; 4] = ["PGSSLCERT", "PGSSLKEY", "PGSSLROOTCERT", "PGOPTIONS"];

/// Bounds of every component.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Connections that one instance may have open.
    pub connections_max: usize,
    pub rows_max: usize,
    /// Bytes that the result of one statement may have.
    pub result_bytes_max: usize,
    /// Text of one statement, in bytes.
    pub statement_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { connections_max: 256, rows_max: 100_000, result_bytes_max: 64 << 20, statement_bytes_max: 1 << 20 }
    }
}

/// All connections of a host's components.
#[derive(Debug)]
pub struct Databases {
    settings: Settings,
    /// Where the application runs on Postgres: the pool of each label.
    own: Option<BTreeMap<String, Arc<Pool>>>,
    outside: Mutex<BTreeMap<Key, Arc<Pool>>>,
}

/// Pools are never shared between components.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    component: Arc<str>,
    outside: Outside,
    authority: Option<String>,
}

/// What one component may use.
#[derive(Debug, Clone)]
pub struct Grants {
    pub component: Arc<str>,
    /// Its own databases.
    pub labels: Arc<BTreeSet<String>>,
    pub allowed_hosts: Arc<AllowedHosts>,
    /// Wall time of one statement.
    pub statement_time_max: Duration,
    /// Rows and bytes that one statement may return, where that is less than the host allows.
    pub result_max: (usize, usize),
}

impl Databases {
    /// `own` has a pool for every label of the application, where it runs on Postgres.
    #[must_use]
    pub fn new(settings: Settings, own: Option<BTreeMap<String, Arc<Pool>>>) -> Arc<Self> {
        Arc::new(Self { settings, own, outside: Mutex::default() })
    }

    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The counters of every pool, by its name.
    #[must_use]
    pub fn counters(&self) -> Vec<(String, Snapshot)> {
        self.pools().iter().map(|pool| (pool.name().to_owned(), pool.counters())).collect()
    }

    /// Closes all connections, after the last instance is gone.
    pub async fn close(&self) {
        for pool in self.pools() {
            pool.close().await;
        }
    }

    /// Connects to an address on behalf of a component. The server has to show a
    /// certificate of `authority`, which is in PEM, if there is one.
    ///
    /// # Errors
    /// The address is not granted, or the server cannot be reached.
    pub async fn connect(
        &self,
        grants: &Grants,
        address: &str,
        authority: Option<String>,
        transactions_open: Handles,
    ) -> Result<Session, Error> {
        let pool = match Address::parse(address)? {
            Address::Own(label) => self.own(grants, &label)?,
            Address::Outside(outside) => {
                let host = permitted_host(&grants.allowed_hosts, &outside).await?;
                self.outside(Key { component: Arc::clone(&grants.component), outside, authority }, &host)?
            }
        };
        let limits = Limits {
            statement_time_max: grants.statement_time_max,
            statement_bytes_max: self.settings.statement_bytes_max,
            rows_max: self.settings.rows_max.min(grants.result_max.0),
            result_bytes_max: self.settings.result_bytes_max.min(grants.result_max.1),
        };
        let mut session = Session::new(pool, limits, transactions_open);
        session.connect().await?;
        Ok(session)
    }

    fn pools(&self) -> Vec<Arc<Pool>> {
        let outside = self.outside.lock().unwrap_or_else(PoisonError::into_inner);
        self.own.iter().flat_map(BTreeMap::values).chain(outside.values()).cloned().collect()
    }

    fn own(&self, grants: &Grants, label: &str) -> Result<Arc<Pool>, Error> {
        let own = self.own.as_ref().ok_or(Error::NoOwnDatabase)?;
        let pool = grants.labels.contains(label).then(|| own.get(label)).flatten();
        pool.cloned().ok_or_else(|| Error::NotGranted(label.to_owned()))
    }

    fn outside(&self, key: Key, host: &str) -> Result<Arc<Pool>, Error> {
        let mut pools = self.outside.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(&key) {
            return Ok(Arc::clone(pool));
        }
        let of_component = |known: &Key| known.component == key.component;
        if pools.keys().filter(|known| of_component(known)).count() >= ADDRESSES_MAX {
            // One that no instance uses makes room.
            let unused = pools.iter().find(|(known, pool)| of_component(known) && Arc::strong_count(pool) == 1);
            let unused = unused.map(|(known, _)| known.clone()).ok_or(Error::TooManyAddresses(ADDRESSES_MAX))?;
            pools.remove(&unused);
        }
        let name = format!("{} at {}:{}", key.component, key.outside.host, key.outside.port);
        let options = options(&key, host)?;
        let pool = Pool::new(name, options, CONNECTIONS_AN_ADDRESS_MAX, Keeping::Session);
        pools.insert(key, Arc::clone(&pool));
        Ok(pool)
    }
}

/// A call of `open`, apart from the store, so that it can wait.
pub(super) struct Opening {
    pub(super) databases: Arc<Databases>,
    pub(super) grants: Grants,
    pub(super) address: String,
    /// Certificate of the authority that vouches for the server, in PEM.
    pub(super) authority: Option<String>,
    pub(super) current: Arc<CurrentCall>,
    pub(super) connections_open: Handles,
    pub(super) transactions_open: Handles,
}

impl Opening {
    pub(super) async fn run(self) -> Result<super::Connection, Error> {
        let settings = &self.databases.settings;
        let too_many = Error::TooManyConnections(settings.connections_max);
        let counted = self.connections_open.take(settings.connections_max).ok_or(too_many)?;
        let connecting = self.databases.connect(&self.grants, &self.address, self.authority, self.transactions_open);
        let session = connecting.await?.recorded_for(self.current);
        Ok(super::Connection::new(session, counted))
    }
}

/// The host to connect to. Where only a wildcard grants it, that is an address which
/// was checked to be public: the name could lead elsewhere the next time.
async fn permitted_host(allowed: &AllowedHosts, outside: &Outside) -> Result<String, Error> {
    let (host, port) = (outside.host.as_str(), outside.port);
    let refused = || Error::NotAllowed { host: host.to_owned(), port };
    let permission = allowed.permission("postgres", host, port);
    match permission {
        Permission::Denied => return Err(refused()),
        Permission::Named => return Ok(host.to_owned()),
        Permission::PublicOnly => {}
    }
    if outside.tls == Tls::Require {
        return Err(Error::Address(
            "sslmode=require takes an entry of `allowed_outbound_hosts` that names the host".to_owned(),
        ));
    }
    let lookup = tokio::time::timeout(RESOLVE_TIME_MAX, tokio::net::lookup_host((host, port)));
    let found = lookup.await.map_err(|_elapsed| Error::Unreachable(format!("{host} was not resolved in time")))?;
    let addresses: Vec<IpAddr> =
        found.map_err(|error| Error::Unreachable(error.to_string()))?.map(|address| address.ip()).collect();
    let first = addresses.first().copied().filter(|_| addresses.iter().all(|address| permission.allows(*address)));
    first.map(|address| address.to_string()).ok_or_else(refused)
}

/// Every setting is given, since the driver would take what is missing from the
/// environment of the host.
fn options(key: &Key, host: &str) -> Result<PgConnectOptions, Error> {
    if let Some(name) = ENVIRONMENT_REFUSED.iter().find(|name| std::env::var_os(name).is_some()) {
        return Err(Error::Unreachable(format!(
            "the host has {name} in its environment, which would be used for a component's connection; unset it"
        )));
    }
    let outside = &key.outside;
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(host)
        .port(outside.port)
        .username(&outside.user)
        .password(&outside.password)
        .database(&outside.database)
        .application_name(outside.application_name.as_deref().unwrap_or(&key.component))
        .ssl_mode(outside.tls.mode())
        // A pooler in front of the server may refuse settings that it does not know.
        .extra_float_digits(None);
    if let Some(given) = &outside.options {
        options = options.options(settings_of(given)?);
    }
    if let Some(authority) = &key.authority {
        options = options.ssl_root_cert_from_pem(authority.clone().into_bytes());
        if outside.tls != Tls::Disable {
            options = options.ssl_mode(PgSslMode::VerifyFull);
        }
    }
    Ok(options.disable_statement_logging())
}

/// The settings of `-c name=value -c name=value`.
fn settings_of(options: &str) -> Result<Vec<(&str, &str)>, Error> {
    let words = options.split_whitespace().filter(|word| *word != "-c");
    words
        .map(|word| {
            let bare = word.strip_prefix("--").or_else(|| word.strip_prefix("-c")).unwrap_or(word);
            let problem = || Error::Address(format!("options are given as -c name=value, not {word:?}"));
            bare.split_once('=').ok_or_else(problem)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside(address: &str) -> Outside {
        match Address::parse(address).unwrap() {
            Address::Outside(outside) => outside,
            Address::Own(label) => panic!("own {label}"),
        }
    }

    #[tokio::test]
    async fn only_what_is_allowed_is_connected_to() {
        let allowed =
            AllowedHosts::parse(&["postgres://db.internal:5432".to_owned(), "*://*:6000".to_owned()]).unwrap();
        let host = async |address: &str| permitted_host(&allowed, &outside(address)).await;
        assert_eq!(host("postgres://me@db.internal/x").await.unwrap(), "db.internal");
        for refused in [
            "postgres://me@db.internal:5433/x",
            "postgres://me@other/x",
            "postgres://me@127.0.0.1:6000/x",
            "postgres://me@localhost:6000/x",
        ] {
            assert!(matches!(host(refused).await, Err(Error::NotAllowed { .. })), "{refused}");
        }
        let encrypted = host("postgres://me@8.8.8.8:6000/x?sslmode=require").await;
        assert!(matches!(encrypted, Err(Error::Address(_))));
        assert_eq!(host("postgres://me@8.8.8.8:6000/x").await.unwrap(), "8.8.8.8");
    }

    #[test]
    fn options_are_settings() {
        let settings = settings_of("-c a.b=1 --search_path=x -cc=2").unwrap();
        assert_eq!(settings, [("a.b", "1"), ("search_path", "x"), ("c", "2")]);
        assert!(settings_of("-f").is_err());
    }
}

//! All SQL of the payment service. The ledger is only ever added to.

mod money;
mod orders;
mod promos;

pub use money::*;
pub use orders::*;
pub use promos::*;
